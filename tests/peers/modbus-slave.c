/*
 * Modbus slaves for the tests, on a serial line or over TCP, whose answers libmodbus makes: an
 * implementation that knows nothing of ours. Lines on stdin change how they behave; every line is
 * answered with "ok", when it is done, on stdout.
 *
 *   modbus-slave rtu DEVICE UNITS       units 1 to UNITS
 *   modbus-slave tcp PORT UNITS
 *
 *   set UNIT TABLE ADDRESS VALUE        TABLE: h(olding) i(nput) c(oil) d(iscrete)
 *   get UNIT TABLE ADDRESS              answers "ok VALUE"
 *   delay UNIT MS                       answers so much later
 *   mute UNIT 0|1                       answers nothing
 *   busy UNIT 0|1                       answers with exception 6
 *   damage COUNT                        the next answers have a wrong CRC (serial)
 *   noise COUNT                         random bytes go before the next answers (serial)
 *   requests                            answers "ok NUMBER" of requests that were read
 */
#include <errno.h>
#include <fcntl.h>
#include <modbus.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define UNITS_MAX 248
#define ADDRESSES 1000
#define FRAME_BYTES_MAX 260
#define FRAME_GAP_MS 3

static modbus_mapping_t *maps[UNITS_MAX];
static int delays_ms[UNITS_MAX], muted[UNITS_MAX], busy[UNITS_MAX];
static int units, damaged, noisy;
static long requests;

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static uint16_t crc_of(const uint8_t *bytes, int length) {
  uint16_t crc = 0xffff;
  for (int i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc;
}

static void place(int unit, char table, int address, int value, int writes) {
  modbus_mapping_t *map = maps[unit];
  uint16_t *words = table == 'h' ? map->tab_registers : map->tab_input_registers;
  uint8_t *bits = table == 'c' ? map->tab_bits : map->tab_input_bits;
  int is_word = table == 'h' || table == 'i';
  if (writes && is_word) words[address] = value;
  if (writes && !is_word) bits[address] = value;
  if (writes) printf("ok\n");
  else printf("ok %d\n", is_word ? words[address] : bits[address]);
}

static void obey(void) {
  char line[128], name[16], table;
  int unit, address, value;
  if (!fgets(line, sizeof line, stdin)) exit(0);
  if (sscanf(line, "set %d %c %d %d", &unit, &table, &address, &value) == 4)
    place(unit, table, address, value, 1);
  else if (sscanf(line, "get %d %c %d", &unit, &table, &address) == 3)
    place(unit, table, address, 0, 0);
  else if (!strncmp(line, "requests", 8)) printf("ok %ld\n", requests);
  else if (sscanf(line, "damage %d", &damaged) == 1 || sscanf(line, "noise %d", &noisy) == 1)
    printf("ok\n");
  else if (sscanf(line, "%15s %d %d", name, &unit, &value) == 3) {
    int *settings = !strcmp(name, "delay") ? delays_ms : !strcmp(name, "mute") ? muted : busy;
    settings[unit] = value;
    printf("ok\n");
  } else printf("unknown: %s", line);
  fflush(stdout);
}

/* Waits for the line or the commands; 0 when `ms` are over. */
static int ready(int fd, int ms) {
  struct pollfd polled[2] = {{fd, POLLIN, 0}, {0, POLLIN, 0}};
  if (poll(polled, 2, ms) < 0) fail("poll");
  if (polled[1].revents) obey();
  return polled[0].revents != 0;
}

static void answer(modbus_t *ctx, const uint8_t *request, int length, int at) {
  int unit = request[at];
  requests++;
  if (unit < 1 || unit > units || muted[unit]) return;
  if (delays_ms[unit]) usleep(1000 * delays_ms[unit]);
  if (busy[unit]) modbus_reply_exception(ctx, request, MODBUS_EXCEPTION_SLAVE_OR_SERVER_BUSY);
  else modbus_reply(ctx, request, length, maps[unit]);
}

static void spoil(int fd, const uint8_t *request) {
  uint8_t bytes[64] = {request[0], request[1], 2 * request[5]};
  int length = 3 + 2 * request[5];
  if (noisy > 0) {
    for (int i = 0; i < 20; i++) bytes[i] = rand();
    if (write(fd, bytes, 20) != 20) fail("noise");
  } else if (damaged > 0 && length + 2 <= (int)sizeof bytes) {
    uint16_t crc = crc_of(bytes, length) ^ 0x0100;
    bytes[length] = crc & 0xff;
    bytes[length + 1] = crc >> 8;
    if (write(fd, bytes, length + 2) != length + 2) fail("damage");
  }
}

/* libmodbus serves one unit a line, so the frames are read here, and answered there. */
static void serve_rtu(const char *device) {
  modbus_t *ctx = modbus_new_rtu(device, 115200, 'N', 8, 1);
  if (!ctx || modbus_set_slave(ctx, 1) || modbus_connect(ctx)) fail(device);
  modbus_set_response_timeout(ctx, 0, 1000); /* it sleeps so long before some exceptions */
  int fd = modbus_get_socket(ctx);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    uint8_t frame[FRAME_BYTES_MAX];
    int length = 0;
    while (!ready(fd, -1));
    while (length < FRAME_BYTES_MAX) {
      int count = read(fd, frame + length, FRAME_BYTES_MAX - length);
      if (count <= 0) fail("read");
      length += count;
      struct pollfd more = {fd, POLLIN, 0};
      if (length >= 8 && crc_of(frame, length) == 0) break;
      if (poll(&more, 1, FRAME_GAP_MS) == 0) break;
    }
    if (length < 8 || crc_of(frame, length) != 0) continue;
    int known = frame[0] >= 1 && frame[0] <= units && !muted[frame[0]];
    if (known && frame[1] == 3 && (noisy > 0 || damaged > 0)) {
      spoil(fd, frame);
      if (noisy > 0) noisy--;
      else { damaged--; requests++; continue; }
    }
    modbus_set_slave(ctx, frame[0]);
    answer(ctx, frame, length, 0);
  }
}

static void serve_tcp(int port) {
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", port);
  if (ctx) modbus_set_response_timeout(ctx, 0, 1000);
  int listening = ctx ? modbus_tcp_listen(ctx, 1) : -1;
  if (listening < 0) fail("listen");
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    while (!ready(listening, -1));
    int fd = modbus_tcp_accept(ctx, &listening);
    if (fd < 0) fail("accept");
    for (;;) {
      while (!ready(fd, -1));
      int length = modbus_receive(ctx, request);
      if (length < 0) break;
      if (length > 0) answer(ctx, request, length, 6);
    }
    close(fd);
  }
}

int main(int count, char **words) {
  if (count != 4) return 64;
  units = atoi(words[3]);
  for (int unit = 1; unit <= units && unit < UNITS_MAX; unit++) {
    maps[unit] = modbus_mapping_new(ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES);
    if (!maps[unit]) fail("mapping");
    for (int i = 0; i < ADDRESSES; i++) maps[unit]->tab_registers[i] = unit * 100 + i % 100;
  }
  setvbuf(stdin, NULL, _IONBF, 0);
  if (!strcmp(words[1], "rtu")) serve_rtu(words[2]);
  serve_tcp(atoi(words[2]));
  return 0;
}

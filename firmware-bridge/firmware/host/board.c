/*
 * A board that is a process, for the tests: the library on a serial port of this machine.
 *
 *   board PORT DEVICE READINGS INTERVAL_MS ERRORS_PER_MILLION SEED STORE BUFFER_BYTES POLICY
 *
 * STORE is a file that stands for flash, or `-` for RAM; POLICY is `refuse` or `drop`. It takes
 * the readings 1, 2, 3, ... as the metric `n`, flips bits in both directions, opens the port again
 * when it is gone, and tells on its standard output `kept N`, `lost N`, `acked N`, `command NAME`
 * and, when the hub has everything, `done KEPT LOST RESENT BAD`.
 */
#define _POSIX_C_SOURCE 200809L
#include "../holdfast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "file_store.h"

static const char *port_path;
static int port = -1;
static uint32_t errors_per_million;
static uint32_t random_state;

static uint32_t next_random(void) { /* xorshift32 */
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

static uint8_t noisy(uint8_t byte) {
  if (next_random() % 1000000u >= errors_per_million) return byte;
  return (uint8_t)(byte ^ (1u << (next_random() % 8)));
}

static uint32_t millis(void *user) {
  struct timespec now;
  (void)user;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint32_t)((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u);
}

static void open_port(void) {
  struct termios raw;
  if (port >= 0) (void)close(port);
  port = open(port_path, O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (port < 0 || tcgetattr(port, &raw) != 0) return;
  raw.c_iflag = 0;
  raw.c_oflag = 0;
  raw.c_lflag = 0;
  raw.c_cflag |= CREAD | CLOCAL;
  (void)tcsetattr(port, TCSANOW, &raw);
}

/* As a UART: what nobody listens to is gone. */
static size_t write_port(void *user, const uint8_t *bytes, size_t length) {
  uint8_t sent[64];
  size_t n = length < sizeof sent ? length : sizeof sent;
  (void)user;
  for (size_t i = 0; i < n; i++) sent[i] = noisy(bytes[i]);
  ssize_t written = port >= 0 ? write(port, sent, n) : (ssize_t)n;
  if (written >= 0) return (size_t)written;
  return errno == EAGAIN ? 0 : n;
}

static holdfast_command_status do_command(void *user, holdfast_command *command) {
  (void)user;
  printf("command %.*s\n", (int)command->name_length, command->name);
  if (command->name_length != 4 || memcmp(command->name, "echo", 4) != 0)
    return HOLDFAST_COMMAND_UNKNOWN;
  uint8_t n = command->payload_length;
  if (n > HOLDFAST_ANSWER_MAX) n = HOLDFAST_ANSWER_MAX;
  memcpy(command->answer, command->payload, n);
  command->answer_length = n;
  return HOLDFAST_COMMAND_DONE;
}

/* The numbers that wait, oldest first: what the hub acknowledges, it acknowledges in this order. */
static uint32_t waiting[65536];
static uint16_t waiting_head, waiting_tail;

static void told(const holdfast_link *link) {
  while ((uint16_t)(waiting_tail - waiting_head) > holdfast_waiting(link))
    printf("acked %u\n", (unsigned)waiting[waiting_head++]);
}

int main(int argc, char **argv) {
  static uint8_t buffer[65535];
  static holdfast_link link;
  static holdfast_store store;
  holdfast_config config = {0};
  if (argc != 10) return 64;
  port_path = argv[1];
  config.device = argv[2];
  uint32_t readings = (uint32_t)strtoul(argv[3], NULL, 10);
  uint32_t interval_ms = (uint32_t)strtoul(argv[4], NULL, 10);
  errors_per_million = (uint32_t)strtoul(argv[5], NULL, 10);
  random_state = (uint32_t)strtoul(argv[6], NULL, 10) | 1u;
  config.millis = millis;
  config.write = write_port;
  config.command = do_command;
  config.buffer = buffer;
  config.buffer_length = (uint16_t)strtoul(argv[8], NULL, 10);
  config.when_full = strcmp(argv[9], "drop") == 0 ? HOLDFAST_DROP_OLDEST : HOLDFAST_REFUSE_NEW;
  uint32_t taken = 0;
  if (strcmp(argv[7], "-") != 0) {
    taken = file_store_open(&store, argv[7]); /* goes on behind what it has ever kept */
    config.store = &store;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  open_port();
  holdfast_begin(&link, &config);
  bool knows_acked = config.when_full == HOLDFAST_REFUSE_NEW;
  for (uint16_t held = holdfast_waiting(&link); held > 0; held--)
    waiting[waiting_tail++] = taken + 1 - held;
  uint32_t due = millis(NULL);
  uint32_t looked = due;
  while (taken < readings || holdfast_waiting(&link) > 0) {
    uint8_t bytes[256];
    uint32_t now = millis(NULL);
    ssize_t n = port >= 0 ? read(port, bytes, sizeof bytes) : -1;
    for (ssize_t i = 0; i < n; i++) bytes[i] = noisy(bytes[i]);
    if (n > 0) holdfast_receive(&link, bytes, (size_t)n);
    if ((n == 0 || (n < 0 && (port < 0 || errno != EAGAIN))) && now - looked >= 50) {
      looked = now;
      open_port();
    }
    if (taken < readings && (int32_t)(now - due) >= 0) {
      due += interval_ms;
      taken++;
      bool kept = holdfast_number(&link, "n", (int32_t)taken, 0);
      if (kept && knows_acked) waiting[waiting_tail++] = taken;
      printf("%s %u\n", kept ? "kept" : "lost", (unsigned)taken);
    }
    holdfast_poll(&link);
    if (knows_acked) told(&link);
    if (n <= 0) (void)nanosleep(&(struct timespec){0, 500000}, NULL);
  }
  printf("done %u %u %u %u\n", (unsigned)link.kept, (unsigned)link.lost, (unsigned)link.resent,
         (unsigned)link.bad_frames);
  return 0;
}

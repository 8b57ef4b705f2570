/*
 * A wire with a round trip, a loss and a bandwidth, for machines whose kernel has no netem. A TUN
 * device whose other end is this machine again: who connects to PEER reaches a listener at ADDRESS
 * (10.77.0.2 and 10.77.0.1), through the kernel's own TCP on both sides.
 *
 *   shaped-wire ROUND_TRIP_MS LOSS_PER_MILLE BITS_PER_SECOND QUEUE_BYTES SEED PORT...
 *
 * Every packet goes out from ADDRESS to PEER and comes back in with the two exchanged, which
 * leaves its checksums right. What goes to one of the PORTs goes up, everything else down; each
 * way has the bandwidth for itself. What finds QUEUE_BYTES waiting is dropped, as a router does.
 * Runs until its stdin ends. Needs CAP_NET_ADMIN in its network namespace: `unshare -Urn` gives
 * both.
 */
#define _GNU_SOURCE /* ppoll */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  PACKET_BYTES_MAX = 2048, /* the MTU of a TUN device is 1500 */
  QUEUE_PACKETS_MAX = 16384, /* 24 MB: more than any bandwidth here needs in a round trip */
  PORTS_MAX = 16,
  IP_SOURCE = 12,
  IP_TARGET = 16,
};

#define ADDRESS "10.77.0.1"
#define NETMASK "255.255.255.0"
#define DEVICE "wire%d"

struct packet {
  uint64_t arrives_ns;
  size_t length;
  uint8_t bytes[PACKET_BYTES_MAX];
};

struct direction {
  uint64_t free_ns; /* when the last bit of what waits will be on the wire */
  size_t first, count;
  struct packet *packets; /* a ring of QUEUE_PACKETS_MAX */
};

static long round_trip_ms, loss_per_mille, bits_per_second, queue_bytes;
static uint64_t random_state;
static long ports[PORTS_MAX];
static int port_count;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("shaped-wire: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static long argument(const char *text, const char *name, long min, long max) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < min || value > max)
    fail("%s is %ld to %ld, not `%s`", name, min, max, text);
  return value;
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* xorshift64* */
static uint64_t next_random(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * UINT64_C(2685821657736338717)) >> 33;
}

static void bring_up(int control, struct ifreq *request) {
  if (ioctl(control, SIOCGIFFLAGS, request) < 0) fail("%s: %s", request->ifr_name, strerror(errno));
  request->ifr_flags |= IFF_UP | IFF_RUNNING;
  if (ioctl(control, SIOCSIFFLAGS, request) < 0) fail("%s: %s", request->ifr_name, strerror(errno));
}

static void set_address(int control, struct ifreq *request, unsigned long what, const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  inet_pton(AF_INET, text, &address.sin_addr);
  memcpy(&request->ifr_addr, &address, sizeof address);
  if (ioctl(control, what, request) < 0) fail("%s: %s", text, strerror(errno));
}

static int open_device(void) {
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strcpy(request.ifr_name, DEVICE);
  if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0)
    fail("no TUN device: %s", strerror(errno));
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  set_address(control, &request, SIOCSIFADDR, ADDRESS);
  set_address(control, &request, SIOCSIFNETMASK, NETMASK);
  bring_up(control, &request);
  struct ifreq loopback = {.ifr_name = "lo"}; /* down in a new namespace */
  bring_up(control, &loopback);
  close(control);
  return device;
}

static int goes_up(const uint8_t *bytes, size_t length) {
  size_t header = (size_t)(bytes[0] & 15) * 4;
  if (length < header + 4) return 0;
  long target = bytes[header + 2] << 8 | bytes[header + 3];
  for (int i = 0; i < port_count; i++)
    if (ports[i] == target) return 1;
  return 0;
}

static void exchange_addresses(uint8_t *bytes) {
  uint8_t source[4];
  memcpy(source, bytes + IP_SOURCE, 4);
  memcpy(bytes + IP_SOURCE, bytes + IP_TARGET, 4);
  memcpy(bytes + IP_TARGET, source, 4);
}

static void enqueue(struct direction *way, const uint8_t *bytes, size_t length) {
  if ((long)(next_random() % 1000) < loss_per_mille) return;
  uint64_t now = now_ns();
  if (way->free_ns < now) way->free_ns = now;
  double waiting = (double)(way->free_ns - now) / 8e9 * (double)bits_per_second;
  if (way->count == QUEUE_PACKETS_MAX || waiting > (double)queue_bytes) return;
  way->free_ns += (uint64_t)((double)length * 8e9 / (double)bits_per_second);
  struct packet *packet = &way->packets[(way->first + way->count++) % QUEUE_PACKETS_MAX];
  packet->arrives_ns = way->free_ns + (uint64_t)round_trip_ms * 500000u;
  packet->length = length;
  memcpy(packet->bytes, bytes, length);
  exchange_addresses(packet->bytes);
}

/* Hands on what has arrived; how long until the next one does, or -1. */
static int64_t deliver(int device, struct direction *way) {
  while (way->count > 0) {
    struct packet *packet = &way->packets[way->first];
    uint64_t now = now_ns();
    if (packet->arrives_ns > now) return (int64_t)(packet->arrives_ns - now);
    /* what the kernel does not take is lost, as on any wire */
    if (write(device, packet->bytes, packet->length) < 0 && errno == EBADF) fail("no device");
    way->first = (way->first + 1) % QUEUE_PACKETS_MAX;
    way->count--;
  }
  return -1;
}

static void run(int device) {
  struct direction up = {0}, down = {0};
  up.packets = malloc(QUEUE_PACKETS_MAX * sizeof *up.packets);
  down.packets = malloc(QUEUE_PACKETS_MAX * sizeof *down.packets);
  if (!up.packets || !down.packets) fail("out of memory");
  uint8_t bytes[PACKET_BYTES_MAX];
  for (;;) {
    int64_t up_ns = deliver(device, &up), down_ns = deliver(device, &down);
    int64_t wait_ns = up_ns < 0 || (down_ns >= 0 && down_ns < up_ns) ? down_ns : up_ns;
    struct timespec patience = {.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
    struct pollfd polled[] = {{device, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (ppoll(polled, 2, wait_ns < 0 ? NULL : &patience, NULL) < 0) fail("%s", strerror(errno));
    if (polled[1].revents && read(STDIN_FILENO, bytes, 1) <= 0) return;
    for (;;) {
      ssize_t length = read(device, bytes, sizeof bytes);
      if (length <= 0) break;
      if (length < 20 || bytes[0] >> 4 != 4) continue; /* IPv6 greets its neighbours */
      enqueue(goes_up(bytes, (size_t)length) ? &up : &down, bytes, (size_t)length);
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 7 || argc > 6 + PORTS_MAX)
    fail("usage: shaped-wire ROUND_TRIP_MS LOSS_PER_MILLE BITS_PER_SECOND QUEUE_BYTES SEED PORT...");
  round_trip_ms = argument(argv[1], "ROUND_TRIP_MS", 0, 10000);
  loss_per_mille = argument(argv[2], "LOSS_PER_MILLE", 0, 999);
  bits_per_second = argument(argv[3], "BITS_PER_SECOND", 1000, 1000000000);
  queue_bytes = argument(argv[4], "QUEUE_BYTES", 1500, 20000000);
  random_state = (uint64_t)argument(argv[5], "SEED", 1, 2147483647);
  for (; port_count < argc - 6; port_count++)
    ports[port_count] = argument(argv[6 + port_count], "PORT", 1, 65535);
  int device = open_device();
  puts("up");
  fflush(stdout);
  run(device);
  return 0;
}

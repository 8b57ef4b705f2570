/*
 * MQTT 3.1.1 publisher for benchmarks: QoS 1, pipelined, on loopback. One thread and one epoll, so
 * that it takes a small and equal share of the machine whoever the broker is.
 *
 *   mqtt-load PORT CONNECTIONS WINDOW MESSAGES PAYLOAD_BYTES [RATE]
 *
 * WINDOW is how many publishes of a connection may be unacknowledged. RATE paces it: so many
 * publishes a second, the connections in turn. Prints one line of JSON.
 * Exits with 1, saying why, when the broker closes, acknowledges what was not sent, or stops
 * answering.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  PACKET_ID_MAX = 65535,  /* 16 bits, and 0 is not an id [MQTT-2.3.1-1] */
  CONNECTIONS_MAX = 1000, /* file descriptors of a plain user */
  WINDOW_MAX = 1000,
  PAYLOAD_MIN = 64, /* the JSON around the padding */
  PAYLOAD_MAX = 65536,
  OUT_BYTES = 1 << 18, /* holds some packets of the largest payload */
  IN_BYTES = 1 << 14,
  EVENTS_MAX = 256,
  SILENCE_MS_MAX = 20000, /* a broker that is silent for so long has stalled */
};

struct connection {
  int socket;
  int index;
  long to_send, sent, acknowledged;
  uint16_t last_id;
  uint8_t out[OUT_BYTES], in[IN_BYTES];
  size_t out_begin, out_end, in_end;
  uint64_t sent_ns[PACKET_ID_MAX + 1]; /* 0: not in flight */
};

static long window, payload_bytes;
static uint64_t *latencies_ns;
static long latencies;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("mqtt-load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint8_t *put_u16(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
  return at + 2;
}

static uint8_t *put_text(uint8_t *at, const char *text) {
  size_t length = strlen(text);
  at = put_u16(at, (unsigned)length);
  memcpy(at, text, length);
  return at + length;
}

/* Remaining length: seven bits a byte, least significant first (section 2.2.3). */
static uint8_t *put_length(uint8_t *at, size_t length) {
  do {
    uint8_t digit = length & 0x7f;
    length >>= 7;
    *at++ = length > 0 ? digit | 0x80 : digit;
  } while (length > 0);
  return at;
}

static void read_exactly(int socket, uint8_t *into, size_t count) {
  for (size_t got = 0; got < count;) {
    ssize_t n = read(socket, into + got, count - got);
    if (n <= 0) fail("no CONNACK");
    got += (size_t)n;
  }
}

/* Connects and waits for the CONNACK: only publishing is measured. */
static void open_connection(struct connection *c, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->socket = socket(AF_INET, SOCK_STREAM, 0);
  if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&address, sizeof address) < 0)
    fail("cannot connect to port %d: %s", port, strerror(errno));
  int on = 1;
  setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct timeval patience = {.tv_sec = SILENCE_MS_MAX / 1000};
  setsockopt(c->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

  char client_id[32];
  snprintf(client_id, sizeof client_id, "load-%d", c->index);
  uint8_t packet[64], *at = packet;
  *at++ = 0x10; /* CONNECT */
  at = put_length(at, 10 + 2 + strlen(client_id));
  at = put_text(at, "MQTT");
  *at++ = 4;           /* protocol level: 3.1.1 */
  *at++ = 0x02;        /* clean session */
  at = put_u16(at, 0); /* no keep alive */
  at = put_text(at, client_id);
  uint8_t answer[4];
  if (write(c->socket, packet, (size_t)(at - packet)) < 0) fail("CONNECT: %s", strerror(errno));
  read_exactly(c->socket, answer, sizeof answer);
  if (answer[0] != 0x20 || answer[3] != 0) fail("refused with code %d", answer[3]);
  fcntl(c->socket, F_SETFL, O_NONBLOCK);
}

static void queue_publish(struct connection *c) {
  char topic[48];
  snprintf(topic, sizeof topic, "site/bench/dev%d/temp", c->index);
  c->last_id = c->last_id == PACKET_ID_MAX ? 1 : (uint16_t)(c->last_id + 1);
  if (c->sent_ns[c->last_id] != 0) fail("packet id %d is still in flight", c->last_id);

  uint8_t *at = c->out + c->out_end;
  *at++ = 0x32; /* PUBLISH, QoS 1 */
  at = put_length(at, 2 + strlen(topic) + 2 + (size_t)payload_bytes);
  at = put_text(at, topic);
  at = put_u16(at, c->last_id);
  int head = snprintf((char *)at, (size_t)payload_bytes, "{\"t\":%llu,\"v\":%.2f,\"n\":%ld,\"pad\":\"",
                      (unsigned long long)(now_ns(CLOCK_REALTIME) / 1000000u),
                      20 + (double)(c->sent % 1000) / 100, c->sent);
  memset(at + head, 'x', (size_t)(payload_bytes - head - 2));
  at[payload_bytes - 2] = '"';
  at[payload_bytes - 1] = '}';
  c->out_end = (size_t)(at + payload_bytes - c->out);
  c->sent_ns[c->last_id] = now_ns(CLOCK_MONOTONIC);
  c->sent++;
}

/* Queues what the window allows and writes what the socket takes. */
static void publish(struct connection *c) {
  size_t packet_bytes_max = (size_t)payload_bytes + 64;
  for (;;) {
    while (c->sent < c->to_send && c->sent - c->acknowledged < window &&
           c->out_end + packet_bytes_max <= OUT_BYTES)
      queue_publish(c);
    if (c->out_begin == c->out_end) return;
    ssize_t n = write(c->socket, c->out + c->out_begin, c->out_end - c->out_begin);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) fail("write: %s", strerror(errno));
    c->out_begin += (size_t)n;
    if (c->out_begin == c->out_end) c->out_begin = c->out_end = 0;
  }
  memmove(c->out, c->out + c->out_begin, c->out_end - c->out_begin);
  c->out_end -= c->out_begin;
  c->out_begin = 0;
}

/* Takes the PUBACKs that have arrived; the only packets that a publisher gets. */
static long take_acknowledgements(struct connection *c) {
  long taken = 0;
  for (;;) {
    ssize_t n = read(c->socket, c->in + c->in_end, IN_BYTES - c->in_end);
    if (n < 0 && errno == EAGAIN) return taken;
    if (n <= 0) fail("the broker closed connection %d", c->index);
    c->in_end += (size_t)n;
    uint64_t arrived_ns = now_ns(CLOCK_MONOTONIC);
    size_t at = 0;
    for (; c->in_end - at >= 4; at += 4) {
      unsigned id = (unsigned)(c->in[at + 2] << 8 | c->in[at + 3]);
      if (c->in[at] != 0x40 || c->in[at + 1] != 2) fail("packet 0x%02x is no PUBACK", c->in[at]);
      if (c->sent_ns[id] == 0) fail("PUBACK for id %u, which is not in flight", id);
      latencies_ns[latencies++] = arrived_ns - c->sent_ns[id];
      c->sent_ns[id] = 0;
      c->acknowledged++;
      taken++;
    }
    memmove(c->in, c->in + at, c->in_end - at);
    c->in_end -= at;
  }
}

static long argument(const char *text, const char *name, long min, long max) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < min || value > max)
    fail("%s is %ld to %ld, not `%s`", name, min, max, text);
  return value;
}

static int ascending(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

static double latency_ms(double share) {
  return (double)latencies_ns[(long)((double)(latencies - 1) * share)] / 1e6;
}

/* Gives each connection its share of the first `messages`, and sends. */
static void allow(struct connection **connections, long count, long messages) {
  for (long i = 0; i < count; i++) {
    connections[i]->to_send = messages / count + (i < messages % count);
    publish(connections[i]);
  }
}

/* `rate` is 0 for as fast as the window allows. */
static void run(struct connection **connections, long count, long messages, long rate, int poll) {
  struct epoll_event events[EVENTS_MAX];
  uint64_t started_ns = now_ns(CLOCK_MONOTONIC), answered_ns = started_ns;
  long allowed = rate > 0 ? 0 : messages;
  allow(connections, count, allowed);
  for (long done = 0; done < messages;) {
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    long due = (long)((double)(now - started_ns) / 1e9 * (double)rate) + 1;
    if (allowed < messages && due > allowed) {
      if (done == allowed) answered_ns = now; /* nothing to be answered until now */
      allowed = due < messages ? due : messages;
      allow(connections, count, allowed);
    }
    int ready = epoll_wait(poll, events, EVENTS_MAX, allowed < messages ? 1 : SILENCE_MS_MAX);
    now = now_ns(CLOCK_MONOTONIC);
    if (ready > 0 || done == allowed) answered_ns = now;
    if (now - answered_ns >= SILENCE_MS_MAX * UINT64_C(1000000))
      fail("no answer for %d s after %ld of %ld", SILENCE_MS_MAX / 1000, done, messages);
    for (int i = 0; i < ready; i++) {
      struct connection *c = events[i].data.ptr;
      done += take_acknowledgements(c);
      publish(c);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 6 && argc != 7)
    fail("usage: mqtt-load PORT CONNECTIONS WINDOW MESSAGES PAYLOAD_BYTES [RATE]");
  int port = (int)argument(argv[1], "PORT", 1, 65535);
  long count = argument(argv[2], "CONNECTIONS", 1, CONNECTIONS_MAX);
  window = argument(argv[3], "WINDOW", 1, WINDOW_MAX);
  long messages = argument(argv[4], "MESSAGES", 1, 100000000);
  payload_bytes = argument(argv[5], "PAYLOAD_BYTES", PAYLOAD_MIN, PAYLOAD_MAX);
  long rate = argc == 7 ? argument(argv[6], "RATE", 1, 10000000) : 0;

  int poll = epoll_create1(0);
  struct connection **connections = calloc((size_t)count, sizeof *connections);
  latencies_ns = malloc((size_t)messages * sizeof *latencies_ns);
  if (poll < 0 || !connections || !latencies_ns) fail("out of memory");
  for (long i = 0; i < count; i++) {
    struct connection *c = connections[i] = calloc(1, sizeof **connections);
    if (!c) fail("out of memory");
    c->index = (int)i;
    open_connection(c, port);
    /* Edge-triggered: woken for room to write only when there was none. */
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_ADD, c->socket, &interest);
  }

  uint64_t started_ns = now_ns(CLOCK_MONOTONIC);
  run(connections, count, messages, rate, poll);
  double seconds = (double)(now_ns(CLOCK_MONOTONIC) - started_ns) / 1e9;
  qsort(latencies_ns, (size_t)latencies, sizeof *latencies_ns, ascending);
  printf("{\"messages\":%ld,\"seconds\":%.6f,\"ackMs\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}}\n",
         latencies, seconds, latency_ms(0.5), latency_ms(0.99), latency_ms(1));
  return 0;
}

/*
 * Invariants:
 * - a record leaves the store only when the hub has acknowledged it, or, with
 *   HOLDFAST_DROP_OLDEST, before it was ever sent;
 * - record i of the store has the sequence number `first + i` from its first sending on: what was
 *   ever sent is neither changed nor given another number within its session;
 * - cursor <= sent <= window, and sent <= records in the store;
 * - what is not a whole frame with a right checksum changes nothing but `bad_frames`.
 */
#include "holdfast.h"
#include "holdfast_bytes.h"

#include <string.h>

/* Inlined these make the code 250 bytes larger on an AVR. */
#if defined(__GNUC__)
#define HOLDFAST_APART __attribute__((noinline))
#else
#define HOLDFAST_APART
#endif

enum {
  HELLO = 0x01, READING = 0x02, PING = 0x03, ANSWER = 0x04,
  WELCOME = 0x81, ACK = 0x82, NAK = 0x83, WAIT = 0x84, WHO = 0x85, COMMAND = 0x86, PONG = 0x87
};
enum { VERSION = 1 };
/* Where in a record the number of those lost before it is. */
enum { LOST = 7 };
enum { NUMBER = 1, FLOAT = 2, TEXT = 3, BOOL = 4 };
/* How the time of a record is kept, and said: but for UPTIME, which becomes AGE. */
enum { TIME_UNKNOWN = 0, TIME_AGE = 1, TIME_UPTIME = 1, TIME_HUB = 1 /* + quality: 2, 3 */ };

/* All below 65,536: they are measured by the low 16 bits of the clock. */
#define HELLO_MS 1000u      /* a hub that starts needs some seconds, a lost frame none */
#define RESEND_MS 1000u     /* an SD card that erases takes 0.5 s */
#define RESEND_MS_MAX 8000u /* a line that is cut costs a window each 8 s */
#define PING_MS 10000u
#define SILENCE_MS 35000u   /* three pings without an answer: say hello again */
/* The upper half of the numbers at which a session has used them up. */
#define LAST_SEQUENCES 0xffffu

static uint16_t now(const holdfast_link *link) { return get16(link->clock); }

static bool passed(const holdfast_link *link, uint16_t since, uint16_t ms) {
  return (uint16_t)(now(link) - since) >= ms;
}

/* ---- frames ---- */

uint16_t holdfast_crc(const uint8_t *bytes, uint8_t length) {
  uint16_t crc = 0xffff;
  while (length--) {
    crc ^= (uint16_t)((uint16_t)*bytes++ << 8);
    for (uint8_t bit = 0; bit < 8; bit++)
      crc = (uint16_t)(crc & 0x8000 ? (uint16_t)(crc << 1) ^ 0x1021 : crc << 1);
  }
  return crc;
}

void holdfast_stuff(uint8_t *frame, uint8_t length) {
  uint8_t code = 1;
  frame[length + 1] = 0;
  for (uint8_t at = length; at > 0; at--) { /* from behind, each zero becomes the way to the next */
    if (frame[at] == 0) {
      frame[at] = code;
      code = 0;
    }
    code++;
  }
  frame[0] = code;
}

uint8_t holdfast_unstuff(uint8_t *frame, uint8_t length) {
  uint16_t at = 0;
  while (at < length) {
    uint8_t code = frame[at];
    if (code == 0) return 0;
    frame[at] = 0;
    at = (uint16_t)(at + code);
  }
  return at == length && length > 1 ? (uint8_t)(length - 1) : 0;
}

static void pump(holdfast_link *link) {
  const holdfast_config *config = link->config;
  uint8_t left = (uint8_t)(link->tx_length - link->tx_at);
  if (left == 0) return;
  size_t taken = config->write(config->user, link->tx + link->tx_at, left);
  if (taken < left) link->tx_at = (uint8_t)(link->tx_at + taken);
  else link->tx_length = link->tx_at = 0;
}

/* Sends the frame whose type is at tx[1] and which ends before `end`. */
static void send(holdfast_link *link, uint8_t type, const uint8_t *end) {
  uint8_t length = (uint8_t)(end - (link->tx + 1));
  link->tx[1] = type;
  (void)put16(link->tx + 1 + length, holdfast_crc(link->tx + 1, length));
  length = (uint8_t)(length + 2);
  holdfast_stuff(link->tx, length);
  link->tx_length = (uint8_t)(length + 2);
  link->said = now(link);
  pump(link);
}

/* ---- records: in the store of the user, or in the ring ---- */

/* The byte `at` of the ring, counted from its oldest. */
static uint8_t *ring_byte(const holdfast_link *link, uint16_t at) {
  const holdfast_config *config = link->config;
  uint16_t to_end = (uint16_t)(config->buffer_length - link->ring_head);
  at = (uint16_t)(at < to_end ? link->ring_head + at : at - to_end);
  return config->buffer + at;
}

/* Where the record `index` begins. */
static uint16_t ring_place(const holdfast_link *link, uint16_t index) {
  uint16_t at = 0;
  while (index--) at = (uint16_t)(at + 1 + *ring_byte(link, at));
  return at;
}

static uint16_t count(const holdfast_link *link) {
  const holdfast_store *store = link->config->store;
  return store ? store->count(store->user) : link->ring_count;
}

static bool append(holdfast_link *link, const uint8_t *record, uint8_t length) {
  const holdfast_store *store = link->config->store;
  if (store) return store->append(store->user, record, length);
  uint16_t free_bytes = (uint16_t)(link->config->buffer_length - link->ring_used);
  if (free_bytes <= length) return false;
  *ring_byte(link, link->ring_used++) = length;
  while (length--) *ring_byte(link, link->ring_used++) = *record++;
  link->ring_count++;
  return true;
}

static uint8_t read_record(const holdfast_link *link, uint16_t index, uint8_t *record) {
  const holdfast_store *store = link->config->store;
  if (store) return store->read(store->user, index, record);
  if (index >= link->ring_count) return 0;
  uint16_t at = ring_place(link, index);
  uint8_t length = *ring_byte(link, at);
  for (uint8_t left = length; left > 0; left--) *record++ = *ring_byte(link, ++at);
  return length;
}

/* Takes the oldest bytes out of the ring. */
static void ring_skip(holdfast_link *link, uint16_t bytes) {
  link->ring_head = (uint16_t)(ring_byte(link, bytes) - link->config->buffer);
  link->ring_used = (uint16_t)(link->ring_used - bytes);
}

static void drop(holdfast_link *link, uint16_t records) {
  const holdfast_store *store = link->config->store;
  if (store) {
    store->drop(store->user, records);
    return;
  }
  ring_skip(link, ring_place(link, records));
  link->ring_count = (uint16_t)(link->ring_count - records);
}

/*
 * Gives up the oldest record that was never sent: the ring is turned once, without it. What it
 * counted as lost, and itself, count for the next record that is kept. False when there is none
 * to give up, or when giving up all of them would not make room for `need` bytes.
 */
static bool give_way(holdfast_link *link, uint8_t need) {
  const holdfast_config *config = link->config;
  uint16_t kept = ring_place(link, link->sent);
  uint16_t left = link->ring_used;
  if (config->when_full != HOLDFAST_DROP_OLDEST || left <= kept) return false;
  if (kept + need >= config->buffer_length) return false;
  while (left > 0) {
    if (kept-- == 0) {
      uint16_t bytes = (uint16_t)(*ring_byte(link, 0) + 1);
      uint32_t lost = 0;
      for (uint8_t i = 4; i > 0; i--) lost = lost << 8 | *ring_byte(link, (uint16_t)(LOST + i));
      link->unreported += lost + 1;
      ring_skip(link, bytes);
      left = (uint16_t)(left - bytes);
    } else {
      uint8_t byte = *ring_byte(link, 0);
      ring_skip(link, 1);
      *ring_byte(link, link->ring_used++) = byte;
      left--;
    }
  }
  link->ring_count--;
  link->lost++;
  return true;
}

/* ---- time: 48 bits, low byte first ---- */

static void look_at_clock(holdfast_link *link) {
  uint32_t ms = link->config->millis(link->config->user);
  if (ms < get32(link->clock)) (void)put16(link->clock + 4, (uint16_t)(get16(link->clock + 4) + 1));
  (void)put32(link->clock, ms);
}

HOLDFAST_APART static void take_time(holdfast_link *link, const uint8_t *at) {
  link->quality = at[0];
  memcpy(link->offset, link->clock, 6);
  sub48(link->offset, at + 1);
}

holdfast_time_quality holdfast_time(holdfast_link *link, uint64_t *ms) {
  look_at_clock(link);
  sum48(ms, link->clock, link->offset);
  return (holdfast_time_quality)link->quality;
}

/* The time of a record as it is kept: in RAM by our clock, in a store by the hub's. */
static void put_time(holdfast_link *link, uint8_t *record) {
  record[0] = TIME_UPTIME;
  memcpy(record + 1, link->clock, 6);
  if (link->config->store && link->quality != HOLDFAST_TIME_NONE) {
    record[0] = (uint8_t)(TIME_HUB + link->quality);
    add48(record + 1, link->offset);
  }
}

/* The time of a record as it is said: our clock means nothing to the hub. */
static void say_time(const holdfast_link *link, uint8_t *record) {
  if (record[0] != TIME_UPTIME) return;
  if (link->cursor < link->restored) record[0] = TIME_UNKNOWN; /* the clock began anew */
  sub48(record + 1, link->clock);
}

/* ---- readings ---- */

static bool keep(holdfast_link *link, const char *name, uint8_t type, const void *value,
                 size_t length) {
  uint8_t record[HOLDFAST_RECORD_MAX];
  size_t name_length = strlen(name);
  size_t total = HOLDFAST_RECORD_HEADER + name_length + length;
  look_at_clock(link);
  if (total <= sizeof record && name_length <= sizeof record && length <= sizeof record) {
    uint8_t *at = record + HOLDFAST_RECORD_HEADER;
    put_time(link, record);
    at[-2] = type;
    at[-1] = (uint8_t)name_length;
    memcpy(at, name, name_length);
    memcpy(at + name_length, value, length);
    do {
      (void)put32(record + LOST, link->unreported);
      if (append(link, record, (uint8_t)total)) {
        link->unreported = 0;
        link->kept++;
        return true;
      }
    } while (give_way(link, (uint8_t)total));
  }
  link->unreported++;
  link->lost++;
  return false;
}

bool holdfast_number(holdfast_link *link, const char *name, int32_t value, int8_t exponent) {
  uint8_t bytes[5];
  bytes[0] = (uint8_t)exponent;
  (void)put32(bytes + 1, (uint32_t)value);
  return keep(link, name, NUMBER, bytes, sizeof bytes);
}

bool holdfast_float(holdfast_link *link, const char *name, float value) {
  uint32_t bits;
  uint8_t bytes[4];
  memcpy(&bits, &value, sizeof bits);
  (void)put32(bytes, bits);
  return keep(link, name, FLOAT, bytes, sizeof bytes);
}

bool holdfast_bool(holdfast_link *link, const char *name, bool value) {
  uint8_t byte = value ? 1 : 0;
  return keep(link, name, BOOL, &byte, 1);
}

bool holdfast_text(holdfast_link *link, const char *name, const char *text) {
  return keep(link, name, TEXT, text, strlen(text));
}

uint16_t holdfast_waiting(const holdfast_link *link) { return count(link); }

/* ---- what the hub says ---- */

/* Waits from now on for what was sent. */
static void wait_again(holdfast_link *link, uint16_t wait_ms) {
  link->resend_since = now(link);
  link->resend_ms = wait_ms;
}

/*
 * The hub has everything on its disk up to the number at `at`. Its low half is enough: what is on
 * the way is at most a window.
 */
static void acknowledged(holdfast_link *link, const uint8_t *at) {
  uint16_t n = (uint16_t)(get16(at) - (uint16_t)link->first + 1);
  if (n == 0 || n > link->sent) return; /* said before, or not ours */
  drop(link, n);
  link->first += n;
  link->sent = (uint16_t)(link->sent - n);
  link->cursor = (uint16_t)(link->cursor > n ? link->cursor - n : 0);
  link->restored = (uint16_t)(link->restored > n ? link->restored - n : 0);
  wait_again(link, RESEND_MS);
}

static void welcome(holdfast_link *link, const uint8_t *at, uint8_t length) {
  const holdfast_store *store = link->config->store;
  if (length < 19 || at[0] != VERSION || link->up || get16(at + 1) != link->nonce) return;
  uint32_t session = get32(at + 3);
  link->up = true;
  link->window = at[11] < HOLDFAST_WINDOW ? at[11] : HOLDFAST_WINDOW;
  if (session != link->session) { /* the hub gives the numbers: all that we hold is new in it */
    link->session = session;
    link->first = get32(at + 7) + 1;
    link->sent = 0;
    if (store) store->begin(store->user, session, link->first);
  }
  acknowledged(link, at + 7);
  link->cursor = 0;
  wait_again(link, RESEND_MS);
  take_time(link, at + 12);
}

static void do_command(holdfast_link *link, const uint8_t *at, uint8_t length) {
  const holdfast_config *config = link->config;
  holdfast_command *command = &link->command;
  if (length < 5) return;
  uint32_t id = get32(at);
  uint8_t name_length = at[4];
  at += 5;
  length = (uint8_t)(length - 5);
  if (name_length > length) return;
  link->answer_due = true;
  if (link->command_known && id == link->command_id) return; /* done before: said again */
  link->command_known = true;
  link->command_id = id;
  command->name = (const char *)at;
  command->name_length = name_length;
  command->payload = at + name_length;
  command->payload_length = (uint8_t)(length - name_length);
  command->answer_length = 0;
  link->answer_status = HOLDFAST_COMMAND_UNKNOWN;
  if (config->command) link->answer_status = (uint8_t)config->command(config->user, command);
  /* as snprintf counts it: also what there was no room for */
  if (command->answer_length > HOLDFAST_ANSWER_MAX) command->answer_length = HOLDFAST_ANSWER_MAX;
}

/* A frame of a session: its tag and the last acknowledged number come first. */
static void session_frame(holdfast_link *link, uint8_t type, const uint8_t *at, uint8_t length) {
  if (length < 6 || !link->up || get16(at) != (uint16_t)link->session) return;
  acknowledged(link, at + 2);
  at += 6;
  length = (uint8_t)(length - 6);
  if (type == NAK && length >= 4) {
    uint16_t wanted = (uint16_t)(get16(at) - (uint16_t)link->first);
    if (wanted < link->cursor) link->cursor = wanted;
    wait_again(link, RESEND_MS);
  } else if (type == WAIT && length >= 2) {
    wait_again(link, get16(at));
  } else if (type == PONG && length >= 7) {
    take_time(link, at);
  }
}

HOLDFAST_APART static void take_frame(holdfast_link *link) {
  uint8_t length = holdfast_unstuff(link->rx, link->rx_length);
  const uint8_t *at = link->rx + 1;
  if (length < 3 || holdfast_crc(at, (uint8_t)(length - 2)) != get16(at + length - 2)) {
    link->bad_frames++;
    return;
  }
  uint8_t type = *at++;
  length = (uint8_t)(length - 3);
  link->heard = now(link);
  if (type == WELCOME) {
    welcome(link, at, length);
  } else if (type == WHO) {
    link->hello_now |= link->up;
    link->up = false;
  } else if (type == COMMAND) {
    do_command(link, at, length);
  } else {
    session_frame(link, type, at, length);
  }
}

void holdfast_receive(holdfast_link *link, const uint8_t *bytes, size_t length) {
  look_at_clock(link);
  while (length--) {
    uint8_t byte = *bytes++;
    if (byte != 0) { /* one that is too long stays full: it has no right checksum */
      if (link->rx_length < sizeof link->rx) link->rx[link->rx_length++] = byte;
    } else if (link->rx_length > 0) {
      take_frame(link);
      link->rx_length = 0;
    }
  }
}

/* ---- what we say ---- */

static void say_hello(holdfast_link *link) {
  uint8_t *at = link->tx + 2;
  size_t device = strlen(link->config->device);
  link->nonce++;
  link->hello_now = false;
  link->hello_said = now(link);
  *at++ = VERSION;
  at = put16(at, link->nonce);
  at = put32(at, link->session);
  at = put32(put32(at, link->first), link->first + link->sent);
  *at++ = HOLDFAST_WINDOW;
  *at++ = HOLDFAST_FRAME_MAX;
  if (device > 32) device = 32;
  memcpy(at, link->config->device, device);
  send(link, HELLO, at + device);
}

static void say_answer(holdfast_link *link) {
  uint8_t *at = put32(link->tx + 2, link->command_id);
  *at++ = link->answer_status;
  memcpy(at, link->command.answer, link->command.answer_length);
  link->answer_due = false;
  send(link, ANSWER, at + link->command.answer_length);
}

static void say_reading(holdfast_link *link) {
  uint8_t *at = put32(put16(link->tx + 2, (uint16_t)link->session), link->first + link->cursor);
  uint8_t length = read_record(link, link->cursor, at);
  if (length == 0) return;
  say_time(link, at);
  link->cursor++;
  if (link->cursor <= link->sent) {
    link->resent++;
  } else {
    link->sent = link->cursor;
    wait_again(link, RESEND_MS);
  }
  send(link, READING, at + length);
}

static void say_something(holdfast_link *link) {
  uint16_t limit = count(link);
  bool used_up = (uint16_t)(link->first >> 16) == LAST_SEQUENCES;
  if (limit > link->window) limit = link->window;
  if (used_up) limit = link->sent;
  if (used_up && limit == 0) { /* all is acknowledged: the numbers begin again */
    link->session = 0;
    link->first = 1;
    link->up = false;
  } else if (link->cursor < limit) {
    say_reading(link);
  } else if (link->sent > 0 && passed(link, link->resend_since, link->resend_ms)) {
    link->cursor = 0;
    uint16_t wait_ms = link->resend_ms;
    wait_again(link, wait_ms < RESEND_MS_MAX ? (uint16_t)(wait_ms * 2) : RESEND_MS_MAX);
  } else if (passed(link, link->said, PING_MS)) {
    send(link, PING, put32(put16(link->tx + 2, (uint16_t)link->session), link->first + link->sent));
  }
}

void holdfast_poll(holdfast_link *link) {
  look_at_clock(link);
  pump(link);
  if (link->tx_length > 0) return; /* one frame at a time */
  if (passed(link, link->heard, SILENCE_MS)) link->up = false;
  if (link->answer_due) say_answer(link);
  else if (link->up) say_something(link);
  else if (link->hello_now || passed(link, link->hello_said, HELLO_MS)) say_hello(link);
}

void holdfast_begin(holdfast_link *link, const holdfast_config *config) {
  const holdfast_store *store = config->store;
  memset(link, 0, sizeof *link);
  link->config = config;
  link->first = 1;
  link->hello_now = true;
  look_at_clock(link);
  if (store == NULL) return;
  link->restored = store->count(store->user);
  if (store->load(store->user, &link->session, &link->first)) {
    /* how many of them were sent is not known: it may have been all of a window */
    link->sent = link->restored < HOLDFAST_WINDOW ? link->restored : HOLDFAST_WINDOW;
  }
}

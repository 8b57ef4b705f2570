/*
 * Layout: a header of four numbers, then slots of one record each (length, bytes), used in turn.
 * The header is replaced by one write and holds all that changes by `drop` and `begin`; `append`
 * writes the slot before the header that counts it. A file is written with fdatasync as a flash
 * page would be programmed.
 */
#define _POSIX_C_SOURCE 200809L
#include "file_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 256, SLOT_BYTES = HOLDFAST_RECORD_MAX + 1 };

static int file;
static struct {
  uint32_t session;   /* 0: none was begun */
  uint32_t first;     /* the number of the oldest record in it */
  uint32_t dropped;   /* records ever dropped: the oldest is in slot dropped % SLOTS */
  uint32_t appended;  /* records ever appended */
} header;

static void failed(const char *what) {
  perror(what);
  exit(73);
}

static void save(void) {
  if (pwrite(file, &header, sizeof header, 0) != (ssize_t)sizeof header) failed("store");
  if (fdatasync(file) != 0) failed("store");
}

static void check(ssize_t moved, size_t wanted) {
  if (moved != (ssize_t)wanted) failed("store");
}

static off_t place(uint32_t record) {
  return (off_t)(sizeof header + (size_t)(record % SLOTS) * SLOT_BYTES);
}

static uint16_t count(void *user) {
  (void)user;
  return (uint16_t)(header.appended - header.dropped);
}

static bool append(void *user, const uint8_t *record, uint8_t length) {
  uint8_t slot[SLOT_BYTES] = {0};
  if (count(user) == SLOTS) return false;
  slot[0] = length;
  memcpy(slot + 1, record, length);
  check(pwrite(file, slot, sizeof slot, place(header.appended)), sizeof slot);
  header.appended++;
  save();
  return true;
}

static uint8_t read_record(void *user, uint16_t index, uint8_t *record) {
  uint8_t slot[SLOT_BYTES];
  if (index >= count(user)) return 0;
  check(pread(file, slot, sizeof slot, place(header.dropped + index)), sizeof slot);
  memcpy(record, slot + 1, slot[0]);
  return slot[0];
}

static void drop(void *user, uint16_t records) {
  (void)user;
  header.dropped += records;
  header.first += records;
  save();
}

static void begin(void *user, uint32_t session, uint32_t first) {
  (void)user;
  header.session = session;
  header.first = first;
  save();
}

static bool load(void *user, uint32_t *session, uint32_t *first) {
  (void)user;
  if (header.session == 0) return false;
  *session = header.session;
  *first = header.first;
  return true;
}

uint32_t file_store_open(holdfast_store *store, const char *path) {
  const holdfast_store functions = {NULL, append, read_record, drop, count, begin, load};
  file = open(path, O_RDWR | O_CREAT, 0600);
  if (file < 0) failed(path);
  ssize_t found = pread(file, &header, sizeof header, 0);
  if (found != (ssize_t)sizeof header) memset(&header, 0, sizeof header);
  *store = functions;
  return header.appended;
}

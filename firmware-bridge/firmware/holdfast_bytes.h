/* Numbers in bytes, for holdfast.c alone. */
#ifndef HOLDFAST_BYTES_H
#define HOLDFAST_BYTES_H

#include <stdint.h>
#include <string.h>

/* Numbers on the wire have the low byte first, as have most targets. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static uint16_t get16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t get32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint8_t *put16(uint8_t *at, uint16_t value) {
  memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
  memcpy(at, &value, sizeof value);
  return at + sizeof value;
}
#else
static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] | (uint16_t)at[1] << 8); }

static uint32_t get32(const uint8_t *at) { return get16(at) | (uint32_t)get16(at + 2) << 16; }

static uint8_t *put16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)value;
  at[1] = (uint8_t)(value >> 8);
  return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
  return put16(put16(at, (uint16_t)value), (uint16_t)(value >> 16));
}
#endif

/* Times have 48 bits, low byte first. */

static void add48(uint8_t *to, const uint8_t *more) {
  uint16_t sum = 0;
  for (uint8_t i = 0; i < 6; i++) {
    sum = (uint16_t)(to[i] + more[i] + (sum >> 8));
    to[i] = (uint8_t)sum;
  }
}

/* As a number. Added in place where that is possible: 64 bits cost an AVR a hundred bytes. */
static void sum48(uint64_t *sum, const uint8_t *a, const uint8_t *b) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  uint8_t *bytes = (uint8_t *)sum;
  *sum = 0;
  add48(bytes, a);
  add48(bytes, b);
#else
  uint8_t bytes[6] = {0};
  add48(bytes, a);
  add48(bytes, b);
  *sum = (uint64_t)get16(bytes + 4) << 32 | get32(bytes);
#endif
}

/* `to` becomes `from - to`. */
static void sub48(uint8_t *to, const uint8_t *from) {
  uint16_t sum = 0x100;
  for (uint8_t i = 0; i < 6; i++) {
    sum = (uint16_t)(from[i] + (uint8_t)~to[i] + (sum >> 8));
    to[i] = (uint8_t)sum;
  }
}

#endif

/*
 * `fuzz SECONDS SEED BUFFER_BYTES`: hostile bytes, odd clocks and a port that takes what it likes.
 * Built with the sanitizers; the invariants of holdfast.c are checked after every step.
 */
#define _POSIX_C_SOURCE 200809L
#include "../holdfast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint32_t state;
static uint32_t clock_ms;
static uint16_t nonce; /* of the last hello: without it no welcome is believed */

static uint32_t pick(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % below;
}

static uint32_t millis(void *user) {
  (void)user;
  return clock_ms;
}

static size_t write_some(void *user, const uint8_t *bytes, size_t length) {
  (void)user;
  (void)bytes;
  return pick((uint32_t)length + 1);
}

static holdfast_command_status any_answer(void *user, holdfast_command *command) {
  (void)user;
  uint8_t sum = 0;
  for (uint8_t i = 0; i < command->name_length; i++) sum = (uint8_t)(sum + command->name[i]);
  for (uint8_t i = 0; i < command->payload_length; i++) sum = (uint8_t)(sum + command->payload[i]);
  command->answer_length = sum;
  return (holdfast_command_status)(sum % 3);
}

/* A frame with a right checksum and a body that may mean anything. */
static void say_frame(holdfast_link *link) {
  static const uint8_t types[] = {0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x02, 0x55};
  uint8_t frame[260];
  uint8_t length = (uint8_t)(1 + pick(pick(8) ? 30 : 200));
  for (uint8_t i = 0; i < length; i++) frame[1 + i] = (uint8_t)(pick(3) ? pick(4) : pick(256));
  frame[1] = types[pick(sizeof types)];
  if (frame[1] == 0x81) {
    frame[2] = 1;
    frame[3] = (uint8_t)nonce;
    frame[4] = (uint8_t)(nonce >> 8);
  } else if (frame[1] != 0x86 && frame[1] != 0x85) {
    frame[2] = (uint8_t)link->session;
    frame[3] = (uint8_t)(link->session >> 8);
    uint32_t near = link->first + pick(12) - 3;
    memcpy(frame + 4, &near, sizeof near);
  }
  uint16_t crc = holdfast_crc(frame + 1, length);
  frame[1 + length] = (uint8_t)crc;
  frame[2 + length] = (uint8_t)(crc >> 8);
  holdfast_stuff(frame, (uint8_t)(length + 2));
  if (pick(8) == 0) frame[pick(length)] ^= (uint8_t)(1u << pick(8));
  holdfast_receive(link, frame, (size_t)length + 4);
}

static void say_noise(holdfast_link *link) {
  uint8_t bytes[64];
  size_t length = pick(sizeof bytes);
  for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)(pick(4) ? pick(256) : 0);
  holdfast_receive(link, bytes, length);
}

static void check(bool holds, const char *what) {
  if (holds) return;
  printf("does not hold: %s\n", what);
  exit(1);
}

static void step(holdfast_link *link, const holdfast_config *config) {
  static const char *const texts[] = {
    "", "x", "a text that is rather long, but not too long for a record",
    "a text that is too long for any record: 0123456789 0123456789 0123456789 0123456789 "
    "0123456789 0123456789"};
  uint16_t waiting = holdfast_waiting(link);
  uint16_t sent = link->sent;
  uint32_t first = link->first;
  switch (pick(8)) {
    case 0: say_noise(link); break;
    case 1: case 2: say_frame(link); break;
    case 3: case 4: holdfast_poll(link); nonce = link->nonce; break;
    case 5:
      if (holdfast_text(link, pick(2) ? "t" : "temperature", texts[pick(4)])) waiting++;
      /* given up at most what was never sent */
      check(holdfast_waiting(link) >= sent, "what was sent is kept until it is acknowledged");
      check(link->first == first, "nothing that was sent changes its number");
      if (config->when_full == HOLDFAST_REFUSE_NEW)
        check(holdfast_waiting(link) == waiting, "nothing is given up");
      break;
    case 6: (void)holdfast_float(link, "f", (float)pick(1000)); break;
    default: clock_ms += pick(10) ? pick(50) : pick(40000); break;
  }
  check(link->cursor <= link->sent, "cursor <= sent");
  check(link->sent <= HOLDFAST_WINDOW, "sent <= window");
  check(link->sent <= holdfast_waiting(link), "sent <= held");
  check(link->ring_used <= config->buffer_length, "the ring is in its buffer");
}

int main(int argc, char **argv) {
  struct timespec began, now;
  unsigned long steps = 0;
  if (argc != 4) return 64;
  state = (uint32_t)strtoul(argv[2], NULL, 10) | 1u;
  (void)clock_gettime(CLOCK_MONOTONIC, &began);
  do {
    holdfast_link *link = malloc(sizeof *link); /* so that the sanitizer sees its ends */
    holdfast_config config = {0};
    config.device = "fuzz";
    config.millis = millis;
    config.write = write_some;
    config.command = any_answer;
    config.buffer_length = (uint16_t)(strtoul(argv[3], NULL, 10) + pick(64));
    config.buffer = malloc(config.buffer_length);
    config.when_full = pick(2) ? HOLDFAST_DROP_OLDEST : HOLDFAST_REFUSE_NEW;
    if (link == NULL || config.buffer == NULL) return 70;
    clock_ms = pick(2) ? 0 : 0xfffff000u;
    holdfast_begin(link, &config);
    for (int i = 0; i < 5000; i++, steps++) step(link, &config);
    free(config.buffer);
    free(link);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - began.tv_sec < strtol(argv[1], NULL, 10));
  printf("%lu steps\n", steps);
  return 0;
}

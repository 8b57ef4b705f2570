/*
 * The library by hand, for the tests. Lines in: `clock MS`, `hub HEX`, `number NAME VALUE EXP`,
 * `poll`, `state`. Lines out: `device HEX` for each frame,
 * `state UP WAITING KEPT LOST BAD QUALITY MS`.
 */
#include "../holdfast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t clock_ms;

static uint32_t millis(void *user) {
  (void)user;
  return clock_ms;
}

static size_t write_frame(void *user, const uint8_t *bytes, size_t length) {
  (void)user;
  fputs("device", stdout);
  for (size_t i = 0; i < length; i++) printf(" %02x", bytes[i]);
  putchar('\n');
  return length;
}

static holdfast_command_status echo(void *user, holdfast_command *command) {
  (void)user;
  command->answer_length = command->payload_length;
  memcpy(command->answer, command->payload, command->payload_length);
  return HOLDFAST_COMMAND_DONE;
}

static void hub_says(holdfast_link *link, const char *hex) {
  char *end;
  for (unsigned long byte = strtoul(hex, &end, 16); end != hex; byte = strtoul(hex, &end, 16)) {
    uint8_t one = (uint8_t)byte;
    holdfast_receive(link, &one, 1);
    hex = end;
  }
}

int main(void) {
  static uint8_t buffer[256];
  static holdfast_link link;
  holdfast_config config = {0};
  char line[2048];
  config.device = "pico";
  config.millis = millis;
  config.write = write_frame;
  config.command = echo;
  config.buffer = buffer;
  config.buffer_length = sizeof buffer;
  holdfast_begin(&link, &config);
  while (fgets(line, sizeof line, stdin)) {
    char name[64];
    long value;
    int exponent;
    if (strncmp(line, "clock ", 6) == 0) {
      clock_ms = (uint32_t)strtoul(line + 6, NULL, 10);
    } else if (strncmp(line, "hub ", 4) == 0) {
      hub_says(&link, line + 4);
    } else if (sscanf(line, "number %63s %ld %d", name, &value, &exponent) == 3) {
      (void)holdfast_number(&link, name, (int32_t)value, (int8_t)exponent);
    } else if (strncmp(line, "poll", 4) == 0) {
      holdfast_poll(&link);
    } else if (strncmp(line, "state", 5) == 0) {
      uint64_t ms;
      holdfast_time_quality quality = holdfast_time(&link, &ms);
      printf("state %d %u %u %u %u %d %llu\n", link.up, (unsigned)holdfast_waiting(&link),
             (unsigned)link.kept, (unsigned)link.lost, (unsigned)link.bad_frames, (int)quality,
             (unsigned long long)ms);
    }
  }
  return 0;
}

/*
 * An Arduino that measures, with Holdfast Link on its USB port. Copy holdfast.h, holdfast_bytes.h
 * and holdfast.c into the folder of the sketch. An Uno keeps 21 readings; a board with more RAM keeps more.
 */
#include "holdfast.h"

static uint8_t kept[512];
static holdfast_link hub;

static uint32_t now_ms(void *) { return millis(); }

static size_t to_hub(void *, const uint8_t *bytes, size_t length) {
  size_t room = (size_t)Serial.availableForWrite();
  return Serial.write(bytes, length < room ? length : room);
}

static holdfast_command_status on_command(void *, holdfast_command *command) {
  if (command->name_length != 3 || memcmp(command->name, "led", 3) != 0) return HOLDFAST_COMMAND_UNKNOWN;
  bool on = command->payload_length == 1 && command->payload[0] == '1';
  digitalWrite(LED_BUILTIN, on ? HIGH : LOW);
  return HOLDFAST_COMMAND_DONE;
}

static holdfast_config config;

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  Serial.begin(115200);
  config.device = "uno-1";
  config.millis = now_ms;
  config.write = to_hub;
  config.command = on_command;
  config.buffer = kept;
  config.buffer_length = sizeof kept;
  config.when_full = HOLDFAST_DROP_OLDEST; /* the newest readings are worth most here */
  holdfast_begin(&hub, &config);
}

void loop() {
  static uint32_t measured_ms = 0;
  while (Serial.available() > 0) {
    uint8_t byte = (uint8_t)Serial.read();
    holdfast_receive(&hub, &byte, 1);
  }
  if (millis() - measured_ms >= 1000) {
    measured_ms += 1000;
    holdfast_number(&hub, "light", analogRead(A0), 0);
  }
  holdfast_poll(&hub);
}

/*
 * Not Arduino: the few declarations of its core that the example uses, so that the test can compile
 * it with Debian's avr-g++ alone. On a board the core of the Arduino IDE takes its place.
 */
#ifndef HOLDFAST_SHIM_ARDUINO_H
#define HOLDFAST_SHIM_ARDUINO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LED_BUILTIN 13
#define OUTPUT 1
#define HIGH 1
#define LOW 0
#define A0 14

extern "C" {
unsigned long millis(void);
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
int analogRead(uint8_t pin);
}

struct HardwareSerial {
  void begin(unsigned long baud);
  int available();
  int availableForWrite();
  int read();
  size_t write(const uint8_t *bytes, size_t length);
};
extern HardwareSerial Serial;

#endif

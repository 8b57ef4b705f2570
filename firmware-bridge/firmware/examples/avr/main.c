/*
 * Without Arduino: an ATmega328P at 16 MHz, Holdfast Link on its USART, avr-libc only.
 * avr-gcc -std=c99 -Os -mmcu=atmega328p -I../.. main.c ../../holdfast.c -o board.elf
 */
#include "holdfast.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

static volatile uint32_t ticks_ms;
static volatile uint8_t received[64];
static volatile uint8_t received_head;
static uint8_t received_tail;
static uint8_t kept[512];
static holdfast_link hub;

ISR(TIMER0_COMPA_vect) { ticks_ms++; }

ISR(USART_RX_vect) {
  received[received_head] = UDR0;
  received_head = (uint8_t)((received_head + 1) % sizeof received);
}

static uint32_t now_ms(void *user) {
  uint32_t ms;
  (void)user;
  ATOMIC_BLOCK(ATOMIC_RESTORESTATE) { ms = ticks_ms; }
  return ms;
}

static size_t to_hub(void *user, const uint8_t *bytes, size_t length) {
  (void)user;
  if (length == 0 || !(UCSR0A & (1 << UDRE0))) return 0;
  UDR0 = bytes[0];
  return 1;
}

static uint16_t measure(void) {
  ADCSRA |= (1 << ADSC);
  while (ADCSRA & (1 << ADSC)) {
  }
  return ADC;
}

int main(void) {
  static holdfast_config config;
  uint32_t measured_ms = 0;
  UBRR0 = 16; /* 115,200 baud at double speed */
  UCSR0A = 1 << U2X0;
  UCSR0B = (1 << RXEN0) | (1 << TXEN0) | (1 << RXCIE0);
  OCR0A = 249; /* 1 ms with a prescaler of 64 */
  TCCR0A = 1 << WGM01;
  TCCR0B = (1 << CS01) | (1 << CS00);
  TIMSK0 = 1 << OCIE0A;
  ADMUX = 1 << REFS0;
  ADCSRA = (1 << ADEN) | (1 << ADPS2) | (1 << ADPS1) | (1 << ADPS0);
  config.device = "avr-1";
  config.millis = now_ms;
  config.write = to_hub;
  config.buffer = kept;
  config.buffer_length = sizeof kept;
  holdfast_begin(&hub, &config);
  sei();
  for (;;) {
    while (received_tail != received_head) {
      uint8_t byte = received[received_tail];
      received_tail = (uint8_t)((received_tail + 1) % sizeof received);
      holdfast_receive(&hub, &byte, 1);
    }
    if (now_ms(0) - measured_ms >= 1000) {
      measured_ms += 1000;
      (void)holdfast_number(&hub, "light", measure(), 0);
    }
    holdfast_poll(&hub);
  }
}

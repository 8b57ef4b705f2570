/*
 * A Raspberry Pi Pico with the Pico SDK: Holdfast Link on its USB port, the chip's temperature.
 * CMake: add holdfast.c to the sources, link pico_stdlib and hardware_adc, and
 * pico_enable_stdio_usb(... 1), pico_enable_stdio_uart(... 0).
 */
#include "holdfast.h"

#include "hardware/adc.h"
#include "pico/stdlib.h"

static uint8_t kept[16384];
static holdfast_link hub;

static uint32_t now_ms(void *user) {
  (void)user;
  return to_ms_since_boot(get_absolute_time());
}

static size_t to_hub(void *user, const uint8_t *bytes, size_t length) {
  (void)user;
  if (!stdio_usb_connected()) return length; /* nobody listens: it is sent again later */
  for (size_t i = 0; i < length; i++) putchar_raw(bytes[i]);
  return length;
}

int main(void) {
  static holdfast_config config;
  uint32_t measured_ms = 0;
  stdio_init_all();
  adc_init();
  adc_set_temp_sensor_enabled(true);
  adc_select_input(4);
  config.device = "pico-1";
  config.millis = now_ms;
  config.write = to_hub;
  config.buffer = kept;
  config.buffer_length = sizeof kept;
  config.when_full = HOLDFAST_DROP_OLDEST;
  holdfast_begin(&hub, &config);
  for (;;) {
    int byte = getchar_timeout_us(0);
    if (byte >= 0) {
      uint8_t one = (uint8_t)byte;
      holdfast_receive(&hub, &one, 1);
    }
    if (now_ms(NULL) - measured_ms >= 1000) {
      measured_ms += 1000;
      float volts = (float)adc_read() * 3.3f / 4096.0f;
      (void)holdfast_float(&hub, "temperature", 27.0f - (volts - 0.706f) / 0.001721f);
    }
    holdfast_poll(&hub);
  }
}

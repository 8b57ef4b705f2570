/*
 * Not the Pico SDK, which Debian does not have: the few declarations of it that the example uses,
 * as its documentation gives them, so that the test can compile it with arm-none-eabi-gcc.
 */
#ifndef HOLDFAST_SHIM_PICO_STDLIB_H
#define HOLDFAST_SHIM_PICO_STDLIB_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t absolute_time_t;
absolute_time_t get_absolute_time(void);
uint32_t to_ms_since_boot(absolute_time_t time);
bool stdio_init_all(void);
bool stdio_usb_connected(void);
int putchar_raw(int c);
int getchar_timeout_us(uint32_t timeout_us);

#endif

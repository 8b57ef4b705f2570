/*
 * An I2C bus with simulated chips under the real i2c-tools: preloaded, it answers the calls that
 * they make to /dev/i2c-N, as i2c-dev and the driver of the Pi (i2c-bcm2835) do.
 *
 * The folder in I2C_CHIPS holds a file for each chip, `40` for 0x40: its kind, its pointer, and
 * 512 bytes. Kinds: `b` registers of a byte with auto-increment; `w` registers of two bytes;
 * `c` commands: the last one is kept from byte 0, what is read is kept from byte 64. Marks beside
 * them: `smbus` the adapter has no free transfers; `40.busy` a driver has the address; `stuck` SDA
 * is low.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/i2c-dev.h>
#include <linux/i2c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 2, MEMORY = 512, ANSWERS = 64 };

static int bus_fd = -1;
static int slave;

static const char *place(const char *format, int address) {
  static char path[512];
  int length = snprintf(path, sizeof path, "%s/", getenv("I2C_CHIPS"));
  snprintf(path + length, sizeof path - (size_t)length, format, address);
  return path;
}

static int is_there(const char *format, int address) {
  struct stat facts;
  return stat(place(format, address), &facts) == 0;
}

static int refuse(int error) {
  errno = error;
  return -1;
}

typedef int (*open_call)(const char *, int, ...);

static int open_bus(const char *name, const char *path, int flags, int mode) {
  open_call real = (open_call)dlsym(RTLD_NEXT, name);
  if (strncmp(path, "/dev/i2c-", 9) != 0) return real(path, flags, mode);
  if (strcmp(path, getenv("I2C_DEVICE")) != 0) return refuse(ENOENT);
  return bus_fd = real("/dev/null", O_RDWR);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  return open_bus("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = va_arg(rest, int);
  va_end(rest);
  return open_bus("open64", path, flags, mode);
}

struct chip {
  unsigned char kind, pointer, memory[MEMORY];
};

static void chip_write(struct chip *chip, const unsigned char *bytes, int length) {
  if (chip->kind == 'c') {
    memcpy(chip->memory, bytes, (size_t)length);
    return;
  }
  if (length == 0) return;
  chip->pointer = bytes[0];
  int at = chip->kind == 'w' ? chip->pointer * 2 : chip->pointer;
  memcpy(chip->memory + at, bytes + 1, (size_t)(length - 1));
}

static void chip_read(struct chip *chip, unsigned char *bytes, int length) {
  int start = chip->kind == 'c' ? ANSWERS : chip->kind == 'w' ? chip->pointer * 2 : chip->pointer;
  for (int i = 0; i < length; i++)
    bytes[i] = chip->memory[start + (chip->kind == 'w' ? i % 2 : i)];
}

static int transfer(int address, struct i2c_msg *messages, int count) {
  if (is_there("stuck", 0)) pause();
  for (int i = 0; i < count - 1; i++)
    if (messages[i].flags & I2C_M_RD) return refuse(EOPNOTSUPP);
  FILE *file = fopen(place("%02x", address), "r+");
  if (!file) return refuse(EREMOTEIO);
  struct chip chip;
  if (fread(&chip, 1, sizeof chip, file) != sizeof chip) abort();
  for (int i = 0; i < count; i++)
    if (messages[i].flags & I2C_M_RD) chip_read(&chip, messages[i].buf, messages[i].len);
    else chip_write(&chip, messages[i].buf, messages[i].len);
  rewind(file);
  fwrite(&chip, 1, sizeof chip, file);
  fclose(file);
  return count;
}

/* As the kernel emulates SMBus with free transfers. */
static int smbus(struct i2c_smbus_ioctl_data *data) {
  if (data->size == I2C_SMBUS_I2C_BLOCK_BROKEN) data->size = I2C_SMBUS_I2C_BLOCK_DATA;
  unsigned char out[34] = {data->command}, in[32] = {0};
  int is_read = data->read_write == I2C_SMBUS_READ, writes = 1, reads = 0;
  switch (data->size) {
    case I2C_SMBUS_BYTE:
      writes = is_read ? 0 : 1;
      reads = 1;
      break;
    case I2C_SMBUS_BYTE_DATA: reads = 1; break;
    case I2C_SMBUS_WORD_DATA: reads = 2; break;
    case I2C_SMBUS_I2C_BLOCK_DATA: reads = data->data->block[0]; break;
    default: return refuse(EOPNOTSUPP);
  }
  if (!is_read && data->size != I2C_SMBUS_BYTE) {
    if (data->size == I2C_SMBUS_I2C_BLOCK_DATA)
      memcpy(out + 1, data->data->block + 1, (size_t)reads);
    else if (reads == 2) {
      out[1] = data->data->word & 0xff;
      out[2] = data->data->word >> 8;
    } else out[1] = data->data->byte;
    writes += reads;
  }
  struct i2c_msg messages[2] = {{.len = (unsigned short)writes, .buf = out},
                                {.flags = I2C_M_RD, .len = (unsigned short)reads, .buf = in}};
  int first = writes == 0 ? 1 : 0, count = is_read ? 2 - first : 1;
  if (transfer(slave, messages + first, count) < 0) return -1;
  if (!is_read) return 0;
  if (data->size == I2C_SMBUS_I2C_BLOCK_DATA) memcpy(data->data->block + 1, in, (size_t)reads);
  else if (reads == 2) data->data->word = (unsigned short)(in[0] | in[1] << 8);
  else data->data->byte = in[0];
  return 0;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (fd != bus_fd || fd < 0) {
    int (*real)(int, unsigned long, ...) =
        (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
  }
  unsigned long bytes_and_words = I2C_FUNC_SMBUS_QUICK | I2C_FUNC_SMBUS_BYTE |
                                  I2C_FUNC_SMBUS_BYTE_DATA | I2C_FUNC_SMBUS_WORD_DATA |
                                  I2C_FUNC_SMBUS_I2C_BLOCK;
  switch (request) {
    case I2C_FUNCS:
      *(unsigned long *)argument = bytes_and_words | (is_there("smbus", 0) ? 0 : I2C_FUNC_I2C);
      return 0;
    case I2C_SLAVE:
      slave = (int)(long)argument;
      return is_there("%02x.busy", slave) ? refuse(EBUSY) : 0;
    case I2C_RDWR: {
      struct i2c_rdwr_ioctl_data *data = argument;
      if (is_there("smbus", 0)) return refuse(EOPNOTSUPP);
      return transfer(data->msgs[0].addr, data->msgs, (int)data->nmsgs);
    }
    case I2C_SMBUS: return smbus(argument);
    default: return refuse(EINVAL);
  }
}

/*
 * Lets a process die, or a system call fail, at one exact step. Loaded before libc, this counts the
 * calls that change files below a folder, over all threads, and acts on the one with a given
 * number. Node.js calls the system; LevelDB goes through the buffers of stdio, where a call counts
 * when it empties one.
 *
 * Environment:
 *   STEP_FOLDER  only what concerns files below it counts
 *   STEP_CALLS   names of the calls that count, with a comma after each
 *   STEP_AT      the number of the call that is acted on, from 1; 0: none
 *   STEP_DO      `kill`: the process dies instead; `tear`: half of a write is done, then it dies;
 *                `fail`: the call fails; `short`: half of a write is done, and the next call fails
 *   STEP_ERRNO   what failing calls say
 *   STEP_FAILS   so many calls fail, one after another
 *   STEP_LOG     every call that counted, one line each: `<number> <name> <path>`
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#undef fwrite_unlocked /* a macro, with optimisation */

enum act { GO_ON, FAIL, HALF };

static const char *folder, *calls, *action;
static long at, fails;
static int error_number, log_file = -1;
static atomic_long count;

__attribute__((constructor)) static void begin(void) {
  const char *text;
  folder = getenv("STEP_FOLDER");
  calls = getenv("STEP_CALLS");
  action = getenv("STEP_DO");
  at = (text = getenv("STEP_AT")) ? atol(text) : 0;
  fails = (text = getenv("STEP_FAILS")) ? atol(text) : 1;
  error_number = (text = getenv("STEP_ERRNO")) ? atoi(text) : EIO;
  if ((text = getenv("STEP_LOG")))
    log_file = syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

static int counts(const char *name, const char *path) {
  if (!folder || !calls || !path) return 0;
  size_t length = strlen(folder);
  if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != 0)) return 0;
  if (strcmp(path + strlen(path) - 4, "/LOG") == 0) return 0; /* LevelDB's words for people */
  const char *found = strstr(calls, name);
  return found && found[strlen(name)] == ',' && (found == calls || found[-1] == ',');
}

static enum act step(const char *name, const char *path) {
  if (!counts(name, path)) return GO_ON;
  long number = atomic_fetch_add(&count, 1) + 1;
  if (log_file >= 0) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path + strlen(folder));
    syscall(SYS_write, log_file, line, length);
  }
  if (at == 0 || number < at || !action) return GO_ON;
  if (number == at && strcmp(action, "kill") == 0) die();
  if (number == at && (strcmp(action, "tear") == 0 || strcmp(action, "short") == 0)) return HALF;
  if (strcmp(action, "short") == 0) return number <= at + fails ? FAIL : GO_ON;
  return strcmp(action, "fail") == 0 && number < at + fails ? FAIL : GO_ON;
}

static enum act step_file(const char *name, int file) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return GO_ON;
  path[length] = 0;
  return step(name, path);
}

static int failed(void) {
  errno = error_number;
  return -1;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

/* After half of a write: dead, or the rest is for the caller to write. */
static ssize_t halved(ssize_t written) {
  if (strcmp(action, "tear") == 0) die();
  return written;
}

ssize_t write(int file, const void *bytes, size_t length) {
  switch (step_file("write", file)) {
    case FAIL: return failed();
    case HALF: return halved(syscall(SYS_write, file, bytes, length / 2));
    default: return syscall(SYS_write, file, bytes, length);
  }
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
  switch (step_file("write", file)) {
    case FAIL: return failed();
    case HALF: return halved(syscall(SYS_pwrite64, file, bytes, length / 2, offset));
    default: return syscall(SYS_pwrite64, file, bytes, length, offset);
  }
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
  return pwrite64(file, bytes, length, offset);
}

ssize_t writev(int file, const struct iovec *parts, int many) {
  switch (step_file("write", file)) {
    case FAIL: return failed();
    case HALF: return halved(syscall(SYS_write, file, parts[0].iov_base, parts[0].iov_len / 2));
    default: return syscall(SYS_writev, file, parts, many);
  }
}

int fsync(int file) {
  return step_file("sync", file) == GO_ON ? syscall(SYS_fsync, file) : failed();
}

int fdatasync(int file) {
  return step_file("sync", file) == GO_ON ? syscall(SYS_fdatasync, file) : failed();
}

int ftruncate64(int file, off64_t length) {
  return step_file("truncate", file) == GO_ON ? syscall(SYS_ftruncate, file, length) : failed();
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int rename(const char *from, const char *to) {
  return step("rename", to) == GO_ON ? REAL(rename)(from, to) : failed();
}

int unlink(const char *path) {
  return step("unlink", path) == GO_ON ? REAL(unlink)(path) : failed();
}

int remove(const char *path) {
  return step("unlink", path) == GO_ON ? REAL(remove)(path) : failed();
}

int rmdir(const char *path) {
  return step("unlink", path) == GO_ON ? REAL(rmdir)(path) : failed();
}

int link(const char *from, const char *to) {
  return step("link", to) == GO_ON ? REAL(link)(from, to) : failed();
}

int mkdir(const char *path, mode_t mode) {
  return step("mkdir", path) == GO_ON ? REAL(mkdir)(path, mode) : failed();
}

/*
 * Streams. Like libc, what could not be written is forgotten.
 */
static int flush_step(FILE *stream) {
  size_t length = __fpending(stream);
  if (length == 0) return 0;
  enum act act = step_file("write", fileno(stream));
  if (act == GO_ON) return 0;
  if (act == HALF) halved(syscall(SYS_write, fileno(stream), stream->_IO_write_base, length / 2));
  __fpurge(stream);
  return failed();
}

int fflush_unlocked(FILE *stream) {
  return stream && flush_step(stream) != 0 ? EOF : REAL(fflush_unlocked)(stream);
}

int fflush(FILE *stream) {
  return stream && flush_step(stream) != 0 ? EOF : REAL(fflush)(stream);
}

int fclose(FILE *stream) {
  int flushed = flush_step(stream);
  int closed = REAL(fclose)(stream);
  return flushed == 0 ? closed : failed();
}

size_t fwrite_unlocked(const void *bytes, size_t size, size_t many, FILE *stream) {
  size_t length = size * many;
  if (__fpending(stream) + length > __fbufsize(stream) && __fbufsize(stream) > 0) {
    enum act act = step_file("write", fileno(stream));
    if (act == HALF) {
      REAL(fwrite_unlocked)(bytes, 1, length / 2, stream);
      REAL(fflush_unlocked)(stream);
      halved(0);
    }
    if (act != GO_ON) {
      __fpurge(stream);
      failed();
      return 0;
    }
  }
  return REAL(fwrite_unlocked)(bytes, size, many, stream);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length,
                        unsigned flags) {
  if (step_file("write", out) != GO_ON) return failed();
  return syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
}

/* Only what makes a file, or empties it, is a step. */
static int opened(const char *path, int flags, mode_t mode) {
  struct stat facts;
  int makes = (flags & O_CREAT) && syscall(SYS_newfstatat, AT_FDCWD, path, &facts, 0) != 0;
  if ((makes || (flags & O_TRUNC)) && step("create", path) != GO_ON) return failed();
  return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static FILE *opened_stream(const char *path, const char *mode, typeof(&fopen) real) {
  if (mode[0] == 'w' && step("create", path) != GO_ON) {
    failed();
    return NULL;
  }
  return real(path, mode);
}

FILE *fopen(const char *path, const char *mode) { return opened_stream(path, mode, REAL(fopen)); }

FILE *fopen64(const char *path, const char *mode) {
  return opened_stream(path, mode, REAL(fopen64));
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & O_CREAT) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return opened(path, flags, mode);
}

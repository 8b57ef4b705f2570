/*
 * For user-mode Linux on processors with AMX. Linux takes the floating-point registers of a traced
 * process only whole, and with AMX the whole is larger than what user-mode Linux 6.1 reserves for
 * it: "ptrace set fp regs failed, errno = 14", and its init dies. Loaded before libc, this adds
 * what is missing from what the process has.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef long (*ptrace_function)(int request, pid_t pid, void *address, void *data);

long ptrace(enum __ptrace_request request, ...) {
  va_list arguments;
  va_start(arguments, request);
  pid_t pid = va_arg(arguments, pid_t);
  void *address = va_arg(arguments, void *);
  void *data = va_arg(arguments, void *);
  va_end(arguments);
  static ptrace_function real;
  if (!real) real = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
  if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
    return real(request, pid, address, data);
  const struct iovec *given = data;
  static char bytes[64 * 1024]; /* 11 KiB with AMX */
  struct iovec whole = {.iov_base = bytes, .iov_len = sizeof bytes};
  if (real(PTRACE_GETREGSET, pid, address, &whole) != 0 || given->iov_len >= whole.iov_len)
    return real(request, pid, address, data);
  memcpy(bytes, given->iov_base, given->iov_len);
  return real(request, pid, address, &whole);
}

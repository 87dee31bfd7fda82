/* Shifts the wall clock of a server by the seconds that stand in a file, while it runs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile char *file;

__attribute__((constructor)) static void open_file(void) {
  int fd = open(getenv("GN_CLOCK_SHIFT"), O_RDONLY);
  if (fd >= 0) file = mmap(NULL, 32, PROT_READ, MAP_SHARED, fd, 0);
}

static long shift(void) { return file == NULL || file == MAP_FAILED ? 0 : atol((char *)file); }

int gettimeofday(struct timeval *tv, void *zone) {
  int done = syscall(SYS_gettimeofday, tv, zone);
  if (tv != NULL) tv->tv_sec += shift();
  return done;
}

int clock_gettime(clockid_t clock, struct timespec *ts) {
  int done = syscall(SYS_clock_gettime, clock, ts);
  if (clock == CLOCK_REALTIME) ts->tv_sec += shift();
  return done;
}

time_t time(time_t *told) {
  struct timeval tv;
  gettimeofday(&tv, NULL);
  if (told != NULL) *told = tv.tv_sec;
  return tv.tv_sec;
}

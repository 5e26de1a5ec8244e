/* A disk that fails on demand: a library to be preloaded (LD_PRELOAD), which fails one call of a process, the n-th.
 *
 * Counted are write, pwrite, writev, fsync, fdatasync, sync_file_range, rename and ftruncate on files below the folder
 * DNA_FAULT_DIR, from the moment that the process arms it (by ctypes, on the process itself):
 *
 *     dna_fault_arm(3, FAIL_ONCE, EIO)    the third call from now on fails with EIO, once; 0: none does
 *     dna_fault_count()                   calls since then
 *     dna_fault_name(buffer, size)        what the n-th call was: "fdatasync 000008.log"
 *
 * RocksDB's own diary (files called LOG) is left alone: it is no part of any promise, and threads write to it at will.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FAIL_ONCE, FAIL_ON, KILL_BEFORE, KILL_AFTER, TORN }; /* TORN: half of the bytes are written, then the kill */

static atomic_long calls, nth;
static atomic_int armed, action, error_number;
static char failed_call[PATH_MAX + 32];

void dna_fault_arm(long which, int what, int error) {
    atomic_store(&armed, 0);
    atomic_store(&calls, 0);
    atomic_store(&nth, which);
    atomic_store(&action, what);
    atomic_store(&error_number, error);
    failed_call[0] = 0;
    atomic_store(&armed, 1);
}

long dna_fault_count(void) { return atomic_load(&calls); }

void dna_fault_name(char *buffer, size_t size) { snprintf(buffer, size, "%s", failed_call); }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this call is the one: -1 no, else the action. Counts the call where it is on a file below the folder. */
static int turn(const char *call, const char *path) {
    const char *folder = getenv("DNA_FAULT_DIR");
    const char *name = strrchr(path, '/');
    if (!atomic_load(&armed) || !folder || strncmp(path, folder, strlen(folder)) || !name) return -1;
    if (!strncmp(name, "/LOG", 4)) return -1;
    long count = atomic_fetch_add(&calls, 1) + 1;
    int what = atomic_load(&action);
    long which = atomic_load(&nth);
    if (count != which && !(what == FAIL_ON && which > 0 && count > which)) return -1;
    if (count == which) snprintf(failed_call, sizeof failed_call, "%s %s", call, name + 1);
    if (what == KILL_BEFORE) die();
    return what;
}

static int turn_of(const char *call, int file) {
    char link[64], path[PATH_MAX];
    if (!atomic_load(&armed)) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return -1;
    path[length] = 0;
    return turn(call, path);
}

static int fails(int what) {
    if (what != FAIL_ONCE && what != FAIL_ON) return 0;
    errno = atomic_load(&error_number);
    return 1;
}

/* One interposed call: `half` is what TORN does in its place. */
#define INTERPOSE(type, name, parameters, arguments, turn_call, half)     \
    type name parameters {                                                \
        static type(*real) parameters;                                    \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);             \
        int what = turn_call;                                             \
        if (fails(what)) return -1;                                       \
        if (what == TORN) half;                                           \
        type result = what == TORN ? 0 : real arguments;                  \
        if (what == KILL_AFTER || what == TORN) die();                    \
        return result;                                                    \
    }
#define ON_FILE turn_of(__func__, file)
#define NOTHING (void)0

INTERPOSE(ssize_t, write, (int file, const void *bytes, size_t size), (file, bytes, size), ON_FILE,
          (void)!real(file, bytes, size / 2))
INTERPOSE(ssize_t, pwrite, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at), ON_FILE,
          (void)!real(file, bytes, size / 2, at))
INTERPOSE(ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t at), (file, bytes, size, at), ON_FILE,
          (void)!real(file, bytes, size / 2, at))
INTERPOSE(ssize_t, writev, (int file, const struct iovec *parts, int count), (file, parts, count), ON_FILE,
          (void)!real(file, parts, count / 2))
INTERPOSE(int, fsync, (int file), (file), ON_FILE, NOTHING)
INTERPOSE(int, fdatasync, (int file), (file), ON_FILE, NOTHING)
INTERPOSE(int, sync_file_range, (int file, off64_t at, off64_t size, unsigned flags), (file, at, size, flags), ON_FILE,
          NOTHING)
INTERPOSE(int, ftruncate, (int file, off_t size), (file, size), ON_FILE, NOTHING)
INTERPOSE(int, ftruncate64, (int file, off64_t size), (file, size), ON_FILE, NOTHING)
INTERPOSE(int, rename, (const char *from, const char *to), (from, to), turn(__func__, to), NOTHING)

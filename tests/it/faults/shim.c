// A disk that fails, under a server: loaded by LD_PRELOAD, between it and the system calls that write below its data directory.
//
// WEIR_FAULTS_DATA is that directory. WEIR_FAULTS is another one of the same file system, with a file `control` (struct control
// below, which the test reads and writes while the server runs), a file `journal` and a directory `kept`. With `remember` set,
// the journal has all that is needed to undo what no sync has made safe: see undo.rs, which reads it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOWHERE = 0, LOG = 1, STATE = 2, ELSEWHERE = 4 };            // parts of the data directory
enum { NONE, FULL, HALF_THEN_FULL, SHORT, SYNC_FAILS, SYNC_LIES }; // kinds of faults
enum { WRITTEN = 1, SYNCED = 2, NAMED = 3 };                        // kinds of records in the journal

struct control {
    int64_t where, kind, left; // the fault, in which parts, and at which write or sync from now on
    int64_t remember;          // whether the journal is written
    int64_t writes[2], syncs[2], faults; // of LOG and STATE, and of what failed or was cut, so far
};

struct record { int64_t kind, inode, at, size, len; };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile struct control *control;
static const char *data, *own;
static int journal = -1;
static int64_t kept;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    char path[PATH_MAX];
    data = getenv("WEIR_FAULTS_DATA"), own = getenv("WEIR_FAULTS");
    if (!data || !own) abort();
    snprintf(path, sizeof path, "%s/control", own);
    int fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
    control = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    snprintf(path, sizeof path, "%s/journal", own);
    journal = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || control == MAP_FAILED || journal < 0) abort();
    close(fd);
}

static int where_path(const char *path) {
    size_t len = data ? strlen(data) : 0;
    if (!len || strncmp(path, data, len) || (path[len] && path[len] != '/')) return NOWHERE;
    path += len + !!path[len];
    size_t part = strcspn(path, "/");
    if (part == 3 && !strncmp(path, "log", 3)) return LOG;
    return (part == 5 && !strncmp(path, "state", 5)) || (part == 9 && !strncmp(path, "state.new", 9)) ? STATE : ELSEWHERE;
}

static int where_fd(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0 || path[0] != '/') return NOWHERE;
    path[len] = 0;
    return where_path(path);
}

static void note(struct record record, const void *bytes) {
    struct iovec both[] = {{&record, sizeof record}, {(void *)bytes, record.len}};
    if (REAL(writev)(journal, both, 2) != (ssize_t)sizeof record + record.len) abort();
}

// Before `len` bytes at `at` are overwritten, or before the file is cut or grows there: the bytes and the length as they are.
static void note_written(int fd, off_t at, size_t len) {
    struct stat stat;
    if (!control->remember || fstat(fd, &stat) || !S_ISREG(stat.st_mode)) return;
    size_t old = at >= stat.st_size ? 0 : at + (off_t)len > stat.st_size ? (size_t)(stat.st_size - at) : len;
    char *bytes = malloc(old + 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd); // this one may be open for writing only
    int readable = REAL(open)(path, O_RDONLY | O_CLOEXEC);
    if (readable < 0 || pread(readable, bytes, old, at) != (ssize_t)old) abort();
    close(readable);
    note((struct record){WRITTEN, stat.st_ino, at, stat.st_size, old}, bytes);
    free(bytes);
}

static void note_synced(int fd) {
    struct stat stat;
    if (control->remember && !fstat(fd, &stat)) note((struct record){SYNCED, stat.st_ino, 0, 0, 0}, "");
}

// Before a name comes, goes or changes its file: what has it now, kept by a link of its own.
static void note_name(const char *path) {
    char above[PATH_MAX], link_path[PATH_MAX];
    struct stat stat, dir;
    if (!control->remember || !where_path(path)) return;
    snprintf(above, sizeof above, "%s", path);
    *strrchr(above, '/') = 0;
    int there = !lstat(path, &stat);
    if (lstat(above, &dir) || (there && !S_ISREG(stat.st_mode))) return; // directories stay as they are
    if (there) {
        snprintf(link_path, sizeof link_path, "%s/kept/%ld", own, (long)++kept);
        if (REAL(link)(path, link_path)) abort();
    }
    note((struct record){NAMED, dir.st_ino, there ? kept : 0, 0, strlen(path)}, path);
}

static int64_t *of(volatile int64_t *two, int where) {
    static int64_t others;
    return where == LOG ? (int64_t *)&two[0] : where == STATE ? (int64_t *)&two[1] : &others;
}

// How many of `len` bytes may be written; -1 with errno for none.
static ssize_t allowed(int where, size_t len) {
    ++*of(control->writes, where);
    int64_t kind = control->kind;
    if (kind == NONE || kind >= SYNC_FAILS || !(control->where & where) || --control->left > 0) return len;
    ++control->faults;
    if (kind == SHORT || (kind == HALF_THEN_FULL && control->left == 0 && len > 1)) return (len + 1) / 2;
    errno = ENOSPC;
    return -1;
}

static ssize_t put(int fd, const void *bytes, size_t len, off_t at) {
    int where = where_fd(fd), here = at < 0;
    if (!where) return here ? REAL(write)(fd, bytes, len) : REAL(pwrite)(fd, bytes, len, at);
    pthread_mutex_lock(&mutex);
    ssize_t done = allowed(where, len);
    if (done > 0) {
        int end = REAL(fcntl)(fd, F_GETFL) & O_APPEND;
        note_written(fd, end ? LONG_MAX : here ? lseek(fd, 0, SEEK_CUR) : at, done);
        done = here ? REAL(write)(fd, bytes, done) : REAL(pwrite)(fd, bytes, done, at);
    }
    pthread_mutex_unlock(&mutex);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) { return put(fd, bytes, len, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return put(fd, bytes, len, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) { return put(fd, bytes, len, at); }

// Nobody writes such files with it: if that changes, this must learn it.
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (where_fd(fd)) abort();
    return REAL(writev)(fd, parts, count);
}

static int sync_with(int (*how)(int), int fd) {
    int where = where_fd(fd), failed = 0;
    if (!where) return how(fd);
    pthread_mutex_lock(&mutex);
    if (control->kind == SYNC_FAILS && (control->where & where) && --control->left == 0) {
        ++control->faults;
        failed = -1, errno = EIO;
    } else if (control->kind == SYNC_LIES && (control->where & where) && --control->left <= 0) {
        ++control->faults;
    } else if (!(failed = how(fd))) {
        note_synced(fd);
        ++*of(control->syncs, where);
    }
    pthread_mutex_unlock(&mutex);
    return failed;
}

int fsync(int fd) { return sync_with(REAL(fsync), fd); }
int fdatasync(int fd) { return sync_with(REAL(fdatasync), fd); }

int fallocate(int fd, int mode, off_t at, off_t len) {
    int where = where_fd(fd);
    pthread_mutex_lock(&mutex);
    int full = where && (control->kind == FULL || control->kind == HALF_THEN_FULL) && (control->where & where) && control->left <= 0;
    if (where && !full) note_written(fd, LONG_MAX, 0);
    int failed = full ? (errno = ENOSPC, -1) : REAL(fallocate)(fd, mode, at, len);
    pthread_mutex_unlock(&mutex);
    return failed;
}

static int cut(int fd, off_t len) {
    pthread_mutex_lock(&mutex);
    if (where_fd(fd)) note_written(fd, len, LONG_MAX - len);
    int failed = REAL(ftruncate)(fd, len);
    pthread_mutex_unlock(&mutex);
    return failed;
}

int ftruncate(int fd, off_t len) { return cut(fd, len); }
int ftruncate64(int fd, off_t len) { return cut(fd, len); }

static int open_at(const char *path, int flags, int mode) {
    pthread_mutex_lock(&mutex);
    int truncates = (flags & O_TRUNC) && where_path(path), made = (flags & O_CREAT) && access(path, F_OK);
    int fd = -1;
    if (made) note_name(path);
    if (truncates && !made && (fd = REAL(open)(path, O_WRONLY | O_CLOEXEC)) >= 0) note_written(fd, 0, LONG_MAX), close(fd);
    fd = REAL(open)(path, flags, mode);
    pthread_mutex_unlock(&mutex);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, int) : 0;
    va_end(more);
    return where_path(path) ? open_at(path, flags, mode) : REAL(open)(path, flags, mode);
}
int open64(const char *, int, ...) __attribute__((alias("open")));

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&mutex);
    note_name(from), note_name(to);
    int failed = REAL(rename)(from, to);
    pthread_mutex_unlock(&mutex);
    return failed;
}

int unlink(const char *path) {
    pthread_mutex_lock(&mutex);
    note_name(path);
    int failed = REAL(unlink)(path);
    pthread_mutex_unlock(&mutex);
    return failed;
}

int link(const char *from, const char *to) {
    pthread_mutex_lock(&mutex);
    note_name(to);
    int failed = REAL(link)(from, to);
    pthread_mutex_unlock(&mutex);
    return failed;
}

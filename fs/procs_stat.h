/*
 * The texts of /proc that fs/procs reads, parsed; internal to procs*.c and its
 * test. No allocation, no stdio: this runs once and more for each file copied.
 * Any thread; nothing is kept.
 */
#ifndef PROCS_STAT_H
#define PROCS_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Flags of field 9 (linux/sched.h; part of no uapi header). */
#define PROCS_PF_EXITING  0x00000004u
#define PROCS_PF_SIGNALED 0x00000400u

/* Of /proc/PID/stat, proc(5). */
struct procs_stat {
	pid_t pid;       /* (1) */
	char state;      /* (3) */
	uint32_t flags;  /* (9) of this thread */
	int64_t threads; /* (20) in its group; 0: it is being reaped */
	uint64_t start;  /* (22) of this thread */
	int exit_code;   /* (52) as wait(2) has it; 0 if not to be seen */
};

/*
 * comm is whatever the process likes ("a) R 1 (b", a newline): what counts
 * starts behind the last ')'. 0, or -EBADMSG: not such a text, or cut.
 */
int procs_stat_parse(const char *text, size_t len, struct procs_stat *ret);

/*
 * Of /proc/PID/stat itself, of a thread that is not in execve(2): see below.
 * 0 or as procs_slurp.
 */
int procs_stat_read(pid_t pid, struct procs_stat *ret);

/*
 * Of /proc/PID/status, proc(5): what can be read at any time. A stat (and exe,
 * wchan, environ) waits for a process that is in execve(2), from when the new
 * program is in place until its close-on-exec descriptors are closed: where one
 * of those is ours, it waits for us.
 */
struct procs_status {
	pid_t tgid, ppid;
	char state;
	bool memory;      /* false: it is about to end, or has ended */
	uint64_t threads; /* in its group */
	uint64_t pending; /* signals, of the thread and of its process */
};

/* 0, or -EBADMSG. */
int procs_status_parse(const char *text, size_t len, struct procs_status *ret);
/* 0 or as procs_slurp. */
int procs_status_read(pid_t pid, struct procs_status *ret);

/*
 * The number behind `key` at the start of a line ("ino:"), in base 8, 10 or
 * 16. 0, or -ENOENT.
 */
int procs_text_field(const char *text, size_t len, const char *key,
    unsigned base, uint64_t *ret);

/*
 * openat(2) for reading, which takes a descriptor of the reserve
 * (procs_reserve) where there is no other; procs_close gives it back. The
 * descriptor, or as procs_slurp.
 */
int procs_openat(int dirfd, const char *path, int flags);
void procs_close(int fd);

/*
 * The beginning of a small file, cap bytes at most, relative to dirfd. Returns
 * the bytes, or -errno: -EACCES, or -ESRCH where process, thread or descriptor
 * has gone; others are a shortage of our own.
 */
ssize_t procs_slurp(int dirfd, const char *path, char *ret, size_t cap);
/* The same of an open one, made anew by the kernel for each call. */
ssize_t procs_slurp_open(int fd, char *ret, size_t cap);

/* "/proc/PID/WHAT" */
#define PROCS_PATH_MAX 64
void procs_path(char ret[PROCS_PATH_MAX], pid_t pid, const char *what);

/* The numbers among the names of a directory, one after the other. */
struct procs_dir {
	int fd;
	size_t at, len;
	char buf[2048] __attribute__((aligned(8)));
};

/* 0 or as procs_slurp. */
int procs_dir_open(struct procs_dir *d, const char *path);
/* The name too (good until the next call), or NULL at the end. */
const char *procs_dir_next(struct procs_dir *d, int *ret_number);
void procs_dir_close(struct procs_dir *d);

#endif

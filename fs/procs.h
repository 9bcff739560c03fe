/*
 * What /proc says of the process behind a FUSE request: the facts on which the
 * commit rule rests (design section 2). Nothing here blocks for long: of a
 * process that may be in execve(2) (it closes our file for it, perhaps) only
 * what needs no lock of it is read: status, fdinfo, children, mountinfo; its
 * stat only where it cannot be (fs/procs_stat.h).
 *
 * A FUSE request names a thread; a process is its thread group together with
 * its start time, so that a pid used again is not mistaken.
 *
 * Any thread.
 */
#ifndef PROCS_H
#define PROCS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Sets descriptors aside, so that /proc can be read when all others are in use;
 * what has been lost of them is replaced. 0 or -errno.
 */
int procs_reserve(void);

/*
 * Did a function below fail for want of descriptors or memory? Then nothing is
 * known that could be, which must not pass for "cannot be known".
 */
bool procs_is_shortage(int r);

struct procs_id {
	pid_t tgid; /* 0: not known */
	/* Clock ticks since boot, /proc/PID/stat field 22; 0: not known. */
	uint64_t start;
};

struct procs_caller {
	struct procs_id id;
	bool exiting;  /* it closes because it ends (PF_EXITING) */
	bool killed;   /* ... by a signal */
	int status;    /* ... else with this exit status (0 to 255) */
	bool readable; /* its descriptors can be looked at */
};

/*
 * The process of thread tid (as in a FUSE request; 0: another pid namespace).
 * Returns 0, -ESRCH where nothing can be known, or a shortage. How killed is
 * decided: the low seven bits of exit_code (field 52); a thread that ends
 * because another one called exit_group carries PF_SIGNALED too, but the status
 * of that call. Where exit_code cannot be read (it shows 0 then), PF_SIGNALED
 * decides.
 */
int procs_caller(pid_t tid, struct procs_caller *ret);

/*
 * The id of a caller that is not in execve(2): it opens, writes, renames.
 * As procs_caller. (That gives a caller that lives on no start.)
 */
int procs_identify(pid_t tid, struct procs_id *ret);

/* A start that is not known is any. */
bool procs_same(const struct procs_id *a, const struct procs_id *b);
/* Is there a process of this number, and not a zombie or about to be one? */
bool procs_alive(const struct procs_id *id);

/* A file as descriptors show it: st_ino, and the st_dev of the mount. */
struct procs_file {
	uint64_t ino;
	dev_t dev;
};

/* Only descriptors that are open for writing count. */
struct procs_holders {
	unsigned own;         /* descriptors in the process itself */
	unsigned descendants; /* in living descendants */
	bool stdio;           /* one of its own is 1 or 2 */
};

/*
 * Counts descriptors of file in the process id and in its living descendants
 * (/proc/PID/task/TID/children, recursively, bounded). A descriptor counts when
 * its fdinfo has the file's ino and a mnt_id of a mount of dev (looked up in
 * that process's own mountinfo, only when the ino matches). Returns 0, -EACCES
 * (may not be looked at), -ESRCH, or a shortage. An exiting process shows no
 * descriptors of its own any more, but still its children.
 */
int procs_holders(const struct procs_id *id, const struct procs_file *file,
    struct procs_holders *ret);

/*
 * Does a process that is no descendant of id hold the file for writing, because
 * the one in between has ended? It is a child of init or of another ancestor of
 * id now; those are looked at, but for the n_but processes and the ancestors
 * themselves. What may not be looked at does not count. 1, 0, or a shortage.
 */
int procs_orphans(const struct procs_id *id, const struct procs_file *file,
    const struct procs_id *but, unsigned n_but);

/* Is descriptor 1 or 2 of the process this file? */
bool procs_is_stdio(const struct procs_id *id, const struct procs_file *file);

/*
 * Is the thread dying: SIGKILL pending for it (bit 0x100 of SigPnd or ShdPnd
 * in /proc/TID/status), or exiting, or gone?
 */
bool procs_dying(pid_t tid);

#endif

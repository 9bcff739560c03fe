/*
 * The gtfs mounts that this process sees (/proc/self/mountinfo, proc(5)), for
 * commands that look for a running mount. Nothing here asks a mount's daemon,
 * which may be stopped or dead.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#define MOUNTS_FILE "/proc/self/mountinfo"
#define MOUNTS_TYPE "fuse.gtfs"

struct mount_entry {
	int id;
	unsigned major, minor; /* of its st_dev */
	uid_t user;            /* who mounted it */
	char *path;            /* as it is, unescaped */
};

struct mounts {
	struct mount_entry *entries;
	unsigned n;
};

/* mounts_parse: a line about something else. */
#define MOUNTS_OTHER 1

/*
 * One line of mountinfo. 0 and *ret (path to be freed), MOUNTS_OTHER (no gtfs,
 * or a part of one bound elsewhere), or -ENOMEM.
 */
int mounts_parse(const char *line, struct mount_entry *ret);

/*
 * All gtfs mounts, each once: of several on one another the uppermost, of
 * several places of the same file system the first. 0 or -errno.
 */
int mounts_read(struct mounts *ret);
void mounts_fini(struct mounts *m);

/* The entry of a mount id, or NULL. */
const struct mount_entry *mounts_by_id(const struct mounts *m, int id);

/* The entry of the file system that path is in, or NULL. 0 or -errno. */
int mounts_by_path(
    const struct mounts *m, const char *path, const struct mount_entry **ret);

/* A descriptor for mounts_wait, to be closed; or -errno. */
int mounts_watch(void);

/*
 * Waits until mounts have changed since fd was opened or last waited for, or
 * the process of pidfd (-1: none) has ended; at most timeout_ms. 0 (look
 * again), -ETIMEDOUT or -errno.
 */
int mounts_wait(int fd, int pidfd, int timeout_ms);

#endif

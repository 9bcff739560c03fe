/*
 * The directories that senders made in the inbox, under (sender, id): where
 * each is and which inode it was, so that later files of that sender find
 * their place and nobody else's.
 *
 * In memory only; at most max entries. Beyond that the entry used longest ago
 * of the sender with the most entries is forgotten (never one that has entries
 * below it), as if it had been moved away.
 *
 * Any thread. The functions block on the disk, and wait for another thread that
 * is just making the directory in question.
 */
#ifndef FOLDERS_H
#define FOLDERS_H

#include <limits.h>
#include <stdbool.h>

#include "identity.h"
#include "wire.h"

#define FOLDERS_MAX 32768

struct folders;

/* top: the inbox's descriptor, borrowed. 0 or -errno. */
int folders_new(int top, unsigned max, struct folders **ret);
void folders_free(struct folders *fo);

/* The id of the inbox itself? */
bool folders_is_top(const uint8_t id[WIRE_ID_BYTES]);

/*
 * Opens the directory with this id (zeros: the inbox) for reading its entries
 * and fsync. ret_path: its path below the inbox when it was made ("" for the
 * top), short enough for one more name in PATH_MAX. The caller closes
 * *ret_fd. Returns 0, -ENOENT (this sender made none), -ESTALE (it is no longer
 * where it was made), or -errno.
 */
int folders_open(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], int *ret_fd, char ret_path[PATH_MAX]);

/*
 * Makes a directory under m->name or the next free name, with m->mode & 0777
 * and 0700 added, durable on return where durable says so. Where (sender, id)
 * was made before, or is being made by another thread, returns its result.
 * 0, -ESTALE (parent), -ENAMETOOLONG (nested too deep for a path), -EDQUOT
 * (the table is full of directories in use), or -errno: then nothing was made.
 */
int folders_make(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_mkdir *m, bool durable);

#endif

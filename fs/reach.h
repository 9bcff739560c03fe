/*
 * The way back from what is remembered (fs/delivered.h) to the file itself: the
 * directory that it is in, and the file, if nobody has touched it. Any thread;
 * blocks on the disk.
 */
#ifndef REACH_H
#define REACH_H

#include <limits.h>

#include "delivered.h"

struct inbox;

/*
 * Opens the directory that file->name is an entry of: the spool for a held one.
 * ret_path (or NULL): the path below the inbox of the file's parent; of a held
 * one "". 0, -ESTALE (it is no longer in its place), or -errno.
 */
int reach_dir(struct inbox *in, const struct delivered_file *file, int *ret_dir,
    char ret_path[PATH_MAX]);

/*
 * Is now what the file has been? In the inbox: untouched. What is held is
 * nobody's but ours, and a chmod -R or a backup of the spool shall not keep it
 * from being shown: there it is enough that its bytes are.
 */
bool reach_is(const struct delivered_file *file, const struct stamp *now);

/* Is it, still? file->stamp is what it is now. 0, -ESTALE, or -errno. */
int reach_check(int dir, struct delivered_file *file);

/*
 * The same, and opens it for reading: never a FIFO or a device that may stand
 * there now. 0, -ESTALE, or -errno.
 */
int reach_open(struct inbox *in, struct delivered_file *file, int *ret_fd);

/*
 * The directory that this sender made under this id, for a file that goes
 * there: as folders_open, but -ESTALE where there is none.
 */
int reach_parent(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t parent[WIRE_ID_BYTES], int *ret_dir, char ret_path[PATH_MAX]);

#endif

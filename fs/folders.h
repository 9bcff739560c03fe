/*
 * The directories that senders made in the inbox, under (sender, id): where
 * each is and which inode it was, so that later files of that sender find
 * their place and nobody else's.
 *
 * A directory that this sender made under the same name in the same place, and
 * that is still there, is not made a second time: it gets another id. All ids
 * of a directory mean the same, and it is renamed under any of them; but it is
 * withdrawn under the newest, which is what its sender calls it now.
 *
 * In memory only; each id costs FOLDERS_ID_BYTES and its names. Beyond max
 * bytes in all the one used longest ago of the sender with the most is
 * forgotten (never one that has entries below it), as if the directory had been
 * moved away: what is sent into it is ESTALE until the same id is made again.
 *
 * Any thread. The functions block on the disk, and wait for another thread that
 * is just making or renaming the directory in question or one above it. Those
 * with durable are durable on return where it says so.
 */
#ifndef FOLDERS_H
#define FOLDERS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "identity.h"
#include "wire.h"

#define FOLDERS_MAX (4 * 1024 * 1024)
/* One below the other, the first one in the inbox. */
#define FOLDERS_DEPTH_MAX 128
/* With what malloc adds to it, and to its names. */
#define FOLDERS_ID_BYTES 288

struct folders;

/* top: the inbox's descriptor, borrowed. 0 or -errno. */
int folders_new(int top, size_t max, struct folders **ret);
void folders_free(struct folders *fo);

/*
 * made is called for each directory that was made here (with no lock held), by
 * whom, and its path below the inbox; gone for each that was removed, with what
 * it counted (fs/usage.h). Before the table is used.
 */
typedef void folders_made(void *ctx, const uint8_t *sender, const char *path);
typedef void folders_gone(void *ctx, const uint8_t *sender, uint64_t bytes);
void folders_tell(
    struct folders *fo, folders_made *made, folders_gone *gone, void *ctx);

/* The id of the inbox itself? */
bool folders_is_top(const uint8_t id[WIRE_ID_BYTES]);

/*
 * Opens the directory with this id (zeros: the inbox) for reading its entries
 * and fsync. ret_path: its path below the inbox ("" for the top), short enough
 * for one more name in PATH_MAX. The caller closes *ret_fd. Returns 0, -ENOENT
 * (this sender made none), -ESTALE (it is no longer where it was made or
 * renamed to), or -errno.
 */
int folders_open(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], int *ret_fd, char ret_path[PATH_MAX]);

/*
 * The id under which the directory was made first, where id is a later one of
 * it; else id itself. So that what was remembered as being in a directory is
 * found under all its ids. Does not block.
 */
void folders_first_id(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    uint8_t ret[WIRE_ID_BYTES]);

/* 0: the id is a directory's; -ENOENT. Does not block. */
int folders_find(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES]);

/*
 * From hold to release, by the same thread, none of this sender's directories
 * is renamed or withdrawn, so that a path from folders_open stays true. Holds
 * nest, and do not exclude each other; they are short, because such requests
 * wait for them. -ENOENT (this sender has none), or 0.
 */
int folders_hold(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES]);
void folders_release(
    struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES]);

/*
 * How many directories path is below the topmost one: 0 for a directory in the
 * inbox. For wire_target_ok of what is directly in it.
 */
unsigned folders_depth(const char *path);

/*
 * Makes a directory under m->name or the next free name, with m->mode & 0777
 * and 0700 added; or takes the one that this sender made under that name there
 * before (its mode stays), or that it made with this id when gtfs ran before:
 * that is read from its attributes, where the disk keeps any. Where (sender,
 * id) was made before, or is being made by another thread, returns its result.
 * 0, -ESTALE (parent), -ENAMETOOLONG (nested too deep), -EDQUOT (the table is
 * full of directories in use), or -errno: then nothing was made.
 */
int folders_make(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_mkdir *m, bool durable);

/*
 * The functions from here on return -ENOENT where this sender has no directory
 * with this id, and -ESTALE where it is no longer in its place.
 */

/*
 * Renames it to m->name in m->parent or the next free name. A directory that
 * this sender made (or renamed) there under that name is replaced if it is
 * empty. Done before: 0. -EINVAL (into itself or below), -ENAMETOOLONG (what is
 * below would be nested too deep), -EXDEV (a link in it or below would leave
 * the topmost directory, or there is too much below to be sure), or -errno:
 * then nothing has changed.
 */
int folders_rename(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_rename *m, bool durable);

/*
 * Removes it and forgets all its ids; under one that is not its newest, nothing
 * happens (0). -ENOTEMPTY: nothing has changed.
 */
int folders_withdraw(struct folders *fo,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    bool durable);

/* Mode, with 0700 added, and times. -EINVAL: no times. */
int folders_patch(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m, bool durable);

/* An attribute that this disk cannot keep is none: 0. */
int folders_xattr(struct folders *fo, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_xattr *x, bool durable);

#endif

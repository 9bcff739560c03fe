/*
 * Symbolic links that senders made below their directories, under (sender, id):
 * where each is and what it was when gtfs last changed it.
 *
 * Every link here stays inside the topmost directory that was sent
 * (wire_target_ok), and stays so when it is renamed. Only a link that nobody
 * has touched is renamed, changed or taken back.
 *
 * In memory only; the newest max are remembered. Any thread; the functions
 * block on the disk, and wait for each other where they mean the same link or
 * where one of the sender's directories is just being renamed. Those with
 * durable are durable on return where it says so.
 */
#ifndef LINKS_H
#define LINKS_H

#include <stdbool.h>

#include "folders.h"
#include "identity.h"
#include "wire.h"

#define LINKS_MAX 4096

struct links;
struct usage;

/* fo and spool (the descriptor of a directory that nobody sees, on the inbox's
 * file system) are borrowed. 0 or -errno. */
int links_new(struct folders *fo, int spool, unsigned max, struct links **ret);
void links_free(struct links *l);
/* What is made and removed counts there. Before the first; NULL: nowhere. */
void links_count(struct links *l, struct usage *usage);

/*
 * Makes the link under m->name. Replaces nothing but this sender's own
 * untouched link of that name; else it gets the next free name. (sender, id)
 * that was made before: 0. -EPERM (it would leave, or stand in the top),
 * -ESTALE (the parent is none of this sender's, or no longer in its place), or
 * -errno: then nothing was made.
 */
int links_make(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_symlink *m, bool durable);

/*
 * The functions from here on return -ENOENT where this sender has no link with
 * this id, and -ESTALE where it was touched, moved, or is gone.
 */

/* Where and what it replaces: as links_make. -EXDEV: it would leave. */
int links_rename(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_rename *m, bool durable);
/* Removes it; the id is forgotten. */
int links_withdraw(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], bool durable);
/* Its own times; a link has no mode. -EINVAL: no times. */
int links_patch(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m, bool durable);
/* 0: the id is a link's. Never waits. */
int links_find(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES]);

#endif

/*
 * Renames that the peer is asked for, for fs/tree_rename.c: what is there
 * already, or is just being committed. The program waits RENAMING_MS at most,
 * without a thread of ours.
 */
#ifndef RENAMING_H
#define RENAMING_H

#include "mount.h"
#include "wire.h"

#define RENAMING_MS 2000

/* What is to be renamed, in a tree that permits it. */
struct rename_plan {
	struct node *n, *from, *to;
	struct node *target; /* what is replaced, or NULL */
	char name[WIRE_NAME_MAX + 1], newname[WIRE_NAME_MAX + 1];
};

struct renaming;

/* Holds the nodes of the plan, which is copied. NULL: out of memory. */
struct renaming *renaming_new_locked(
    struct mount *m, fuse_req_t req, const struct rename_plan *plan);

/* Takes r, and replies. Without the lock. */
void renaming_start(struct renaming *r);

/* Is n top, or below it? */
bool rename_is_below_locked(const struct node *n, const struct node *top);

/*
 * Renames it here. target: what is replaced, or NULL; take_back: the peer does
 * not replace it by itself. *ret_flying: as tree_retire_locked. 0 or -ENOMEM.
 */
int rename_here_locked(struct mount *m, const struct rename_plan *plan,
    struct node *target, bool take_back, struct outgoing **ret_flying);

#endif

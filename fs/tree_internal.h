/*
 * What the parts of the tree share, for tree*.c alone. All of it under the
 * nodes' lock.
 */
#ifndef TREE_INTERNAL_H
#define TREE_INTERNAL_H

#include "tree.h"

/* S_IFDIR, S_IFREG or S_IFLNK. */
mode_t tree_type(const struct node *n);

/* How many directories lie between n and the topmost one that was sent: 0 for
 * what is directly in that; -1 for what is at the top of a peer's folder. */
int tree_depth_locked(const struct node *n);

/* Under which id the peer knows what n is there; NULL: nothing is there yet. */
const uint8_t *tree_id_locked(const struct node *n);

/* Is there a version of it that the peer has not acknowledged? */
bool tree_in_flight_locked(const struct node *n);

/* Shows and sends it. 0 or -errno. */
int tree_meta_locked(
    struct mount *m, struct node *n, const struct wire_meta *meta);

/* It, and what is below it, leaves the tree; what was held there is nobody's
 * to show. */
void tree_unlist_locked(struct mount *m, struct node *n);

/*
 * n is removed, or replaced by a rename: unlists it. take_back: so that the
 * peer drops it, too. Returns a transfer in flight, or NULL: for tree_cancel,
 * without the lock.
 */
struct outgoing *tree_retire_locked(
    struct mount *m, struct node *n, bool take_back);
/* NULL is fine. */
void tree_cancel(struct outgoing *o);

#endif

/*
 * Changes of what is sent but for its content: mode, times, attributes. They
 * belong to the transfer while one takes operations, and are requests of their
 * own later; in between, while a commit is under way, they are kept until it
 * has ended, since the peer knows no file to change before that. Modes and
 * times are merged; of attributes so many bytes are kept (-ENOSPC).
 */
#ifndef TREE_CHANGE_H
#define TREE_CHANGE_H

#include "mount.h"
#include "wire.h"

/* Sends meta about n, a file, directory or link, without a wait; what n shows
 * is the caller's. 0 or -errno. */
int tree_change_meta_locked(
    struct mount *m, struct node *n, const struct wire_meta *meta);
/* The same for an attribute, which is copied. */
int tree_change_xattr_locked(
    struct mount *m, struct node *n, const struct wire_xattr *x);

/* A version begins, o: it gets the attributes that are kept for the one before.
 * (It has n's mode already, and times of its own.) 0 or -errno. */
int tree_change_carry_locked(const struct node *n, struct outgoing *o);

#endif

/*
 * A FUSE request that waits for its transfer, and who answers it: the link's
 * thread when it is done, or the worker that takes an INTERRUPT for it.
 */
#ifndef PARKED_H
#define PARKED_H

#include "mount.h"
#include "outgoing.h"

enum parked_kind {
	PARKED_WRITE,
	PARKED_READ, /* the result is the count of bytes in buf */
	PARKED_FSYNC,
	PARKED_FLUSH,  /* the opener's: its death aborts the transfer */
	PARKED_COMMIT, /* ... and its success settles the node */
	PARKED_FALLOCATE,
};

struct parked {
	struct waiter waiter; /* first */
	struct parked_watch *watch;
	LIST_ENTRY(parked) watched; /* under the watch's lock */
	bool is_watched;
	_Atomic unsigned refs;
	struct mount *mount;
	fuse_req_t req;
	enum parked_kind kind;
	struct node *node;    /* held */
	struct outgoing *out; /* referenced */
	void *buf;            /* PARKED_READ: owned */
	pid_t tid;            /* the caller's thread */
};

/*
 * The kernel says once that a caller was interrupted. One that goes on waiting
 * after that is watched (ten times a second, by a thread that exists once there
 * is need), so that a kill -9 that follows ends it. NULL: out of memory.
 */
struct parked_watch *parked_watch_new(void);
/* When no request is parked any more. NULL is fine. */
void parked_watch_free(struct parked_watch *w);

/*
 * Makes req ready to wait for n's transfer out; buf_len: of a PARKED_READ. NULL
 * (out of memory): ENOMEM was replied. Then: one outgoing_* call with
 * &p->waiter, and parked_settle with its result, or parked_drop.
 */
struct parked *parked_new(struct mount *m, fuse_req_t req,
    enum parked_kind kind, struct node *n, struct outgoing *out,
    size_t buf_len);

/*
 * result: what the outgoing_* call returned. OUTGOING_PARKED: p is no longer
 * the caller's, nothing to do. Else replies (taken: bytes of a write or read)
 * and frees.
 */
void parked_settle(struct parked *p, int result, size_t taken);

/* Frees it without a reply: req is the caller's again. Not when parked. */
void parked_drop(struct parked *p);

#endif

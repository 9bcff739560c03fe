/*
 * One file on its way to a peer: the window of operations that the peer has
 * not acknowledged, and the callers that wait for it.
 *
 * The program's side (fs, or a command) creates it, feeds it operations and
 * asks for checkpoints and the commit; no call of it ever blocks. A caller that
 * has to wait leaves a waiter and is told later from the link's thread
 * (net/link runs the other side through net/outgoing_run.h).
 *
 * The first error stays: every later call returns it.
 */
#ifndef OUTGOING_H
#define OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "wire.h"

struct peer;
struct outgoing;

/* Outcomes. */
enum { OUTGOING_PARKED = 1 };

/*
 * Somebody who waits; embedded by the caller, zeroed at first, and kept alive
 * until done was called or outgoing_unpark returned true. done is called
 * exactly once, with no lock held, in any thread; it may free the waiter.
 * result: what the call would have returned (a write: the bytes taken, or
 * -errno).
 */
struct waiter {
	void (*done)(struct waiter *w, int64_t result);
	/* The rest belongs to outgoing.c. */
	TAILQ_ENTRY(waiter) link;
	uint64_t seq;
	int64_t result;
	bool parked, cancelled, is_write;
};

/*
 * A directory of this sender at the peer, counted. Its MKDIR is queued at once
 * (acknowledged from memory); a file below it sends the MKDIR again on its own
 * connection as long as no RESULT has confirmed it, and fails with its error.
 */
struct outdir;
/* parent is referenced; NULL: the top. Returns 0, -ENOMEM, or as
 * outgoing_new. */
int outdir_new(struct peer *peer, struct outdir *parent, const char *name,
    uint32_t mode, struct outdir **ret);
struct outdir *outdir_get(struct outdir *d);
void outdir_put(struct outdir *d);
/* Mode and times, sent after everything that was queued before. */
int outdir_meta(struct outdir *d, const struct wire_meta *m);

/*
 * A new file for peer in the directory parent (NULL: the top); both are
 * referenced. size is a hint or WIRE_SIZE_UNKNOWN. Nothing has been sent on
 * return.
 * Returns 0; -EHOSTUNREACH, -EACCES or -EKEYREJECTED where it is already known
 * that it cannot work; -EMFILE (too many transfers), -ENOMEM.
 */
int outgoing_new(struct peer *peer, struct outdir *parent, const char *name,
    uint32_t mode, uint64_t size, struct outgoing **ret);

struct outgoing *outgoing_get(struct outgoing *o);
/* Frees with the last reference; by then it was committed or aborted. */
void outgoing_put(struct outgoing *o);

/*
 * Takes bytes into the window: at least 64 KiB of them or all, and all where
 * memory permits. Returns 0 with *ret_taken (answer now), OUTGOING_PARKED
 * (w->done is called with the bytes taken when the window has room again), or
 * -errno.
 */
int outgoing_write(struct outgoing *o, const void *bytes, size_t len,
    uint64_t offset, struct waiter *w, size_t *ret_taken);

/* 0 or -errno; never parked. */
int outgoing_truncate(struct outgoing *o, uint64_t size);
/* A published file is patched late: acknowledged from memory. */
int outgoing_meta(struct outgoing *o, const struct wire_meta *m);

/*
 * fallocate, checkpoint and commit: 0 where there is nothing to wait for,
 * OUTGOING_PARKED, or -errno. A checkpoint says that all bytes so far are on
 * the peer's disk; a commit that the file is in its inbox, durable.
 */
int outgoing_reserve(struct outgoing *o, uint64_t offset, uint64_t len,
    bool keep_size, struct waiter *w);
int outgoing_checkpoint(struct outgoing *o, struct waiter *w);
int outgoing_commit(struct outgoing *o, struct waiter *w);

/*
 * The caller of w was interrupted. True: w is no longer parked, done will not
 * be called, and for a write *ret_taken says what was taken of it. False: done
 * has been or is being called. Synchronises with done only through the
 * caller's own means.
 */
bool outgoing_unpark(struct outgoing *o, struct waiter *w, int64_t *ret_taken);

/*
 * Drops it, here and there: nothing of it appears at the peer unless it is
 * published already. err: a negative errno, which later calls return.
 */
void outgoing_abort(struct outgoing *o, int err);

/* Late metadata of a file that was published under id. 0 or -errno. */
int outgoing_patch(struct peer *peer, const uint8_t id[WIRE_ID_BYTES],
    const struct wire_meta *m);

/* Anything new since the last commit (a new, still empty file included)? */
bool outgoing_uncommitted(struct outgoing *o);
/* Its window is well beyond its share: writes that were not waited for. */
bool outgoing_overfull(struct outgoing *o);
bool outgoing_published(struct outgoing *o);
/* 0 or the sticky error. */
int outgoing_error(struct outgoing *o);
uint64_t outgoing_size(struct outgoing *o);
const uint8_t *outgoing_id(const struct outgoing *o);

#endif

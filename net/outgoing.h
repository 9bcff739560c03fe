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

struct outdir; /* net/request.h */
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
	bool parked, cancelled, is_write, is_read;
	uint8_t *buf; /* of a read: where to, from where, how much */
	uint64_t offset;
	size_t len, asked, got;
};

/* What is to be sent. Everything is borrowed, and referenced where counted. */
struct outgoing_plan {
	struct outdir *parent; /* NULL: the top */
	const char *name;
	uint32_t mode;
	uint64_t size; /* a hint, or WIRE_SIZE_UNKNOWN */
	/*
	 * The next version of the file that was committed under this id; NULL:
	 * a new file. It begins with that content and base_size bytes, and its
	 * first write, fsync or commit waits for the peer to say that nobody
	 * has touched it (else -ESTALE).
	 */
	const uint8_t *base;
	uint64_t base_size;
	/*
	 * ... or the version after a transfer whose commit is still under way:
	 * nothing is sent before that has ended, and where it fails this one
	 * fails with the same error. base and base_size are then its own.
	 */
	struct outgoing *after;
	/*
	 * ... or a new file that only waits for after: whatever becomes of
	 * that, it is sent then, and takes the name from what is there.
	 */
	bool anew;
};

/*
 * A new transfer to peer. Nothing has been sent on return.
 * Returns 0; -EHOSTUNREACH, -EACCES or -EKEYREJECTED where it is already known
 * that it cannot work; -EMFILE (too many transfers), -ENOMEM.
 */
int outgoing_new(
    struct peer *peer, const struct outgoing_plan *plan, struct outgoing **ret);

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

/*
 * 0 or -errno; never parked. -EBUSY: a commit is under way or done, so that it
 * belongs to a new version (or to a request, net/request.h).
 */
int outgoing_truncate(struct outgoing *o, uint64_t size);
int outgoing_meta(struct outgoing *o, const struct wire_meta *m);
int outgoing_xattr(struct outgoing *o, const struct wire_xattr *x);
/* Where the commit publishes it. parent (NULL: the top) is referenced. */
int outgoing_move(struct outgoing *o, struct outdir *parent, const char *name);

/*
 * fallocate, read, checkpoint and commit: 0 where there is nothing to wait for,
 * OUTGOING_PARKED, or -errno. A checkpoint says that all bytes so far are on
 * the peer's disk; a commit that the file is in its inbox, durable (with hold:
 * durable, and not shown before request_show, request_rename, or our end).
 */
/* w may be NULL for WIRE_RESERVE_CHECK: a failure then ends the transfer. */
int outgoing_reserve(struct outgoing *o, uint64_t offset, uint64_t len,
    enum wire_reserve how, struct waiter *w);
/*
 * What is at offset now, from the peer's spool: the result is the count of
 * bytes, less than len only where the file ends. buf is written to until done
 * was called or outgoing_unpark returned true. -EACCES: nothing is uncommitted,
 * and what was delivered is the peer's.
 */
int outgoing_read(struct outgoing *o, void *buf, size_t len, uint64_t offset,
    struct waiter *w);
int outgoing_checkpoint(struct outgoing *o, struct waiter *w);
/* The same, but of a new file with no operation yet, too: that the peer has it,
 * only its answer tells. */
int outgoing_sync(struct outgoing *o, struct waiter *w);
int outgoing_commit(struct outgoing *o, bool hold, struct waiter *w);

/*
 * The caller of w was interrupted. True: w is no longer parked, done will not
 * be called, and for a write *ret_taken says what was taken of it. False: done
 * has been or is being called. Synchronises with done only through the
 * caller's own means.
 */
bool outgoing_unpark(struct outgoing *o, struct waiter *w, int64_t *ret_taken);

/*
 * Drops it, here and there: nothing of it appears at the peer. What was
 * committed and acknowledged stays; what a COMMIT under way publishes is taken
 * back. err: a negative errno, which later calls return.
 */
void outgoing_abort(struct outgoing *o, int err);

/* Neither committed nor failed (a new, still empty file included)? */
bool outgoing_uncommitted(struct outgoing *o);
/* Uncommitted, and no commit is under way: operations are welcome. */
bool outgoing_writable(struct outgoing *o);
/* Its window is well beyond its share: writes that were not waited for. */
bool outgoing_overfull(struct outgoing *o);
/* Its commit was acknowledged (published or held). */
bool outgoing_published(struct outgoing *o);
/* ... with hold. */
bool outgoing_held(struct outgoing *o);
/* Bytes that the peer has applied. */
uint64_t outgoing_progress(struct outgoing *o);
/* "waiting", "active", "committing", "done", "failed": ledger.h's words. */
const char *outgoing_state_name(struct outgoing *o);
/* 0 or the sticky error. */
int outgoing_error(struct outgoing *o);
uint64_t outgoing_size(struct outgoing *o);
const uint8_t *outgoing_id(const struct outgoing *o);

#endif

/*
 * What is asked of a peer about something that this machine delivered there,
 * or is about to: gtfs-protocol(7), section Requests. Requests of one peer are
 * done in the order in which they were made, by one connection at a time; one
 * whose connection broke is made again on the next.
 *
 * Nothing here blocks. Unless they say otherwise the functions return 0 (it is
 * queued; what becomes of it is told to the waiter, if there is one),
 * -EHOSTUNREACH (the peer's folder has gone), -EAGAIN (too many) or -ENOMEM;
 * all but SHOW and WITHDRAW, which wait for a peer that is away, also what
 * outgoing_new says of one that is known to be no use. In these cases the
 * waiter is not called.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

struct peer;

/*
 * Somebody who waits; embedded by the caller, zeroed at first but for done, and
 * kept alive until done was called or request_forget returned true. done is
 * called exactly once, with no lock held, in any thread; it may free the
 * waiter. result: 0, or what the peer answered as a negative errno;
 * -EHOSTUNREACH: the peer has gone for good.
 */
struct request_waiter {
	void (*done)(struct request_waiter *w, int result);
	/* The rest belongs to net/treeop.c. */
	struct treeop *op;
};

/*
 * Nobody waits any more; the request itself goes on. True: done will not be
 * called. False: it has been or is being called.
 */
bool request_forget(struct peer *p, struct request_waiter *w);
/*
 * The same, and the request is not made. Only one that was never sent can be
 * cancelled: false, and done will be called, if the peer may have done it.
 */
bool request_cancel(struct peer *p, struct request_waiter *w);

/* --- directories ---------------------------------------------------------- */

/*
 * A directory of this sender at the peer, counted. Its MKDIR is queued at once
 * (acknowledged from memory); a file below it sends the MKDIR again on its own
 * connection as long as no RESULT has confirmed it, and fails with its error.
 * A connection that ends takes the confirmation with it: the peer may have
 * started again.
 */
struct outdir;
/* parent is referenced; NULL: the top. */
int outdir_new(struct peer *peer, struct outdir *parent, const char *name,
    uint32_t mode, struct outdir **ret);
struct outdir *outdir_get(struct outdir *d);
void outdir_put(struct outdir *d);
const uint8_t *outdir_id(const struct outdir *d);
/* Mode and times. */
int outdir_meta(struct outdir *d, const struct wire_meta *m);
/* parent (referenced with the success) and name are its own from then on. */
int outdir_rename(struct outdir *d, struct outdir *parent, const char *name,
    struct request_waiter *w);

/* --- what was delivered ----------------------------------------------------
 */

/*
 * id: of a file whose COMMIT was acknowledged, of a directory or of a link. A
 * waiter may be NULL everywhere.
 */
int request_patch(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m);
/* x is copied. */
int request_xattr(struct peer *p, const uint8_t id[WIRE_ID_BYTES],
    const struct wire_xattr *x);
/* parent NULL: the top. hold: of a file, not shown under this name yet. */
int request_rename(struct peer *p, const uint8_t id[WIRE_ID_BYTES],
    struct outdir *parent, const char *name, bool hold,
    struct request_waiter *w);
/* Shows a file that was committed with hold, under the name it has. */
int request_show(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], struct request_waiter *w);
/* Takes it back if nobody has touched it; a directory, if it is empty. */
int request_withdraw(struct peer *p, const uint8_t id[WIRE_ID_BYTES]);
/* A link in the directory parent (never NULL), with a new id. target is not
 * empty and passes wire_target_climb. */
int request_symlink(struct peer *p, struct outdir *parent, const char *name,
    const char *target, uint8_t ret_id[WIRE_ID_BYTES]);

#endif

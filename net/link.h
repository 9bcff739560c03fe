/*
 * One connection to a peer and the thread that owns it: dials, keeps it warm,
 * and runs the transfers and directory operations that it is given, one at a
 * time. What both of those share stands here.
 */
#ifndef LINK_H
#define LINK_H

#include "peer_internal.h"

enum {
	LINK_PING_MS = 4000,      /* idle: asks after this much silence */
	LINK_DEAD_MS = 10000,     /* idle: gone after this much */
	LINK_BUSY_PING_MS = 1000, /* while an answer is owed */
	LINK_STALLED_MS = 4000,   /* while an answer is owed: not there */
	LINK_SPARE_MS = 20000,    /* an idle one that is not the last ends */
};

/*
 * The next message for the caller: PONG is taken care of here. Waits until
 * wake (then CONN_WOKEN, with the wake consumed), CONN_DRAINED, or the end:
 * -ECONNRESET, -ETIMEDOUT (silent for longer than the patience), -EPROTO,
 * -EBADMSG. owed: an answer is expected, so silence is suspicious sooner.
 * poll_only: -EAGAIN instead of waiting.
 */
int link_receive(
    struct link *l, bool owed, bool poll_only, struct wire_msg *ret);

/*
 * Is m an answer to something that was asked on this connection before, and
 * given up since? (What was never asked has no answer: a violation.)
 */
bool link_late_answer(const struct link *l, const struct wire_msg *m);

/*
 * Sends a MKDIR or PATCH and waits for its RESULT. Returns 0 with the code as
 * a negative errno (or 0) in *ret_result, or how the connection broke.
 */
int link_request(struct link *l, struct wire_msg *m, int *ret_result);

#endif

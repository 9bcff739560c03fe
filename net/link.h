/*
 * One connection to a peer and the thread that owns it: dials, keeps it warm,
 * and runs the transfers that it is given, one at a time, and requests. What
 * both of those share stands here.
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

/* An outcome beside those of conn_receive: a RESULT or ANSWER has come. */
enum { LINK_ANSWERED = 16 };

/*
 * The next message for the caller: PONG, RESULT and ANSWER are taken care of
 * here, and what is to be asked (net/treeop.h) is sent. Waits until wake (then
 * CONN_WOKEN, with the wake consumed), CONN_DRAINED, LINK_ANSWERED, or the end:
 * -ECONNRESET, -ETIMEDOUT (silent for longer than the
 * patience), -EPROTO, -EBADMSG. owed: an answer is expected, so silence is
 * suspicious sooner. poll_only: -EAGAIN instead of waiting.
 */
int link_receive(
    struct link *l, bool owed, bool poll_only, struct wire_msg *ret);

/*
 * Seals m into the output, behind what is pending or in its place. 0; -EAGAIN:
 * the socket is full, m was not taken; or how the connection broke.
 */
int link_queue(struct link *l, const struct wire_msg *m);

/*
 * Is m an answer to something that was asked on this connection before, and
 * given up since? (What was never asked has no answer: a violation.)
 */
bool link_late_answer(const struct link *l, const struct wire_msg *m);

#endif

/*
 * A link that asks its peer's owner to let this machine in: gtfs-protocol(7),
 * section Asking. Runs in the link's thread; who waits, and what the answer
 * means for them, is in net/peers_ask.c.
 */
#ifndef LINK_ASK_H
#define LINK_ASK_H

#include "peer_internal.h"

/*
 * Asks, and waits until it is answered or nobody waits any more. 0; or a
 * negative errno: the connection is broken, and the next one asks again.
 */
int link_ask(struct link *l);

/* An ANSWER has come, whatever the link does now. 0; -EPROTO: to nothing. */
int link_answered(struct link *l, const struct wire_msg *m);

#endif

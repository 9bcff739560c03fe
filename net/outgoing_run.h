/*
 * A transfer as its link's thread drives it: offers it, sends its operations,
 * takes the answers, and returns when the connection is free again.
 */
#ifndef OUTGOING_RUN_H
#define OUTGOING_RUN_H

#include "conn.h"
#include "outgoing.h"

struct link;

/*
 * Runs o on the link's connection until it is published, aborted or failed.
 * Returns 0 (the connection can carry the next one) or a negative errno (the
 * connection is broken; o has failed, or waits in its peer's queue again).
 */
int outgoing_run(struct outgoing *o, struct link *l);

#endif

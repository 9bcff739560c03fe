/*
 * The sink's request op: what a sender asks about directories, links and files
 * that it made here. An id is looked for among its directories, then its links,
 * then its files. Any thread; blocks on the disk. Returns as net/sink.h says.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "sink.h"

/* s: the sink of an inbox (fs/inbox.h). */
int requests_handle(
    struct sink *s, const struct sink_offer *from, const struct wire_msg *m);

#endif

/*
 * The free space of the inbox, for those who must not wait for its disk: who
 * may wait asks the sink, and everybody else has the last answer.
 */
#ifndef SPACE_H
#define SPACE_H

#include "sink.h"

struct space;

/* sink is borrowed. NULL: out of memory. */
struct space *space_new(struct sink *sink);
void space_free(struct space *s);

/* Asks the sink. Blocks as long as its disk does. */
void space_ask(struct space *s);

/* The last answer; zeros before the first one. Never blocks. */
void space_last(struct space *s, struct sink_space *ret);

#endif

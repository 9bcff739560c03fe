/*
 * A message that waits, kept in as many bytes as it has on the wire: tens of
 * thousands of them may be queued, and struct wire_msg has room for the longest
 * names. Pure; any thread.
 */
#ifndef PACKED_H
#define PACKED_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct packed {
	size_t len;
	uint8_t bytes[];
};

/* A copy of m and of its payload, to be freed with free(). NULL: no memory. */
struct packed *packed_new(const struct wire_msg *m);

/* The message again; its payload points into p. */
void packed_get(const struct packed *p, struct wire_msg *ret);

#endif

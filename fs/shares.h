/*
 * How many records of a bounded table are whose: when it is full, one of the
 * sender with the most has to go, so that nobody pushes out what others have.
 *
 * The table's lock guards all of it, but shares_init. A share is there while a
 * record has it; who counts as having how many is the table's to say.
 */
#ifndef SHARES_H
#define SHARES_H

#include <sys/queue.h>

#include "identity.h"

struct share {
	LIST_ENTRY(share) entry;
	unsigned refs;
	unsigned n; /* what is counted */
	uint8_t sender[IDENTITY_KEY_BYTES];
};

LIST_HEAD(shares, share);

void shares_init(struct shares *sh);

/* The sender's, for one more record; NULL: no memory. */
struct share *shares_get(
    struct shares *sh, const uint8_t sender[IDENTITY_KEY_BYTES]);
/* NULL is fine. */
void shares_put(struct shares *sh, struct share *s);

/* That with the largest n; NULL: there is none. */
const struct share *shares_most(const struct shares *sh);

#endif

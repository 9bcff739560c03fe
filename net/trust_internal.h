/*
 * The table of pins, for trust.c (who asks, and who changes it) and
 * trust_load.c (how it is read) alone.
 */
#ifndef TRUST_INTERNAL_H
#define TRUST_INTERNAL_H

#include "sync.h"
#include "trust.h"

#define TRUST_DAMAGED ".damaged" /* textfile_set_aside */

struct trust {
	enum trust_default strangers;
	int fd; /* of pins/ */
	struct mutex lock;
	struct cond idle;
	bool changing GUARDED_BY(lock);
	struct trust_pin *pins GUARDED_BY(lock);
	unsigned n_pins GUARDED_BY(lock);
	unsigned cap_pins GUARDED_BY(lock);
	/* Damaged pins whose keys have not been seen yet; pins has room. */
	char (*damaged)[FINGERPRINT_CHARS] GUARDED_BY(lock);
	unsigned n_damaged GUARDED_BY(lock);
};

/* Room for one more, so that what is on the disk then is never forgotten. 0,
 * -ENOSPC or -ENOMEM. */
int trust_reserve_locked(struct trust *t) REQUIRES(t->lock);
/* name, or "name (2)", "name (3)" ...: what no pin is called. */
void trust_unique_name_locked(
    struct trust *t, char name[WIRE_PEER_NAME_MAX + 1]) REQUIRES(t->lock);

/* Opens pins/, making it if missing, and reads it. 0 or -errno. */
int trust_load(struct trust *t, int state_fd);

#endif

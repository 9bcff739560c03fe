/*
 * Files that arrived and are no longer remembered, because gtfs has started
 * again or so many others came: found by what they say themselves
 * (fs/provenance.h), for a sender that asks for another name.
 */
#ifndef AGAIN_H
#define AGAIN_H

#include <stdbool.h>

#include "identity.h"
#include "wire.h"

struct inbox;

/* So many entries of a directory are looked at. */
#define AGAIN_MAX 4096

/* The file has this name already. */
#define AGAIN_DONE 1

struct again {
	int dir;  /* where it is to go, and is looked for */
	bool top; /* that is the inbox itself */
	const uint8_t *sender, *id, *parent;
	const char *want;
};

/*
 * Any thread; blocks on the disk. 0: it is remembered again, under the name
 * that it has there; AGAIN_DONE; -ENOENT (nothing here says that it has this
 * id), -ESTALE (its name, or its bytes, may be its user's by now), or -errno.
 */
int again_find(struct inbox *in, const struct again *a);

#endif

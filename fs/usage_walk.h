/*
 * The table of what each peer has, and the walk over the inbox that fills one.
 * Only fs/usage includes this.
 */
#ifndef USAGE_WALK_H
#define USAGE_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "usage.h"

struct usage_count {
	char peer[FINGERPRINT_CHARS];
	uint64_t bytes, files;            /* in the inbox */
	int64_t since_bytes, since_files; /* of these, since the walk began */
	uint64_t open_bytes, open_files;  /* on their way */
};

/* Zeroed at first; counts is freed by who has the table. */
struct usage_table {
	struct usage_count *counts;
	unsigned n, cap;
	uint64_t bytes, files; /* of all there is, whoever has sent it */
};

/* NULL: there is none. */
struct usage_count *usage_find(const struct usage_table *t, const char *peer);
/* NULL: no memory, or more peers than are counted. */
struct usage_count *usage_find_or_add(struct usage_table *t, const char *peer);

/* Does this file system keep what tells whose a file is? */
bool usage_walk_finds(int inbox_fd);

/*
 * Counts into *ret, which is empty, what is in the inbox, and what is held in
 * the spool. Blocks for as long as the disk takes, or until stopping is set.
 */
void usage_walk(int inbox_fd, const char *spool, const atomic_bool *stopping,
    struct usage_table *ret);

#endif

/*
 * What each peer has in the inbox and in the spool, against its quota, and the
 * floor of free disk that nobody may go below.
 *
 * What is in the inbox is known by a walk over it (what says in user.gtfs.from
 * that it is the peer's, by the blocks that it takes; held files, too) and by
 * what was published since. A walk is made at the start, and again before a
 * peer is refused, unless the last one was just now: what its user has taken
 * out counts no more. Files without the attribute are its user's own; where the
 * file system keeps no such attributes, what was published since the start
 * counts, as far as there is so much in the inbox at all.
 *
 * Any thread. Its lock is a leaf. The functions that may answer -EDQUOT wait
 * for a walk, at most USAGE_WAIT_MS.
 */
#ifndef USAGE_H
#define USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"

enum {
	USAGE_WALK_MS = 10 * 1000, /* between two walks, if they take long */
	USAGE_WAIT_MS = 3 * 1000,
	USAGE_AHEAD = 1024 * 1024, /* claimed at once */
	USAGE_PEERS_MAX = 8192,    /* more have no quota of their own */
	USAGE_DEPTH_MAX = 192,     /* a walk goes no deeper */
};

/*
 * Defaults; a pin's own quota wins. Bytes: a part of what the file system has,
 * in per cent, and no less than this much; so on small ones (a stick) there is
 * the floor alone. The floor is a part of the inodes, too.
 */
#define USAGE_PERCENT       50
#define USAGE_BYTES_LEAST   (UINT64_C(64) << 30)
#define USAGE_FILES_DEFAULT UINT64_C(1000000)
#define USAGE_FLOOR_PERCENT 2
#define USAGE_FLOOR_MAX     (UINT64_C(1) << 30)

struct usage;

struct usage_limits {
	uint64_t bytes, files; /* 0: the default */
};

/* One file on its way in. Zeroed at first; guarded by usage's lock. */
struct usage_claim {
	uint64_t bytes;
	uint8_t peer[IDENTITY_KEY_BYTES];
	struct usage_limits limits; /* no zeros here */
	bool open;                  /* it counts as a file */
};

/*
 * inbox_fd is borrowed; spool is the name at its top where only held files
 * count (fs/held.h). Nothing is read yet. NULL: out of memory.
 */
struct usage *usage_new(int inbox_fd, const char *spool);
/*
 * Walks in a thread of its own from now on, at once for the first time; until
 * that has ended, what was there before does not count. Without it whoever
 * needs a walk makes it. 0 or -errno.
 */
int usage_start(struct usage *u);
void usage_free(struct usage *u);

/*
 * May the peer have so much more? 0; -EDQUOT: its quota; -ENOSPC: the disk
 * would fall below its floor, or is there.
 */
int usage_may(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, uint64_t bytes, uint64_t files);
/* It has one file more; or one of so many bytes has gone. */
void usage_add(
    struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES], uint64_t bytes);
void usage_forget(
    struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES], uint64_t bytes);

/*
 * What an entry of dir (name "": dir itself) counts when it comes or goes: its
 * blocks, with one of attributes, but not those beyond the end of a file or of
 * a directory that has become longer. Who makes and removes things shall not
 * have ever less by that. 0: there is none.
 */
uint64_t usage_bytes_at(int dir, const char *name);

/* A file begins. 0, or as usage_may. */
int usage_begin(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, struct usage_claim *ret);
/*
 * It has so many bytes on the disk, and needs so many more. 0, or as usage_may:
 * then the claim has not changed. c->bytes is at least the sum of both, and up
 * to USAGE_AHEAD more where it needs some and there is room. What it has
 * claimed already is not refused.
 */
int usage_grow(
    struct usage *u, struct usage_claim *c, uint64_t has, uint64_t need);
/* It stands in the inbox now, or is held, with so many bytes. */
void usage_publish(struct usage *u, struct usage_claim *c, uint64_t bytes);
/* It is nowhere. Also after one of the two: nothing, then. */
void usage_drop(struct usage *u, struct usage_claim *c);

/* Bytes of a file system that are to stay free. */
uint64_t usage_floor(uint64_t total_bytes);
/* What one peer may have of it, where nobody has said otherwise. */
uint64_t usage_default(uint64_t total_bytes);

/* What is known now, for tests. */
void usage_of(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    uint64_t *ret_bytes, uint64_t *ret_files);

/* For people: what a peer has, and may have. */
struct usage_share {
	uint64_t bytes, files;
	struct usage_limits may; /* no zeros here */
	bool disk_full;          /* but for the floor: nobody gets more */
	uint64_t floor;
};

/*
 * As far as it is known now; what is old is looked at again (usage_start), for
 * the next one who asks. Does not block. 0 or -errno.
 */
int usage_share(struct usage *u, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, struct usage_share *ret);

#endif

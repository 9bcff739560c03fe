/*
 * The files that arrived: where each is, and what it was when gtfs last changed
 * it, under (sender, id), and under the (sender, place, name) that was wanted
 * for it. In memory only. Of those that are shown the newest are remembered,
 * and of the sender with the most the oldest forgotten; those that are held are
 * all remembered, and bounded instead.
 *
 * Any thread; nothing here touches the disk. A file that somebody works on is
 * busy: other callers for it wait. Who waits has nothing busy itself, but for a
 * file that is not findable yet, so that no two wait for each other.
 */
#ifndef DELIVERED_H
#define DELIVERED_H

#include <stdbool.h>

#include "identity.h"
#include "stamp.h"
#include "wire.h"

#define DELIVERED_MAX           4096 /* shown ones that are remembered */
#define DELIVERED_HELD_MAX      8192
#define DELIVERED_HELD_PER_PEER 1024

/* Which directory it is in: its device and inode. */
#define DELIVERED_PLACE_BYTES 16

struct delivered_record;

struct delivered_file {
	struct delivered_record *record; /* while it is busy; else NULL */
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	uint8_t place[DELIVERED_PLACE_BYTES]; /* where parent is, or will be */
	bool held;                            /* in the spool */
	/*
	 * Somebody else's file with the same bytes, that stands for this one:
	 * it may be read, and never changed.
	 */
	bool foreign;
	struct stamp stamp;
	char want[WIRE_NAME_MAX + 1]; /* what the sender calls it */
	char name[WIRE_NAME_MAX + 1]; /* its name in the inbox, or the spool */
	char peer[WIRE_NAME_MAX + 1]; /* the sender's folder */
};

struct delivered;

/* The place of the directory behind a descriptor. 0 or -errno. */
int delivered_place(int dir, uint8_t ret[DELIVERED_PLACE_BYTES]);

/* max: how many shown ones are remembered (tests lower it). 0 or -errno. */
int delivered_new(unsigned max, struct delivered **ret);
void delivered_free(struct delivered *d);

/*
 * Remembers a copy of *file, busy, and sets file->record. A shown one of the
 * same id is forgotten. 0; -EEXIST (one with this id is held), -EDQUOT (so many
 * are held already), -ENOMEM, -ENOBUFS (all are busy).
 */
int delivered_add(struct delivered *d, struct delivered_file *file);

/* Looks a file up and makes it busy. 0, or -ENOENT. */
int delivered_begin(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct delivered_file *ret);

/*
 * The same for two at once: the file with this id (NULL: none is meant), and
 * the newest other file that was wanted as (place, want). ret_claim->record is
 * NULL where there is none. 0, or -ENOENT: no file with that id.
 */
int delivered_begin_two(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t *id,
    const uint8_t place[DELIVERED_PLACE_BYTES], const char *want,
    struct delivered_file *ret, struct delivered_file *ret_claim);

/* No longer busy. now: what it has become (its id too), or NULL: as it was. */
void delivered_end(struct delivered *d, const struct delivered_file *file,
    const struct delivered_file *now);
/* No longer busy, and forgotten. */
void delivered_drop(struct delivered *d, const struct delivered_file *file);

/* A copy of what is known, without waiting. 0, or -ENOENT. */
int delivered_peek(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct delivered_file *ret);

/*
 * Is that a file that was delivered, and that nobody has touched since? One
 * that is just being delivered, shown, or withdrawn counts.
 */
bool delivered_knows(struct delivered *d, const struct stamp *now);

/* May this sender have one more held, as delivered_add would see it? */
bool delivered_may_hold(
    struct delivered *d, const uint8_t sender[IDENTITY_KEY_BYTES]);

struct delivered_key {
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
};

/* Those that are held. The caller frees *ret (NULL where 0 are). -ENOMEM. */
int delivered_held(
    struct delivered *d, struct delivered_key **ret, unsigned *ret_n);

#endif

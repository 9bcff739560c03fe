/*
 * The links that senders made lately, under (sender, id), for fs/links, which
 * does all the work on the disk. The newest max are remembered, in memory only.
 *
 * A record is given to one thread at a time; its fields stay as they are until
 * that thread gives it back. Any thread; nothing here touches the disk, but
 * those that begin wait for another thread that has the same link.
 */
#ifndef LINKTABLE_H
#define LINKTABLE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "identity.h"
#include "stamp.h"
#include "wire.h"

struct linkrec {
	TAILQ_ENTRY(linkrec) age;
	struct linkrec *next; /* in its bucket */
	bool busy;            /* some thread has it */
	struct share *share;  /* its sender's */
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES]; /* folders_first_id */
	char *want;                    /* its name as sent */
	char *name;                    /* as it is there; NULL: not made yet */
	struct stamp stamp;
};

struct linktable;

/* 0 or -errno. */
int linktable_new(unsigned max, struct linktable **ret);
void linktable_free(struct linktable *t);

/*
 * The record of this link; with make also a new one, without name (-ENOMEM,
 * -EDQUOT: all are busy). -ENOENT: there is none.
 */
int linktable_begin(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    bool make, struct linkrec **ret);
/*
 * The newest record of a link that this sender wants to have this name there,
 * and that no other thread has; else NULL. Does not wait, so that a thread may
 * have two.
 */
struct linkrec *linktable_begin_wanted(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t parent[WIRE_ID_BYTES], const char *want);
/* 0 or -ENOMEM: then nothing has changed. Strings are copied. */
int linktable_place(struct linktable *t, struct linkrec *rec,
    const uint8_t parent[WIRE_ID_BYTES], const char *want, const char *name,
    const struct stamp *stamp);
/* Gives it back; one without name is forgotten. NULL is fine. */
void linktable_end(struct linktable *t, struct linkrec *rec);
/* Forgets it instead. NULL is fine. */
void linktable_forget(struct linktable *t, struct linkrec *rec);

bool linktable_has(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES]);

#endif

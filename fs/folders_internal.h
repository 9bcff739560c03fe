/*
 * What fs/folders*.c share: the table. folders_table.c keeps it, folders.c
 * finds and opens directories, folders_make.c makes them, folders_move.c
 * renames and withdraws.
 *
 * The lock is never held while the disk is asked. What orders work on the disk
 * instead, per sender: any number of threads hold its directories still (they
 * make or open some, or make links below), or one alone renames or withdraws.
 * So who holds them still, or is alone, finds the paths of the table true.
 */
#ifndef FOLDERS_INTERNAL_H
#define FOLDERS_INTERNAL_H

#include <sys/queue.h>

#include "folders.h"
#include "idhash.h"
#include "stamp.h"
#include "sync.h"

TAILQ_HEAD(folder_list, folder);
LIST_HEAD(folder_group, folder);

/* All fields are guarded by the table's lock. */
struct folder_sender {
	LIST_ENTRY(folder_sender) entry;
	size_t cost;      /* of its folders */
	unsigned still;   /* threads that hold them where they are */
	bool alone;       /* one thread may move them */
	unsigned waiting; /* threads that want to */
	unsigned pins;    /* threads that have or wait for one of the two */
	/* Used last first. A parent always stands before its children. */
	struct folder_list used;
	uint8_t key[IDENTITY_KEY_BYTES];
};

/* All fields are guarded by the table's lock. */
struct folder {
	struct folder *next;   /* in its bucket */
	struct folder *parent; /* NULL: the inbox */
	struct folder_sender *sender;
	TAILQ_ENTRY(folder) used;
	struct folder_group children;
	LIST_ENTRY(folder) sibling; /* in the parent's children */
	LIST_ENTRY(folder) wanted;  /* in its bucket, newest first */
	unsigned refs;  /* threads that hold a pointer without the lock */
	bool known;     /* in wanted: the same name again means it */
	bool alias;     /* only another id of its parent */
	bool done;      /* result, name and stamp are known */
	bool forgotten; /* in no list: freed with the last ref */
	int result;
	size_t path_len;
	size_t cost; /* in bytes */
	char *name;  /* as it stands there; may be the same string as want */
	char *want;  /* as it was sent */
	struct stamp stamp;
	uint8_t id[WIRE_ID_BYTES];
};

struct folders {
	int top;
	size_t max;
	folders_made *made; /* or NULL */
	folders_gone *gone; /* or NULL */
	void *ctx;
	struct idhash hash;
	struct mutex lock;
	struct cond changed; /* some entry is done, or nobody is alone */
	size_t cost GUARDED_BY(lock); /* of all folders */
	LIST_HEAD(, folder_sender) senders GUARDED_BY(lock);
	struct folder *buckets[IDHASH_BUCKETS] GUARDED_BY(lock);
	struct folder_group wanted[IDHASH_BUCKETS] GUARDED_BY(lock);
};

/* How many directories it is from the inbox (NULL), itself counted. */
static inline unsigned folders_level(const struct folder *f)
{
	unsigned n = 0;

	for (; f; f = f->parent)
		n++;
	return n;
}

/* A directory on the disk: where it is, and what it was there. */
struct folder_place {
	char path[PATH_MAX];
	struct stamp stamp; /* not of the inbox itself */
};

/* The sender; NULL: it has none here. */
struct folder_sender *folders_sender_locked(struct folders *fo,
    const uint8_t key[IDENTITY_KEY_BYTES]) REQUIRES(fo->lock);
/* The same, made where it is missing; NULL: no memory. */
struct folder_sender *folders_new_sender_locked(struct folders *fo,
    const uint8_t key[IDENTITY_KEY_BYTES]) REQUIRES(fo->lock);

/* s stays until its end was called. */
void folders_still_locked(struct folders *fo, struct folder_sender *s)
    REQUIRES(fo->lock);
void folders_end_still_locked(struct folders *fo, struct folder_sender *s)
    REQUIRES(fo->lock);
/* Waits longer: for every entry of s to be done, too. */
void folders_alone_locked(struct folders *fo, struct folder_sender *s)
    REQUIRES(fo->lock);
void folders_end_alone_locked(struct folders *fo, struct folder_sender *s)
    REQUIRES(fo->lock);

/* The entry with this id, or NULL. An alias is returned as itself. */
struct folder *folders_find_locked(struct folders *fo,
    const struct folder_sender *s, const uint8_t id[WIRE_ID_BYTES])
    REQUIRES(fo->lock);
/* Not of an entry that is not done: that may still become an alias. */
static inline struct folder *folders_resolve(struct folder *f)
{
	return f && f->alias ? f->parent : f;
}
/* What is wanted there under this name, the newest; or NULL. */
struct folder *folders_wanted_locked(struct folders *fo,
    const struct folder_sender *s, const struct folder *parent,
    const char *want) REQUIRES(fo->lock);

/* A new entry with one ref, not done yet. -EDQUOT, -ENOMEM. */
int folders_insert_locked(struct folders *fo, struct folder_sender *s,
    struct folder *parent, const uint8_t id[WIRE_ID_BYTES], const char *want,
    struct folder **ret) REQUIRES(fo->lock);
void folders_unref_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock);
/* Out of all lists; freed now, or by the last thread that holds it. */
void folders_forget_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock);
/* Waits until f, on which the caller has a ref, is made or not. Its result. */
int folders_wait_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock);
/* f and all above it have been used: a parent is never older than a child. */
void folders_touch_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock);
/* The next one below root, parents first; NULL: f was the last. */
struct folder *folders_next_below(struct folder *f, const struct folder *root);
/* f has this name (taken) there. Others may be forgotten for it. */
void folders_name_locked(struct folders *fo, struct folder *f, char *name)
    REQUIRES(fo->lock);
/*
 * f has a new parent, and name and want (both taken). Others may be forgotten.
 */
void folders_place_locked(struct folders *fo, struct folder *f,
    struct folder *parent, char *name, char *want) REQUIRES(fo->lock);
/* Nobody means f any more who asks for its name again. */
void folders_unwant_locked(struct folders *fo, struct folder *f)
    REQUIRES(fo->lock);

/* Where f (NULL: the inbox; no alias) is. */
void folders_where_locked(struct folders *fo, const struct folder *f,
    struct folder_place *ret) REQUIRES(fo->lock);
/* Opens it, if it is still what was there. -ESTALE, or -errno. */
int folders_open_place(
    struct folders *fo, const struct folder_place *at, int *ret_fd);

#endif

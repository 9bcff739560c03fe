/*
 * A ring of records with a hash over it. Called by the threads that receive,
 * through fs/inbox, which does all the work on the files themselves.
 */
#include "delivered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "idhash.h"
#include "sync.h"

struct record {
	struct record *next; /* in its bucket */
	bool busy;           /* between begin and end: stays where it is */
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	struct stamp stamp;
	char name[];
};

struct delivered {
	struct mutex lock;
	struct cond idle; /* a record is no longer busy */
	struct idhash hash;
	unsigned max;
	unsigned oldest GUARDED_BY(lock); /* the next to be replaced */
	struct record **ring GUARDED_BY(lock);
	struct record *buckets[IDHASH_BUCKETS] GUARDED_BY(lock);
};

/* Nobody else has it yet: no lock. */
int delivered_new(unsigned max, struct delivered **ret) NO_THREAD_ANALYSIS
{
	struct delivered *d = calloc(1, sizeof(*d));
	int r = -ENOMEM;

	if (!d)
		return r;
	mutex_init(&d->lock);
	cond_init(&d->idle);
	d->max = max;
	d->ring = calloc(max, sizeof(struct record *));
	if (!d->ring)
		goto free_d;
	r = idhash_init(&d->hash);
	if (r)
		goto free_d;
	*ret = d;
	return 0;
free_d:
	delivered_free(d);
	return r;
}

void delivered_free(struct delivered *d) NO_THREAD_ANALYSIS
{
	if (!d)
		return;
	for (unsigned i = 0; d->ring && i < d->max; i++)
		free(d->ring[i]);
	free(d->ring);
	cond_fini(&d->idle);
	mutex_fini(&d->lock);
	free(d);
}

static struct record *find_locked(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
    REQUIRES(d->lock)
{
	struct record *r = d->buckets[idhash_bucket(&d->hash, id)];

	while (r && (memcmp(r->id, id, WIRE_ID_BYTES) ||
			memcmp(r->sender, sender, IDENTITY_KEY_BYTES)))
		r = r->next;
	return r;
}

static void unlink_locked(struct delivered *d, struct record *r)
    REQUIRES(d->lock)
{
	struct record **at = &d->buckets[idhash_bucket(&d->hash, r->id)];

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
}

/*
 * The place of the oldest record that is not being changed; its record is
 * gone. Every thread holds one busy record at most, so a free place is near.
 */
static struct record **make_room_locked(struct delivered *d) REQUIRES(d->lock)
{
	for (unsigned i = 0; i < d->max; i++) {
		struct record **at = &d->ring[d->oldest];

		d->oldest = (d->oldest + 1) % d->max;
		if (!*at)
			return at;
		if ((*at)->busy)
			continue;
		unlink_locked(d, *at);
		free(*at);
		*at = NULL;
		return at;
	}
	return NULL;
}

void delivered_add(struct delivered *d, const struct delivered_file *file)
{
	size_t len = strlen(file->name) + 1;
	struct record *r = malloc(sizeof(*r) + len), **at, **bucket;

	if (!r)
		return;
	r->busy = false;
	memcpy(r->sender, file->sender, sizeof(r->sender));
	memcpy(r->id, file->id, sizeof(r->id));
	memcpy(r->parent, file->parent, sizeof(r->parent));
	r->stamp = file->stamp;
	memcpy(r->name, file->name, len);

	mutex_lock(&d->lock);
	at = make_room_locked(d);
	if (at) {
		/* In front: a newer record of the same id hides the older. */
		bucket = &d->buckets[idhash_bucket(&d->hash, r->id)];
		r->next = *bucket;
		*bucket = *at = r;
		r = NULL;
	}
	mutex_unlock(&d->lock);
	free(r);
}

int delivered_begin(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct delivered_file *ret)
{
	struct record *r;

	mutex_lock(&d->lock);
	while ((r = find_locked(d, sender, id)) && r->busy)
		cond_wait(&d->idle, &d->lock);
	if (r) {
		r->busy = true;
		memcpy(ret->sender, r->sender, sizeof(ret->sender));
		memcpy(ret->id, r->id, sizeof(ret->id));
		memcpy(ret->parent, r->parent, sizeof(ret->parent));
		memcpy(ret->name, r->name, strlen(r->name) + 1);
		ret->stamp = r->stamp;
	}
	mutex_unlock(&d->lock);
	return r ? 0 : -ENOENT;
}

void delivered_end(struct delivered *d, const struct delivered_file *file,
    const struct stamp *now)
{
	struct record *r;

	mutex_lock(&d->lock);
	r = d->buckets[idhash_bucket(&d->hash, file->id)];
	/* Not find: a newer delivery of the same id may stand before it. */
	while (r && !(r->busy && !memcmp(r->id, file->id, WIRE_ID_BYTES) &&
			!memcmp(r->sender, file->sender, IDENTITY_KEY_BYTES) &&
			stamp_same(&r->stamp, &file->stamp)))
		r = r->next;
	if (r) {
		r->busy = false;
		if (now)
			r->stamp = *now;
		cond_broadcast(&d->idle);
	}
	mutex_unlock(&d->lock);
}

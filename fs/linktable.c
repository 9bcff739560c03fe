/*
 * A list by age with a hash over it. Called by the threads that receive,
 * through fs/links.
 */
#include "linktable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "idhash.h"
#include "shares.h"
#include "sync.h"

struct linktable {
	struct mutex lock;
	struct cond idle; /* a record is no longer busy */
	struct idhash hash;
	unsigned max;
	unsigned count GUARDED_BY(lock);
	TAILQ_HEAD(linkrecs, linkrec) ages GUARDED_BY(lock); /* newest first */
	struct shares shares GUARDED_BY(lock);
	struct linkrec *buckets[IDHASH_BUCKETS] GUARDED_BY(lock);
};

int linktable_new(unsigned max, struct linktable **ret) NO_THREAD_ANALYSIS
{
	struct linktable *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = idhash_init(&t->hash);
	if (r) {
		free(t);
		return r;
	}
	mutex_init(&t->lock);
	cond_init(&t->idle);
	t->max = max;
	TAILQ_INIT(&t->ages);
	shares_init(&t->shares);
	*ret = t;
	return 0;
}

static void forget_locked(struct linktable *t, struct linkrec *rec)
    REQUIRES(t->lock)
{
	struct linkrec **at = &t->buckets[idhash_bucket(&t->hash, rec->id)];

	while (*at != rec)
		at = &(*at)->next;
	*at = rec->next;
	TAILQ_REMOVE(&t->ages, rec, age);
	t->count--;
	rec->share->n--;
	shares_put(&t->shares, rec->share);
	free(rec->want);
	free(rec->name);
	free(rec);
}

void linktable_free(struct linktable *t)
{
	if (!t)
		return;
	mutex_lock(&t->lock);
	while (!TAILQ_EMPTY(&t->ages))
		forget_locked(t, TAILQ_FIRST(&t->ages));
	mutex_unlock(&t->lock);
	cond_fini(&t->idle);
	mutex_fini(&t->lock);
	free(t);
}

static struct linkrec *find_locked(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
    REQUIRES(t->lock)
{
	struct linkrec *rec = t->buckets[idhash_bucket(&t->hash, id)];

	while (rec && (memcmp(rec->id, id, WIRE_ID_BYTES) ||
			  memcmp(rec->sender, sender, IDENTITY_KEY_BYTES)))
		rec = rec->next;
	return rec;
}

/* As find_oldest_locked in fs/delivered. */
static struct linkrec *find_oldest_locked(struct linktable *t) REQUIRES(t->lock)
{
	const struct share *most = shares_most(&t->shares);
	struct linkrec *rec, *other = NULL;

	TAILQ_FOREACH_REVERSE(rec, &t->ages, linkrecs, age)
	{
		if (!rec->busy && rec->share == most)
			return rec;
		if (!rec->busy && !other)
			other = rec;
	}
	return other;
}

static int add_locked(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct linkrec **ret) REQUIRES(t->lock)
{
	struct linkrec **bucket = &t->buckets[idhash_bucket(&t->hash, id)];
	struct linkrec *rec;

	if (t->count >= t->max) {
		rec = find_oldest_locked(t);
		if (!rec)
			return -EDQUOT;
		forget_locked(t, rec);
	}
	rec = calloc(1, sizeof(*rec));
	if (!rec)
		return -ENOMEM;
	rec->share = shares_get(&t->shares, sender);
	if (!rec->share) {
		free(rec);
		return -ENOMEM;
	}
	rec->share->n++;
	memcpy(rec->sender, sender, IDENTITY_KEY_BYTES);
	memcpy(rec->id, id, WIRE_ID_BYTES);
	rec->next = *bucket;
	*bucket = rec;
	TAILQ_INSERT_HEAD(&t->ages, rec, age);
	t->count++;
	*ret = rec;
	return 0;
}

int linktable_begin(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    bool make, struct linkrec **ret)
{
	struct linkrec *rec;
	int r = 0;

	mutex_lock(&t->lock);
	while ((rec = find_locked(t, sender, id)) && rec->busy)
		cond_wait(&t->idle, &t->lock);
	if (!rec)
		r = make ? add_locked(t, sender, id, &rec) : -ENOENT;
	if (!r) {
		rec->busy = true;
		*ret = rec;
	}
	mutex_unlock(&t->lock);
	return r;
}

struct linkrec *linktable_begin_wanted(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t parent[WIRE_ID_BYTES], const char *want)
{
	struct linkrec *rec;

	mutex_lock(&t->lock);
	TAILQ_FOREACH(rec, &t->ages, age)
		if (!rec->busy && !memcmp(rec->parent, parent, WIRE_ID_BYTES) &&
		    !memcmp(rec->sender, sender, IDENTITY_KEY_BYTES) &&
		    !strcmp(rec->want, want))
			break;
	if (rec)
		rec->busy = true;
	mutex_unlock(&t->lock);
	return rec;
}

int linktable_place(struct linktable *t, struct linkrec *rec,
    const uint8_t parent[WIRE_ID_BYTES], const char *want, const char *name,
    const struct stamp *stamp)
{
	char *new_want = strdup(want), *new_name = strdup(name);

	if (!new_want || !new_name) {
		free(new_want);
		free(new_name);
		return -ENOMEM;
	}
	mutex_lock(&t->lock);
	free(rec->want);
	free(rec->name);
	rec->want = new_want;
	rec->name = new_name;
	memmove(rec->parent, parent, WIRE_ID_BYTES);
	rec->stamp = *stamp;
	mutex_unlock(&t->lock);
	return 0;
}

static void give_back(struct linktable *t, struct linkrec *rec, bool forget)
{
	if (!rec)
		return;
	mutex_lock(&t->lock);
	rec->busy = false;
	if (forget || !rec->name)
		forget_locked(t, rec);
	cond_broadcast(&t->idle);
	mutex_unlock(&t->lock);
}

void linktable_end(struct linktable *t, struct linkrec *rec)
{
	give_back(t, rec, false);
}

void linktable_forget(struct linktable *t, struct linkrec *rec)
{
	give_back(t, rec, true);
}

bool linktable_has(struct linktable *t,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
{
	const struct linkrec *rec;
	bool has;

	mutex_lock(&t->lock);
	rec = find_locked(t, sender, id);
	has = rec && rec->name;
	mutex_unlock(&t->lock);
	return has;
}

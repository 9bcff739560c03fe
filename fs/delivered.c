/*
 * Records with two hashes over them, and lists by age, the oldest first: shown,
 * held, and those that are forgotten while somebody works on them. Called by
 * the threads that receive, through fs/arrival and fs/deliveries, which do all
 * the work on the files themselves.
 */
#include "delivered.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "idhash.h"
#include "shares.h"
#include "sync.h"

#define NAME_WORDS \
	((DELIVERED_PLACE_BYTES + WIRE_NAME_MAX + 1) / sizeof(uint32_t))

TAILQ_HEAD(record_list, delivered_record);

/* All fields are guarded by the table's lock. */
struct delivered_record {
	TAILQ_ENTRY(delivered_record) age;
	LIST_ENTRY(delivered_record) by_id;
	LIST_ENTRY(delivered_record) by_want;
	bool busy;      /* somebody holds a pointer without the lock */
	bool forgotten; /* only in that list: freed when no longer busy */
	bool held, foreign;
	struct share *share; /* its sender's, of those that are shown */
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	uint8_t place[DELIVERED_PLACE_BYTES];
	struct stamp stamp;
	/* One after the other in one allocation, as there are thousands. */
	const char *name, *peer;
	char *want;
};

LIST_HEAD(record_bucket, delivered_record);

struct delivered {
	struct mutex lock;
	struct cond idle; /* a record is no longer busy */
	struct idhash hash;
	uint64_t name_keys[NAME_WORDS]; /* see idhash.h */
	unsigned max;
	unsigned n_shown GUARDED_BY(lock), n_held GUARDED_BY(lock);
	struct record_list shown GUARDED_BY(lock), held GUARDED_BY(lock),
	    forgotten GUARDED_BY(lock);
	struct shares shares GUARDED_BY(lock);
	struct record_bucket by_id[IDHASH_BUCKETS] GUARDED_BY(lock);
	struct record_bucket by_want[IDHASH_BUCKETS] GUARDED_BY(lock);
};

int delivered_place(int dir, uint8_t ret[DELIVERED_PLACE_BYTES])
{
	struct stat st;
	uint64_t words[2];

	_Static_assert(sizeof(words) == DELIVERED_PLACE_BYTES, "two words");
	if (fstat(dir, &st))
		return -errno;
	words[0] = st.st_dev;
	words[1] = st.st_ino;
	memcpy(ret, words, sizeof(words));
	return 0;
}

/* Nobody else has it yet: no lock. */
int delivered_new(unsigned max, struct delivered **ret) NO_THREAD_ANALYSIS
{
	struct delivered *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->max = max;
	r = idhash_init(&d->hash);
	if (!r && getrandom(d->name_keys, sizeof(d->name_keys), 0) !=
		      (ssize_t)sizeof(d->name_keys))
		r = -EIO;
	if (r) {
		free(d);
		return r;
	}
	mutex_init(&d->lock);
	cond_init(&d->idle);
	TAILQ_INIT(&d->shown);
	TAILQ_INIT(&d->held);
	TAILQ_INIT(&d->forgotten);
	shares_init(&d->shares);
	*ret = d;
	return 0;
}

/* share: NULL in one that was never in a list. */
static void record_free(struct delivered *d, struct delivered_record *r)
    REQUIRES(d->lock)
{
	if (!r)
		return;
	shares_put(&d->shares, r->share);
	free(r->want);
	free(r);
}

static void free_list(struct delivered *d, struct record_list *list)
    REQUIRES(d->lock)
{
	struct delivered_record *r;

	while ((r = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, r, age);
		record_free(d, r);
	}
}

void delivered_free(struct delivered *d) NO_THREAD_ANALYSIS
{
	if (!d)
		return;
	free_list(d, &d->shown);
	free_list(d, &d->held);
	cond_fini(&d->idle);
	mutex_fini(&d->lock);
	free(d);
}

static struct record_bucket *bucket_of_id(
    struct delivered *d, const uint8_t id[WIRE_ID_BYTES]) REQUIRES(d->lock)
{
	return &d->by_id[idhash_bucket(&d->hash, id)];
}

/* As idhash_bucket, over a place and a name. */
static struct record_bucket *bucket_of_want(struct delivered *d,
    const uint8_t place[DELIVERED_PLACE_BYTES], const char *want)
    REQUIRES(d->lock)
{
	uint32_t words[NAME_WORDS] = { 0 };
	uint64_t sum = 0;

	memcpy(words, place, DELIVERED_PLACE_BYTES);
	memcpy((uint8_t *)words + DELIVERED_PLACE_BYTES, want, strlen(want));
	for (size_t i = 0; i < NAME_WORDS; i++)
		sum += d->name_keys[i] * words[i];
	return &d->by_want[sum >> (64 - IDHASH_BITS)];
}

static bool is_of(
    const struct delivered_record *r, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	return !memcmp(r->sender, sender, IDENTITY_KEY_BYTES);
}

static struct delivered_record *find_locked(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
    REQUIRES(d->lock)
{
	struct delivered_record *r;

	LIST_FOREACH(r, bucket_of_id(d, id), by_id)
		if (!memcmp(r->id, id, WIRE_ID_BYTES) && is_of(r, sender))
			return r;
	return NULL;
}

/* The newest one but not_this: those stand first in their bucket. */
static struct delivered_record *find_want_locked(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t place[DELIVERED_PLACE_BYTES], const char *want,
    const struct delivered_record *not_this) REQUIRES(d->lock)
{
	struct delivered_record *r;

	LIST_FOREACH(r, bucket_of_want(d, place, want), by_want)
		if (r != not_this && is_of(r, sender) &&
		    !memcmp(r->place, place, DELIVERED_PLACE_BYTES) &&
		    !strcmp(r->want, want))
			return r;
	return NULL;
}

static void insert_locked(struct delivered *d, struct delivered_record *r)
    REQUIRES(d->lock)
{
	LIST_INSERT_HEAD(bucket_of_id(d, r->id), r, by_id);
	LIST_INSERT_HEAD(bucket_of_want(d, r->place, r->want), r, by_want);
	if (r->held) {
		TAILQ_INSERT_TAIL(&d->held, r, age);
		d->n_held++;
	} else {
		TAILQ_INSERT_TAIL(&d->shown, r, age);
		d->n_shown++;
		r->share->n++;
	}
}

static void remove_locked(struct delivered *d, struct delivered_record *r)
    REQUIRES(d->lock)
{
	LIST_REMOVE(r, by_id);
	LIST_REMOVE(r, by_want);
	if (r->held) {
		TAILQ_REMOVE(&d->held, r, age);
		d->n_held--;
	} else {
		TAILQ_REMOVE(&d->shown, r, age);
		d->n_shown--;
		r->share->n--;
	}
}

static void forget_locked(struct delivered *d, struct delivered_record *r)
    REQUIRES(d->lock)
{
	remove_locked(d, r);
	r->forgotten = r->busy;
	if (r->busy)
		TAILQ_INSERT_TAIL(&d->forgotten, r, age);
	else
		record_free(d, r);
}

/* It was forgotten, and is no longer busy. */
static void free_forgotten_locked(
    struct delivered *d, struct delivered_record *r) REQUIRES(d->lock)
{
	TAILQ_REMOVE(&d->forgotten, r, age);
	record_free(d, r);
}

/*
 * The oldest one that nobody works on, of the sender that has the most: who
 * sends many files makes gtfs forget none but his own. NULL: all are busy.
 */
static struct delivered_record *find_oldest_locked(struct delivered *d)
    REQUIRES(d->lock)
{
	const struct share *most = shares_most(&d->shares);
	struct delivered_record *r, *other = NULL;

	TAILQ_FOREACH(r, &d->shown, age) {
		if (!r->busy && r->share == most)
			return r;
		if (!r->busy && !other)
			other = r;
	}
	return other;
}

/* Room for so many more. */
static int make_room_locked(struct delivered *d, unsigned more)
    REQUIRES(d->lock)
{
	struct delivered_record *r;

	while (d->n_shown + more > d->max) {
		r = find_oldest_locked(d);
		if (!r)
			return -ENOBUFS;
		forget_locked(d, r);
	}
	return 0;
}

static int may_hold_locked(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES]) REQUIRES(d->lock)
{
	const struct delivered_record *r;
	unsigned n = 0;

	if (d->n_held >= DELIVERED_HELD_MAX)
		return -EDQUOT;
	TAILQ_FOREACH(r, &d->held, age)
		n += is_of(r, sender);
	return n < DELIVERED_HELD_PER_PEER ? 0 : -EDQUOT;
}

/* The three strings of *file in one allocation, or NULL. */
static char *pack(const struct delivered_file *file)
{
	size_t want = strlen(file->want) + 1, name = strlen(file->name) + 1,
	       peer = strlen(file->peer) + 1;
	char *all = malloc(want + name + peer);

	if (!all)
		return NULL;
	memcpy(all, file->want, want);
	memcpy(all + want, file->name, name);
	memcpy(all + want + name, file->peer, peer);
	return all;
}

/* all: what pack made of file; r has it then. */
static void fill(
    struct delivered_record *r, const struct delivered_file *file, char *all)
{
	free(r->want);
	r->want = all;
	r->name = all + strlen(all) + 1;
	r->peer = r->name + strlen(r->name) + 1;
	r->held = file->held;
	r->foreign = file->foreign;
	r->stamp = file->stamp;
	memcpy(r->sender, file->sender, sizeof(r->sender));
	memcpy(r->id, file->id, sizeof(r->id));
	memcpy(r->parent, file->parent, sizeof(r->parent));
	memcpy(r->place, file->place, sizeof(r->place));
}

static void unfill(const struct delivered_record *r, struct delivered_file *ret)
{
	ret->record = NULL;
	ret->held = r->held;
	ret->foreign = r->foreign;
	ret->stamp = r->stamp;
	memcpy(ret->sender, r->sender, sizeof(ret->sender));
	memcpy(ret->id, r->id, sizeof(ret->id));
	memcpy(ret->parent, r->parent, sizeof(ret->parent));
	memcpy(ret->place, r->place, sizeof(ret->place));
	memcpy(ret->want, r->want, strlen(r->want) + 1);
	memcpy(ret->name, r->name, strlen(r->name) + 1);
	memcpy(ret->peer, r->peer, strlen(r->peer) + 1);
}

int delivered_add(struct delivered *d, struct delivered_file *file)
{
	struct delivered_record *r = calloc(1, sizeof(*r)), *old;
	char *all = pack(file);
	int result;

	if (!r || !all) {
		free(r);
		free(all);
		return -ENOMEM;
	}
	r->busy = true;
	fill(r, file, all);
	mutex_lock(&d->lock);
	r->share = shares_get(&d->shares, file->sender);
	old = find_locked(d, file->sender, file->id);
	if (!r->share)
		result = -ENOMEM;
	else if (old && old->held)
		result = -EEXIST;
	else if (file->held)
		result = may_hold_locked(d, file->sender);
	else
		result = make_room_locked(d, 1);
	if (!result) {
		/* Again: that may be the one that went. */
		old = find_locked(d, file->sender, file->id);
		if (old)
			forget_locked(d, old);
		insert_locked(d, r);
		file->record = r;
		r = NULL;
	}
	record_free(d, r);
	mutex_unlock(&d->lock);
	return result;
}

static void take_locked(struct delivered *d, struct delivered_record *r,
    struct delivered_file *ret) REQUIRES(d->lock)
{
	r->busy = true;
	unfill(r, ret);
	ret->record = r;
}

int delivered_begin_two(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t *id,
    const uint8_t place[DELIVERED_PLACE_BYTES], const char *want,
    struct delivered_file *ret, struct delivered_file *ret_claim)
{
	struct delivered_record *r, *claim;

	mutex_lock(&d->lock);
	for (;;) {
		r = id ? find_locked(d, sender, id) : NULL;
		claim =
		    want ? find_want_locked(d, sender, place, want, r) : NULL;
		if ((id && !r) || !((r && r->busy) || (claim && claim->busy)))
			break;
		cond_wait(&d->idle, &d->lock);
	}
	if (!id || r) {
		if (r)
			take_locked(d, r, ret);
		if (claim)
			take_locked(d, claim, ret_claim);
		else if (ret_claim)
			ret_claim->record = NULL;
	}
	mutex_unlock(&d->lock);
	return id && !r ? -ENOENT : 0;
}

int delivered_begin(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct delivered_file *ret)
{
	return delivered_begin_two(d, sender, id, NULL, NULL, ret, NULL);
}

void delivered_end(struct delivered *d, const struct delivered_file *file,
    const struct delivered_file *now)
{
	struct delivered_record *r = file->record, *old;
	char *all = now ? pack(now) : NULL;

	mutex_lock(&d->lock);
	assert(r->busy);
	r->busy = false;
	if (r->forgotten) {
		free_forgotten_locked(d, r);
		free(all);
	} else if (now && !all) {
		forget_locked(d, r); /* what it was it is no longer */
	} else if (now) {
		remove_locked(d, r);
		old = find_locked(d, now->sender, now->id);
		if (old)
			forget_locked(d, old);
		fill(r, now, all);
		insert_locked(d, r);
		(void)make_room_locked(d, 0);
	}
	cond_broadcast(&d->idle);
	mutex_unlock(&d->lock);
}

void delivered_drop(struct delivered *d, const struct delivered_file *file)
{
	struct delivered_record *r = file->record;

	mutex_lock(&d->lock);
	assert(r->busy);
	r->busy = false;
	if (r->forgotten)
		free_forgotten_locked(d, r);
	else
		forget_locked(d, r);
	cond_broadcast(&d->idle);
	mutex_unlock(&d->lock);
}

int delivered_peek(struct delivered *d,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct delivered_file *ret)
{
	const struct delivered_record *r;

	mutex_lock(&d->lock);
	r = find_locked(d, sender, id);
	if (r)
		unfill(r, ret);
	mutex_unlock(&d->lock);
	return r ? 0 : -ENOENT;
}

/* Busy: its sender is just changing it, or showing it. */
static bool has_locked(const struct record_list *list, const struct stamp *now)
{
	const struct delivered_record *r;

	TAILQ_FOREACH(r, list, age)
		if (!r->foreign && stamp_same(&r->stamp, now) &&
		    (r->busy || stamp_untouched(&r->stamp, now)))
			return true;
	return false;
}

bool delivered_knows(struct delivered *d, const struct stamp *now)
{
	bool found;

	mutex_lock(&d->lock);
	found = has_locked(&d->shown, now) || has_locked(&d->held, now) ||
		has_locked(&d->forgotten, now);
	mutex_unlock(&d->lock);
	return found;
}

bool delivered_may_hold(
    struct delivered *d, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	bool may;

	mutex_lock(&d->lock);
	may = !may_hold_locked(d, sender);
	mutex_unlock(&d->lock);
	return may;
}

int delivered_held(
    struct delivered *d, struct delivered_key **ret, unsigned *ret_n)
{
	const struct delivered_record *r;
	struct delivered_key *keys = NULL;
	unsigned n = 0;
	int result = 0;

	mutex_lock(&d->lock);
	if (d->n_held) {
		keys = malloc(d->n_held * sizeof(*keys));
		result = keys ? 0 : -ENOMEM;
	}
	if (keys)
		TAILQ_FOREACH(r, &d->held, age) {
			memcpy(keys[n].sender, r->sender, IDENTITY_KEY_BYTES);
			memcpy(keys[n++].id, r->id, WIRE_ID_BYTES);
		}
	mutex_unlock(&d->lock);
	if (!result) {
		*ret = keys;
		*ret_n = n;
	}
	return result;
}

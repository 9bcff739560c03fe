/*
 * The table of made directories. Runs in the threads that receive, through
 * fs/folders and its other parts. Never asks the disk: an entry that is being
 * made or looked at is pinned by refs instead of the lock.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "folders_internal.h"

#define YIELD_MS 100

/* What malloc(3) adds to it, and to its two names. */
static_assert(FOLDERS_ID_BYTES >= sizeof(struct folder) + 16 + 2 * 24,
    "an id costs more than it is charged");

struct folder_sender *folders_sender_locked(
    struct folders *fo, const uint8_t key[IDENTITY_KEY_BYTES])
{
	struct folder_sender *s;

	LIST_FOREACH(s, &fo->senders, entry)
		if (!memcmp(s->key, key, IDENTITY_KEY_BYTES))
			return s;
	return NULL;
}

struct folder_sender *folders_new_sender_locked(
    struct folders *fo, const uint8_t key[IDENTITY_KEY_BYTES])
{
	struct folder_sender *s = folders_sender_locked(fo, key);

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->key, key, IDENTITY_KEY_BYTES);
	TAILQ_INIT(&s->used);
	LIST_INSERT_HEAD(&fo->senders, s, entry);
	return s;
}

static void drop_sender_locked(struct folder_sender *s)
{
	if (!TAILQ_EMPTY(&s->used) || s->pins)
		return;
	LIST_REMOVE(s, entry);
	free(s);
}

/* How often this thread holds directories still. */
static _Thread_local unsigned holding;

/*
 * Who begins lets one go first who waits to be alone, so that the next file
 * does not always come before a rename. Not who holds something already, and
 * not for ever: the one who waits may wait for a third, who waits for us.
 */
void folders_still_locked(struct folders *fo, struct folder_sender *s)
{
	int64_t until = now_ms() + YIELD_MS;
	bool yield = !holding;

	s->pins++;
	while (s->alone || (s->waiting && yield)) {
		if (s->alone)
			cond_wait(&fo->changed, &fo->lock);
		else if (cond_wait_until(&fo->changed, &fo->lock, until))
			yield = false;
	}
	s->still++;
	holding++;
}

void folders_end_still_locked(struct folders *fo, struct folder_sender *s)
{
	holding--;
	s->pins--;
	if (!--s->still && s->pins)
		cond_broadcast(&fo->changed);
	drop_sender_locked(s);
}

void folders_alone_locked(struct folders *fo, struct folder_sender *s)
{
	s->pins++;
	s->waiting++;
	while (s->alone || s->still)
		cond_wait(&fo->changed, &fo->lock);
	s->waiting--;
	s->alone = true;
}

void folders_end_alone_locked(struct folders *fo, struct folder_sender *s)
{
	s->pins--;
	s->alone = false;
	cond_broadcast(&fo->changed);
	drop_sender_locked(s);
}

struct folder *folders_find_locked(struct folders *fo,
    const struct folder_sender *s, const uint8_t id[WIRE_ID_BYTES])
{
	struct folder *f = fo->buckets[idhash_bucket(&fo->hash, id)];

	while (f && (f->sender != s || memcmp(f->id, id, WIRE_ID_BYTES)))
		f = f->next;
	return f;
}

/*
 * A polynomial modulo 2^31 - 1 at a point that no peer knows, so that names
 * cannot be aimed at one bucket either.
 */
static unsigned wanted_bucket(
    struct folders *fo, const struct folder *parent, const char *want)
{
	const uint64_t p = (1ull << 31) - 1, at = fo->hash.key[0] % p;
	uint64_t sum = (uintptr_t)parent % p;

	for (; *want; want++)
		sum = (sum * at + (uint8_t)*want) % p;
	return (unsigned)(sum % IDHASH_BUCKETS);
}

struct folder *folders_wanted_locked(struct folders *fo,
    const struct folder_sender *s, const struct folder *parent,
    const char *want)
{
	struct folder *f;

	LIST_FOREACH(f, &fo->wanted[wanted_bucket(fo, parent, want)], wanted)
		if (f->sender == s && f->parent == parent &&
		    !strcmp(f->want, want))
			return f;
	return NULL;
}

static void want_locked(struct folders *fo, struct folder *f) REQUIRES(fo->lock)
{
	LIST_INSERT_HEAD(
	    &fo->wanted[wanted_bucket(fo, f->parent, f->want)], f, wanted);
	f->known = true;
}

void folders_unwant_locked(struct folders *fo, struct folder *f)
{
	(void)fo;
	if (f->known)
		LIST_REMOVE(f, wanted);
	f->known = false;
}

static void folder_free(struct folder *f)
{
	if (f->name != f->want)
		free(f->name);
	free(f->want);
	free(f);
}

static size_t cost_of(const char *name, const char *want)
{
	return FOLDERS_ID_BYTES + strlen(want) +
	       (name && name != want ? strlen(name) : 0);
}

static void charge_locked(struct folders *fo, struct folder *f, size_t cost)
    REQUIRES(fo->lock)
{
	fo->cost += cost - f->cost;
	f->sender->cost += cost - f->cost;
	f->cost = cost;
}

void folders_unref_locked(struct folders *fo, struct folder *f)
{
	(void)fo;
	if (!--f->refs && f->forgotten)
		folder_free(f);
}

void folders_forget_locked(struct folders *fo, struct folder *f)
{
	struct folder **at = &fo->buckets[idhash_bucket(&fo->hash, f->id)];
	struct folder_sender *s = f->sender;

	assert(LIST_EMPTY(&f->children));
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	folders_unwant_locked(fo, f);
	if (f->parent)
		LIST_REMOVE(f, sibling);
	TAILQ_REMOVE(&s->used, f, used);
	charge_locked(fo, f, 0);
	drop_sender_locked(s);
	f->parent = NULL;
	f->sender = NULL;
	f->forgotten = true;
	if (!f->refs)
		folder_free(f);
}

int folders_wait_locked(struct folders *fo, struct folder *f)
{
	while (!f->done)
		cond_wait(&fo->changed, &fo->lock);
	return f->result;
}

void folders_touch_locked(struct folders *fo, struct folder *f)
{
	(void)fo;
	for (; f; f = f->parent) {
		TAILQ_REMOVE(&f->sender->used, f, used);
		TAILQ_INSERT_HEAD(&f->sender->used, f, used);
	}
}

/*
 * Forgets one entry. The sender with the most bytes pays, so that nobody can
 * push another's directories out.
 */
static int evict_locked(struct folders *fo) REQUIRES(fo->lock)
{
	struct folder_sender *s, *most = NULL;
	struct folder *f;

	LIST_FOREACH(s, &fo->senders, entry)
		if (!most || s->cost > most->cost)
			most = s;
	if (!most)
		return -EDQUOT;
	TAILQ_FOREACH_REVERSE(f, &most->used, folder_list, used)
	if (f->done && !f->refs && LIST_EMPTY(&f->children)) {
		folders_forget_locked(fo, f);
		return 0;
	}
	return -EDQUOT;
}

/* Makes room for so many bytes more. 0 or -EDQUOT. */
static int room_locked(struct folders *fo, size_t bytes) REQUIRES(fo->lock)
{
	int r = 0;

	while (!r && fo->cost + bytes > fo->max)
		r = evict_locked(fo);
	return r;
}

void folders_name_locked(struct folders *fo, struct folder *f, char *name)
{
	assert(!f->name);
	f->name = name;
	if (!strcmp(name, f->want)) {
		free(name);
		f->name = f->want;
	}
	charge_locked(fo, f, cost_of(f->name, f->want));
	f->refs++;
	(void)room_locked(fo, 0);
	f->refs--;
}

int folders_insert_locked(struct folders *fo, struct folder_sender *s,
    struct folder *parent, const uint8_t id[WIRE_ID_BYTES], const char *want,
    struct folder **ret)
{
	struct folder *f, **bucket = &fo->buckets[idhash_bucket(&fo->hash, id)];
	int r;

	if (parent)
		parent->refs++; /* and so it is not evicted */
	r = room_locked(fo, cost_of(NULL, want));
	if (parent)
		parent->refs--;
	if (r)
		return r;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->want = strdup(want);
	if (!f->want) {
		free(f);
		return -ENOMEM;
	}
	memcpy(f->id, id, WIRE_ID_BYTES);
	LIST_INIT(&f->children);
	f->parent = parent;
	f->sender = s;
	f->refs = 1;
	f->next = *bucket;
	*bucket = f;
	if (parent)
		LIST_INSERT_HEAD(&parent->children, f, sibling);
	want_locked(fo, f);
	TAILQ_INSERT_HEAD(&s->used, f, used);
	charge_locked(fo, f, cost_of(NULL, want));
	folders_touch_locked(fo, parent);
	*ret = f;
	return 0;
}

struct folder *folders_next_below(struct folder *f, const struct folder *root)
{
	if (!LIST_EMPTY(&f->children))
		return LIST_FIRST(&f->children);
	while (f != root && !LIST_NEXT(f, sibling))
		f = f->parent;
	return f == root ? NULL : LIST_NEXT(f, sibling);
}

void folders_place_locked(struct folders *fo, struct folder *f,
    struct folder *parent, char *name, char *want)
{
	struct folder *below;

	folders_unwant_locked(fo, f);
	if (f->parent)
		LIST_REMOVE(f, sibling);
	if (parent)
		LIST_INSERT_HEAD(&parent->children, f, sibling);
	if (f->name != f->want)
		free(f->name);
	free(f->want);
	f->parent = parent;
	f->name = NULL;
	f->want = want;
	want_locked(fo, f);
	folders_touch_locked(fo, f);
	folders_name_locked(fo, f, name);
	for (below = f; below; below = folders_next_below(below, f)) {
		const struct folder *above = below->parent;

		if (below->done && !below->alias)
			below->path_len = (above ? above->path_len + 1 : 0) +
					  strlen(below->name);
	}
}

void folders_where_locked(
    struct folders *fo, const struct folder *f, struct folder_place *ret)
{
	char *at = ret->path + (f ? f->path_len : 0);
	size_t len;

	(void)fo;
	*at = '\0';
	if (f)
		ret->stamp = f->stamp;
	for (; f; f = f->parent) {
		len = strlen(f->name);
		at -= len;
		memcpy(at, f->name, len);
		if (f->parent)
			*--at = '/';
	}
	assert(at == ret->path);
}

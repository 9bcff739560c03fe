/*
 * Which senders of held files are not here, and since when. Runs in the thread
 * that ticks, which alone touches that list; what is overdue any thread says.
 */
#include "held_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "delivered.h"
#include "deliveries.h"
#include "inbox_internal.h"
#include "log.h"
#include "sync.h"

#define LOG_MS 60000

struct absent {
	LIST_ENTRY(absent) entry;
	int64_t since_ms;
	bool seen; /* it has something held still */
	uint8_t sender[IDENTITY_KEY_BYTES];
};

struct overdue {
	SLIST_ENTRY(overdue) entry;
	struct delivered_key key;
};

SLIST_HEAD(overdue_list, overdue);

struct held_watch {
	int patience_ms;
	int64_t logged_ms;
	LIST_HEAD(, absent) absent;
	struct mutex lock;
	struct overdue_list overdue GUARDED_BY(lock);
};

/* Nobody else has it yet: no lock. */
int held_watch_new(int patience_ms, struct held_watch **ret) NO_THREAD_ANALYSIS
{
	struct held_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->patience_ms = patience_ms;
	LIST_INIT(&w->absent);
	SLIST_INIT(&w->overdue);
	mutex_init(&w->lock);
	*ret = w;
	return 0;
}

static bool has_overdue(
    const struct overdue_list *list, const struct delivered_key *key)
{
	const struct overdue *o;

	SLIST_FOREACH(o, list, entry)
		if (!memcmp(&o->key, key, sizeof(*key)))
			return true;
	return false;
}

static void take_overdue(struct held_watch *w, struct overdue_list *ret)
{
	mutex_lock(&w->lock);
	*ret = w->overdue;
	SLIST_INIT(&w->overdue);
	mutex_unlock(&w->lock);
}

static void free_overdue(struct overdue_list *list)
{
	struct overdue *o;

	while ((o = SLIST_FIRST(list))) {
		SLIST_REMOVE_HEAD(list, entry);
		free(o);
	}
}

static void remove_absent(struct absent *a)
{
	LIST_REMOVE(a, entry);
	free(a);
}

void held_watch_free(struct held_watch *w)
{
	struct overdue_list overdue;

	if (!w)
		return;
	take_overdue(w, &overdue);
	free_overdue(&overdue);
	while (!LIST_EMPTY(&w->absent))
		remove_absent(LIST_FIRST(&w->absent));
	mutex_fini(&w->lock);
	free(w);
}

void held_watch_soon(struct held_watch *w,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
{
	struct overdue *o = calloc(1, sizeof(*o));

	if (!o) {
		log_warning("a file that is held waits for its sender to go");
		return;
	}
	memcpy(o->key.sender, sender, IDENTITY_KEY_BYTES);
	memcpy(o->key.id, id, WIRE_ID_BYTES);
	mutex_lock(&w->lock);
	if (has_overdue(&w->overdue, &o->key))
		free(o);
	else
		SLIST_INSERT_HEAD(&w->overdue, o, entry);
	mutex_unlock(&w->lock);
}

static struct absent *find(
    struct held_watch *w, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	struct absent *a;

	LIST_FOREACH(a, &w->absent, entry)
		if (!memcmp(a->sender, sender, IDENTITY_KEY_BYTES))
			return a;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	memcpy(a->sender, sender, IDENTITY_KEY_BYTES);
	a->since_ms = now_ms();
	LIST_INSERT_HEAD(&w->absent, a, entry);
	return a;
}

/* Has this sender been away for long enough? */
static bool is_gone(struct held_watch *w,
    const uint8_t sender[IDENTITY_KEY_BYTES], sink_here *here, void *ctx)
{
	struct absent *a = find(w, sender);

	if (!a)
		return false;
	if (here(ctx, sender)) {
		remove_absent(a);
		return false;
	}
	a->seen = true;
	return now_ms() - a->since_ms >= w->patience_ms;
}

static void show(struct inbox *in, const struct delivered_key *key)
{
	struct held_watch *w = in->watch;
	int r = deliveries_show(in, key->sender, key->id);

	/* -ENOENT: withdrawn just now. The others are overdue again. */
	if (!r || r == -ENOENT ||
	    (w->logged_ms && now_ms() - w->logged_ms < LOG_MS))
		return;
	w->logged_ms = now_ms();
	log_warning("a file that is held cannot be shown: %s", strerror(-r));
}

static void forget_unseen(struct held_watch *w)
{
	struct absent *a = LIST_FIRST(&w->absent), *next;

	for (; a; a = next) {
		next = LIST_NEXT(a, entry);
		if (!a->seen)
			remove_absent(a);
		else
			a->seen = false;
	}
}

void held_watch_tick(struct inbox *in, sink_here *here, void *ctx)
{
	struct overdue_list overdue;
	struct delivered_key *keys;
	bool gone = false;
	unsigned n;

	if (delivered_held(in->delivered, &keys, &n))
		return;
	take_overdue(in->watch, &overdue);
	for (unsigned i = 0; i < n; i++) {
		if (!i || memcmp(keys[i].sender, keys[i - 1].sender,
			      IDENTITY_KEY_BYTES))
			gone = is_gone(in->watch, keys[i].sender, here, ctx);
		if (gone || has_overdue(&overdue, &keys[i]))
			show(in, &keys[i]);
	}
	free(keys);
	free_overdue(&overdue);
	forget_unseen(in->watch);
}

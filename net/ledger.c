/*
 * Entries by id in a small hash; those that ended also in a list, oldest
 * first, which is as long as LEDGER_RECENT. Called by the threads of transfers
 * and by readers of .gtfs/transfers. The lock is a leaf.
 */
#include "ledger.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "sync.h"

#define BUCKETS 256

struct node {
	LIST_ENTRY(node) chain;    /* in its bucket */
	STAILQ_ENTRY(node) recent; /* once it has ended */
	struct ledger_entry e;
};

LIST_HEAD(bucket, node);

struct ledger {
	ledger_changed *changed;
	void *ctx;
	struct mutex lock;
	uint64_t last_id GUARDED_BY(lock);
	unsigned n_flying GUARDED_BY(lock);
	unsigned n_recent GUARDED_BY(lock);
	STAILQ_HEAD(, node) recent GUARDED_BY(lock);
	struct bucket buckets[BUCKETS] GUARDED_BY(lock);
};

struct ledger *ledger_new(ledger_changed *changed, void *ctx) NO_THREAD_ANALYSIS
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->changed = changed;
	l->ctx = ctx;
	mutex_init(&l->lock);
	STAILQ_INIT(&l->recent);
	for (unsigned i = 0; i < BUCKETS; i++)
		LIST_INIT(&l->buckets[i]);
	return l;
}

void ledger_free(struct ledger *l) NO_THREAD_ANALYSIS
{
	struct node *n;

	if (!l)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while ((n = LIST_FIRST(&l->buckets[i]))) {
			LIST_REMOVE(n, chain);
			free(n);
		}
	}
	mutex_fini(&l->lock);
	free(l);
}

static bool ended(enum ledger_state s)
{
	return s == LEDGER_DONE || s == LEDGER_FAILED || s == LEDGER_ABORTED;
}

/* The entry while it is in flight; what has ended does not change again. */
static struct node *find_locked(struct ledger *l, uint64_t id) REQUIRES(l->lock)
{
	struct node *n;

	LIST_FOREACH(n, &l->buckets[id % BUCKETS], chain)
		if (n->e.id == id)
			return ended(n->e.state) ? NULL : n;
	return NULL;
}

static void tell(struct ledger *l, const struct ledger_entry *e)
{
	if (l->changed)
		l->changed(l->ctx, e);
}

/* text, cut between two characters where it is too long. */
static void copy_text(char *ret, size_t cap, const char *text)
{
	size_t len = strlen(text);

	if (len >= cap) {
		len = cap - 1;
		while (len > 0 && (text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(ret, text, len);
	ret[len] = '\0';
}

uint64_t ledger_begin(struct ledger *l, enum ledger_direction direction,
    const char *peer, const char *name, uint64_t total)
{
	struct ledger_entry e = {
		.direction = direction,
		.state = LEDGER_WAITING,
		.total = total,
		.started_ms = now_ms(),
	};
	struct node *n = malloc(sizeof(*n));

	if (!n)
		return 0;
	copy_text(e.peer, sizeof(e.peer), peer);
	copy_text(e.name, sizeof(e.name), name);
	mutex_lock(&l->lock);
	if (l->n_flying < LEDGER_IN_FLIGHT_MAX) {
		l->n_flying++;
		e.id = ++l->last_id;
		n->e = e;
		LIST_INSERT_HEAD(&l->buckets[e.id % BUCKETS], n, chain);
		n = NULL;
	}
	mutex_unlock(&l->lock);
	free(n);
	if (e.id)
		tell(l, &e);
	return e.id;
}

void ledger_state(struct ledger *l, uint64_t id, enum ledger_state state)
{
	struct ledger_entry e;
	struct node *n;
	bool changed;

	assert(!ended(state));
	mutex_lock(&l->lock);
	n = find_locked(l, id);
	changed = n && n->e.state != state;
	if (changed) {
		n->e.state = state;
		e = n->e;
	}
	mutex_unlock(&l->lock);
	if (changed)
		tell(l, &e);
}

void ledger_progress(struct ledger *l, uint64_t id, uint64_t bytes)
{
	struct node *n;

	mutex_lock(&l->lock);
	n = find_locked(l, id);
	if (n)
		n->e.bytes = bytes;
	mutex_unlock(&l->lock);
}

/* Adds n to those that ended; returns the one that is no longer recent. */
static struct node *retire_locked(struct ledger *l, struct node *n)
    REQUIRES(l->lock)
{
	struct node *oldest = NULL;

	l->n_flying--;
	STAILQ_INSERT_TAIL(&l->recent, n, recent);
	if (++l->n_recent > LEDGER_RECENT) {
		oldest = STAILQ_FIRST(&l->recent);
		STAILQ_REMOVE_HEAD(&l->recent, recent);
		LIST_REMOVE(oldest, chain);
		l->n_recent--;
	}
	return oldest;
}

/* Where strerror(3) does not say what a person can do about it. */
static const char *sentence(enum ledger_direction direction, int error)
{
	bool send = direction == LEDGER_SEND;

	switch (error) {
	case 0: return "";
	case -EDQUOT:
		return send ? "this machine's quota there is used up: its "
			      "owner can allow more, or take files out of the "
			      "inbox"
			    : "its quota here is used up: 'gtfs why' says how "
			      "much that is, 'gtfs accept NAME --quota SIZE' "
			      "changes it";
	case -ENOSPC:
		return send ? "its disk is full, except for what gtfs leaves "
			      "free"
			    : "this disk is full, except for what gtfs leaves "
			      "free";
	default: return strerror(-error);
	}
}

void ledger_end(struct ledger *l, uint64_t id, enum ledger_state state,
    int error, const char *reason)
{
	struct node *n, *forgotten = NULL;
	struct ledger_entry e;

	assert(ended(state));
	mutex_lock(&l->lock);
	n = find_locked(l, id);
	if (n) {
		n->e.state = state;
		n->e.error = error;
		n->e.ended_ms = now_ms();
		copy_text(n->e.reason, sizeof(n->e.reason),
		    reason ? reason : sentence(n->e.direction, error));
		e = n->e;
		forgotten = retire_locked(l, n);
	}
	mutex_unlock(&l->lock);
	free(forgotten);
	if (n)
		tell(l, &e);
}

static int by_id(const void *a, const void *b)
{
	const struct ledger_entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

int ledger_snapshot(struct ledger *l, struct ledger_entry **ret)
{
	struct ledger_entry *copy;
	unsigned count = 0, total;
	struct node *n;

	mutex_lock(&l->lock);
	total = l->n_flying + l->n_recent;
	copy = malloc((total ? total : 1) * sizeof(*copy));
	for (unsigned i = 0; copy && i < BUCKETS; i++)
		LIST_FOREACH(n, &l->buckets[i], chain)
			copy[count++] = n->e;
	mutex_unlock(&l->lock);
	if (!copy)
		return -ENOMEM;
	assert(count == total);
	qsort(copy, count, sizeof(*copy), by_id);
	*ret = copy;
	return (int)count;
}

const char *ledger_state_name(enum ledger_state s)
{
	switch (s) {
	case LEDGER_WAITING: return "waiting";
	case LEDGER_ACTIVE: return "active";
	case LEDGER_COMMITTING: return "committing";
	case LEDGER_DONE: return "done";
	case LEDGER_FAILED: return "failed";
	case LEDGER_ABORTED: return "aborted";
	}
	return "?";
}

/*
 * A table of open questions, one of those who are to be quiet (net/hush), and
 * one of names. All are small and of a fixed size: strangers fill them. A
 * question belongs to the connection that put it (net/incoming_ask), which
 * takes the answer; people answer through net/network, and the keeper lets them
 * expire.
 */
#include "consent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "escape.h"
#include "hush.h"
#include "sync.h"

enum {
	/* All that can be asked by within CONSENT_NAME_MS, and some more. */
	NAMES_MAX = CONSENT_PER_MINUTE_MAX * (CONSENT_NAME_MS / 60000) +
		    4 * CONSENT_OPEN_MAX,
	NAME_WAITS_MS = 10000, /* from peers_hold_name to consent_ask */
};

enum state { FREE, OPEN, YES };

struct entry {
	enum state state;
	int wake_fd;
	struct consent_question q;
};

/* A name that is its key's until then. */
struct kept {
	uint8_t key[IDENTITY_KEY_BYTES];
	char name[WIRE_PEER_NAME_MAX + 1];
	int64_t until_ms; /* 0: free */
	bool asked;       /* a question was put by it */
	bool declined;    /* and our owner has said no */
};

/* When the last questions were put, and from where. */
struct asked {
	int64_t at_ms; /* now_ms(); 0: never */
	struct sockaddr_storage from;
};

struct consent {
	int timeout_ms;
	consent_changed *changed;
	void *ctx;
	consent_crossing *crossing;
	void *crossing_ctx;
	struct mutex lock;
	uint64_t serial GUARDED_BY(lock);
	struct entry entries[CONSENT_OPEN_MAX] GUARDED_BY(lock);
	struct hush hush GUARDED_BY(lock);
	struct kept names[NAMES_MAX] GUARDED_BY(lock);
	struct asked asked[CONSENT_PER_MINUTE_MAX] GUARDED_BY(lock); /* ring */
	unsigned next_asked GUARDED_BY(lock);
};

struct consent *consent_new(int timeout_ms, consent_changed *changed, void *ctx)
{
	struct consent *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->timeout_ms = timeout_ms;
	c->changed = changed;
	c->ctx = ctx;
	mutex_init(&c->lock);
	return c;
}

void consent_free(struct consent *c)
{
	if (!c)
		return;
	mutex_fini(&c->lock);
	free(c);
}

void consent_crosses(struct consent *c, consent_crossing *crossing, void *ctx)
{
	c->crossing = crossing;
	c->crossing_ctx = ctx;
}

/* The words as both screens show them; no lock is held. */
static void agree(struct consent *c, struct consent_question *q)
{
	if (c->crossing)
		c->crossing(c->crossing_ctx, q->key, q->words);
}

static void tell(
    struct consent *c, enum consent_change change, struct consent_question *q)
{
	agree(c, q);
	if (c->changed)
		c->changed(c->ctx, change, q);
}

static bool same_net(
    const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return address_same_source(
	    (const struct sockaddr *)a, (const struct sockaddr *)b);
}

static bool same_host(
    const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return address_same_host(
	    (const struct sockaddr *)a, (const struct sockaddr *)b);
}

/* --- who is to be quiet --------------------------------------------------
 */

bool consent_quiet(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *address)
{
	bool quiet;

	mutex_lock(&c->lock);
	quiet = hush_stands(&c->hush, key, address);
	mutex_unlock(&c->lock);
	return quiet;
}

void consent_forgive(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES])
{
	mutex_lock(&c->lock);
	hush_forgive(&c->hush, key, NULL);
	mutex_unlock(&c->lock);
}

/* --- names ----------------------------------------------------------------
 */

static struct kept *find_name_locked(struct consent *c, const uint8_t *key,
    const char *name, int64_t now) REQUIRES(c->lock)
{
	for (unsigned i = 0; i < NAMES_MAX; i++)
		if (now < c->names[i].until_ms &&
		    !memcmp(c->names[i].key, key, IDENTITY_KEY_BYTES) &&
		    !strcmp(c->names[i].name, name))
			return &c->names[i];
	return NULL;
}

static bool taken_locked(struct consent *c, const uint8_t *key,
    const char *name, int64_t now) REQUIRES(c->lock)
{
	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++)
		if (c->entries[i].state == OPEN &&
		    !strcmp(c->entries[i].q.name, name) &&
		    memcmp(c->entries[i].q.key, key, IDENTITY_KEY_BYTES) != 0)
			return true;
	for (unsigned i = 0; i < NAMES_MAX; i++)
		if (now < c->names[i].until_ms &&
		    !strcmp(c->names[i].name, name) &&
		    memcmp(c->names[i].key, key, IDENTITY_KEY_BYTES) != 0)
			return true;
	return false;
}

/* Nobody's is given up for it: who fills the table only shuts himself out. */
static bool keep_locked(struct consent *c, const uint8_t *key, const char *name,
    int64_t now, bool asked) REQUIRES(c->lock)
{
	int64_t until = now + (asked ? CONSENT_NAME_MS : NAME_WAITS_MS);
	struct kept *k = find_name_locked(c, key, name, now);

	for (unsigned i = 0; !k && i < NAMES_MAX; i++) {
		if (now < c->names[i].until_ms)
			continue;
		k = &c->names[i];
		*k = (struct kept){ .asked = false };
		memcpy(k->key, key, IDENTITY_KEY_BYTES);
		strcpy(k->name, name);
	}
	if (!k)
		return false;
	k->asked |= asked;
	if (k->until_ms < until)
		k->until_ms = until;
	return true;
}

bool consent_name_taken(
    struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES], const char *name)
{
	bool taken;

	mutex_lock(&c->lock);
	taken = taken_locked(c, key, name, now_ms());
	mutex_unlock(&c->lock);
	return taken;
}

int consent_name(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    char ret[WIRE_PEER_NAME_MAX + 1])
{
	int64_t now = now_ms(), until = 0;

	mutex_lock(&c->lock);
	for (unsigned i = 0; i < NAMES_MAX; i++)
		if (now < c->names[i].until_ms &&
		    until < c->names[i].until_ms &&
		    !memcmp(c->names[i].key, key, IDENTITY_KEY_BYTES)) {
			until = c->names[i].until_ms;
			strcpy(ret, c->names[i].name);
		}
	mutex_unlock(&c->lock);
	return until ? 0 : -ENOENT;
}

int consent_hold_name(
    struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES], const char *name)
{
	bool kept;

	mutex_lock(&c->lock);
	kept = keep_locked(c, key, name, now_ms(), false);
	mutex_unlock(&c->lock);
	return kept ? 0 : -EACCES;
}

/* --- questions ------------------------------------------------------------
 */

static struct entry *find_locked(struct consent *c, uint64_t serial)
    REQUIRES(c->lock)
{
	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++)
		if (c->entries[i].state != FREE &&
		    c->entries[i].q.serial == serial)
			return &c->entries[i];
	return NULL;
}

static bool too_often_locked(struct consent *c,
    const struct sockaddr_storage *from, int64_t now) REQUIRES(c->lock)
{
	unsigned all = 0, same = 0;

	for (unsigned i = 0; i < CONSENT_PER_MINUTE_MAX; i++) {
		const struct asked *a = &c->asked[i];

		if (!a->at_ms || now - a->at_ms >= 60 * 1000)
			continue;
		all++;
		same += same_net(&a->from, from);
	}
	return same >= CONSENT_PER_MINUTE_NET ||
	       all >= (same ? CONSENT_PER_MINUTE : CONSENT_PER_MINUTE_MAX);
}

static unsigned open_at_locked(
    struct consent *c, const struct sockaddr_storage *from) REQUIRES(c->lock)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++)
		n += c->entries[i].state == OPEN &&
		     same_net(&c->entries[i].q.address, from);
	return n;
}

/*
 * The last one of the network that has most, unless it is alone there. The
 * newcomer's own network gives way before one that has no more than it would
 * have, and where it has its share, alone.
 */
static struct entry *to_go_locked(struct consent *c,
    const struct sockaddr_storage *newcomer) REQUIRES(c->lock)
{
	unsigned n, most = 2, own = open_at_locked(c, newcomer);
	struct entry *found = NULL;

	for (struct entry *e = c->entries; e < c->entries + CONSENT_OPEN_MAX;
	     e++) {
		if (e->state != OPEN)
			continue;
		n = open_at_locked(c, &e->q.address);
		if (!same_net(&e->q.address, newcomer) &&
		    (own >= CONSENT_OPEN_NET_MAX || n <= own + 1))
			continue;
		if (n > most ||
		    (n == most && (!found || e->q.serial > found->q.serial))) {
			most = n;
			found = e;
		}
	}
	return found;
}

/* May this one be put, as to keys, addresses, number and rate? The place that
 * it gets may be another's yet. */
static struct entry *room_locked(struct consent *c,
    const struct consent_question *q, int64_t now) REQUIRES(c->lock)
{
	struct entry *e, *room = NULL;

	if (hush_stands(&c->hush, q->key, &q->address) ||
	    too_often_locked(c, &q->address, now))
		return NULL;
	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++) {
		e = &c->entries[i];
		if (e->state == FREE)
			room = e;
		else if (e->state == OPEN &&
			 (!memcmp(e->q.key, q->key, sizeof(q->key)) ||
			     same_host(&e->q.address, &q->address)))
			return NULL;
	}
	if (!room || open_at_locked(c, &q->address) >= CONSENT_OPEN_NET_MAX)
		return to_go_locked(c, &q->address);
	return room;
}

/* An open question ends, and nobody has answered it. */
static void lose_locked(struct consent *c, const struct entry *e)
    REQUIRES(c->lock)
{
	hush_add(
	    &c->hush, HUSH_ADDRESS, e->q.key, &e->q.address, HUSH_WITHDRAWN, 0);
	keep_locked(c, e->q.key, e->q.name, now_ms(), true);
}

static void wake(const struct entry *e)
{
	uint64_t one = 1;

	if (write(e->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: awake already */
}

int consent_ask(struct consent *c, const struct consent_question *question,
    int wake_fd, uint64_t *ret_serial)
{
	struct consent_question q = *question, lost = { .serial = 0 };
	int64_t now = now_ms();
	struct entry *e;
	struct kept *k;

	mutex_lock(&c->lock);
	e = room_locked(c, &q, now);
	k = find_name_locked(c, q.key, q.name, now);
	if (!e && k && !k->asked)
		k->until_ms = 0;
	for (unsigned n = 2; e && taken_locked(c, q.key, q.name, now); n++)
		escape_numbered(question->name, n, q.name);
	if (e && !keep_locked(c, q.key, q.name, now, true))
		e = NULL;
	if (e) {
		if (e->state == OPEN) {
			lost = e->q;
			lose_locked(c, e);
			wake(e);
		}
		q.serial = ++c->serial;
		q.asked_ms = now;
		q.deadline_ms = now + c->timeout_ms;
		*e =
		    (struct entry){ .state = OPEN, .wake_fd = wake_fd, .q = q };
		c->asked[c->next_asked] =
		    (struct asked){ .at_ms = now, .from = q.address };
		c->next_asked = (c->next_asked + 1) % CONSENT_PER_MINUTE_MAX;
	}
	mutex_unlock(&c->lock);
	if (!e)
		return -EACCES;
	if (lost.serial)
		tell(c, CONSENT_WITHDRAWN, &lost);
	*ret_serial = q.serial;
	tell(c, CONSENT_ASKED, &q);
	return 0;
}

int consent_answer(struct consent *c, uint64_t serial)
{
	struct entry *e;
	int r = -EACCES;

	mutex_lock(&c->lock);
	e = find_locked(c, serial);
	if (e && e->state == OPEN) {
		r = -EINPROGRESS;
	} else if (e) {
		r = 0;
		e->state = FREE;
	}
	mutex_unlock(&c->lock);
	return r;
}

void consent_withdraw(struct consent *c, uint64_t serial)
{
	struct consent_question q = { 0 };
	struct entry *e;
	bool was_open = false;

	mutex_lock(&c->lock);
	e = find_locked(c, serial);
	if (e) {
		was_open = e->state == OPEN;
		q = e->q;
		if (was_open)
			lose_locked(c, e);
		e->state = FREE;
	}
	mutex_unlock(&c->lock);
	if (was_open)
		tell(c, CONSENT_WITHDRAWN, &q);
}

/* No is what an entry that is gone means. */
static void end_locked(struct consent *c, struct entry *e,
    enum consent_change how) REQUIRES(c->lock)
{
	struct kept *k;

	e->state = how == CONSENT_ACCEPTED ? YES : FREE;
	keep_locked(c, e->q.key, e->q.name, now_ms(), true);
	k = find_name_locked(c, e->q.key, e->q.name, now_ms());
	if (k)
		k->declined = how == CONSENT_DECLINED;
	if (how == CONSENT_ACCEPTED) {
		hush_forgive(&c->hush, e->q.key, &e->q.address);
	} else {
		hush_add(&c->hush, HUSH_KEY, e->q.key, &e->q.address,
		    HUSH_ENDED,
		    how == CONSENT_DECLINED ? CONSENT_DECLINED_MS : 0);
		hush_add(&c->hush, HUSH_ADDRESS, e->q.key, &e->q.address,
		    HUSH_ENDED, 0);
	}
	wake(e);
}

int consent_settle(struct consent *c, uint64_t serial, bool accepted)
{
	enum consent_change how =
	    accepted ? CONSENT_ACCEPTED : CONSENT_DECLINED;
	struct consent_question q;
	struct entry *e;
	int r = -ENOENT;

	mutex_lock(&c->lock);
	e = find_locked(c, serial);
	if (e && e->state == OPEN) {
		end_locked(c, e, how);
		q = e->q;
		r = 0;
	}
	mutex_unlock(&c->lock);
	if (!r)
		tell(c, how, &q);
	return r;
}

void consent_tick(struct consent *c)
{
	struct consent_question gone[CONSENT_OPEN_MAX];
	int64_t now = now_ms();
	unsigned n = 0;

	mutex_lock(&c->lock);
	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++) {
		struct entry *e = &c->entries[i];

		if (e->state != OPEN || now < e->q.deadline_ms)
			continue;
		end_locked(c, e, CONSENT_EXPIRED);
		gone[n++] = e->q;
	}
	mutex_unlock(&c->lock);
	for (unsigned i = 0; i < n; i++)
		tell(c, CONSENT_EXPIRED, &gone[i]);
}

int consent_find(
    struct consent *c, const char *name, struct consent_question *ret)
{
	int r = -ENOENT;

	mutex_lock(&c->lock);
	for (unsigned i = 0; i < CONSENT_OPEN_MAX && r; i++)
		if (c->entries[i].state == OPEN &&
		    !strcmp(c->entries[i].q.name, name)) {
			*ret = c->entries[i].q;
			r = 0;
		}
	mutex_unlock(&c->lock);
	if (!r)
		agree(c, ret);
	return r;
}

int consent_find_declined(
    struct consent *c, const char *name, uint8_t ret_key[IDENTITY_KEY_BYTES])
{
	int64_t now = now_ms();
	int r = -ENOENT;

	mutex_lock(&c->lock);
	for (unsigned i = 0; i < NAMES_MAX && r; i++)
		if (c->names[i].declined && now < c->names[i].until_ms &&
		    !strcmp(c->names[i].name, name)) {
			memcpy(ret_key, c->names[i].key, IDENTITY_KEY_BYTES);
			r = 0;
		}
	mutex_unlock(&c->lock);
	return r;
}

int consent_find_key(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    struct consent_question *ret)
{
	int r = -ENOENT;

	mutex_lock(&c->lock);
	for (unsigned i = 0; i < CONSENT_OPEN_MAX && r; i++)
		if (c->entries[i].state == OPEN &&
		    !memcmp(c->entries[i].q.key, key, IDENTITY_KEY_BYTES)) {
			*ret = c->entries[i].q;
			r = 0;
		}
	mutex_unlock(&c->lock);
	return r;
}

int consent_find_serial(
    struct consent *c, uint64_t serial, struct consent_question *ret)
{
	struct entry *e;
	int r = -ENOENT;

	mutex_lock(&c->lock);
	e = find_locked(c, serial);
	if (e && e->state == OPEN) {
		*ret = e->q;
		r = 0;
	}
	mutex_unlock(&c->lock);
	if (!r)
		agree(c, ret);
	return r;
}

static int by_age(const void *a, const void *b)
{
	const struct consent_question *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

int consent_snapshot(struct consent *c, struct consent_question **ret)
{
	struct consent_question *all = calloc(CONSENT_OPEN_MAX, sizeof(*all));
	int n = 0;

	if (!all)
		return -ENOMEM;
	mutex_lock(&c->lock);
	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++)
		if (c->entries[i].state == OPEN)
			all[n++] = c->entries[i].q;
	mutex_unlock(&c->lock);
	for (int i = 0; i < n; i++)
		agree(c, &all[i]);
	qsort(all, (size_t)n, sizeof(*all), by_age);
	*ret = all;
	return n;
}

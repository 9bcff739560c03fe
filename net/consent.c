/*
 * A table of open questions, and a ring of those who are to be quiet. Both are
 * small and of a fixed size: strangers fill them. A question belongs to the
 * connection that put it (net/incoming_ask), which takes the answer; people
 * answer through net/network, and the keeper lets them expire.
 */
#include "consent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "escape.h"
#include "sync.h"

enum {
	QUIET_MAX = 256,
	STRIKES_MAX = 8,
	STRIKES_MS = 3600 * 1000, /* forgotten after that */
	/* All that can be asked by within CONSENT_NAME_MS, and some more. */
	NAMES_MAX = CONSENT_PER_MINUTE * (CONSENT_NAME_MS / 60000) +
		    4 * CONSENT_OPEN_MAX,
	NAME_WAITS_MS = 10000, /* from peers_hold_name to consent_ask */
};

enum state { FREE, OPEN, YES, NO };

struct entry {
	enum state state;
	int wake_fd;
	struct consent_question q;
};

/* A key, or (no key) an address. */
struct quiet {
	bool used, by_key;
	uint8_t key[IDENTITY_KEY_BYTES];
	struct sockaddr_storage address;
	int64_t since_ms, until_ms;
	unsigned strikes;
};

/* A name that is its key's until then. */
struct kept {
	uint8_t key[IDENTITY_KEY_BYTES];
	char name[WIRE_PEER_NAME_MAX + 1];
	int64_t until_ms; /* 0: free */
	bool asked;       /* a question was put by it */
};

struct consent {
	int timeout_ms;
	consent_changed *changed;
	void *ctx;
	struct mutex lock;
	uint64_t serial GUARDED_BY(lock);
	struct entry entries[CONSENT_OPEN_MAX] GUARDED_BY(lock);
	struct quiet quiet[QUIET_MAX] GUARDED_BY(lock);
	struct kept names[NAMES_MAX] GUARDED_BY(lock);
	/* now_ms() of the last questions, a ring. */
	int64_t asked[CONSENT_PER_MINUTE] GUARDED_BY(lock);
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

static void tell(struct consent *c, enum consent_change change,
    const struct consent_question *q)
{
	if (c->changed)
		c->changed(c->ctx, change, q);
}

/* --- who is to be quiet --------------------------------------------------
 */

static bool same_source(const struct quiet *k, bool by_key,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a)
{
	if (!k->used || k->by_key != by_key)
		return false;
	return by_key ? !memcmp(k->key, key, IDENTITY_KEY_BYTES)
		      : address_same_host((const struct sockaddr *)&k->address,
			    (const struct sockaddr *)a);
}

static struct quiet *find_quiet_locked(struct consent *c, bool by_key,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a)
    REQUIRES(c->lock)
{
	for (unsigned i = 0; i < QUIET_MAX; i++)
		if (same_source(&c->quiet[i], by_key, key, a))
			return &c->quiet[i];
	return NULL;
}

static bool is_quiet_locked(struct consent *c, bool by_key,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a)
    REQUIRES(c->lock)
{
	const struct quiet *k = find_quiet_locked(c, by_key, key, a);

	return k && now_ms() < k->until_ms;
}

/* Its own entry, else the one that would end first. */
static void hush_locked(struct consent *c, bool by_key,
    const struct consent_question *q, int64_t at_least) REQUIRES(c->lock)
{
	struct quiet *k = find_quiet_locked(c, by_key, q->key, &q->address);
	int64_t now = now_ms(), pause;

	for (unsigned i = 0; !k && i < QUIET_MAX; i++)
		if (!c->quiet[i].used)
			k = &c->quiet[i];
	if (!k) {
		k = &c->quiet[0];
		for (unsigned i = 1; i < QUIET_MAX; i++)
			if (c->quiet[i].until_ms < k->until_ms)
				k = &c->quiet[i];
		k->used = false;
	}
	if (!k->used || now - k->since_ms > STRIKES_MS)
		*k = (struct quiet){ .used = true, .by_key = by_key };
	memcpy(k->key, q->key, sizeof(k->key));
	k->address = q->address;
	k->since_ms = now;
	pause = k->strikes ? (int64_t)CONSENT_PAUSE_MS << (k->strikes - 1) : 0;
	if (k->strikes < STRIKES_MAX)
		k->strikes++;
	if (pause > CONSENT_DECLINED_MS)
		pause = CONSENT_DECLINED_MS;
	k->until_ms = now + (pause > at_least ? pause : at_least);
}

static void forgive_locked(struct consent *c, bool by_key,
    const uint8_t key[IDENTITY_KEY_BYTES], const struct sockaddr_storage *a)
    REQUIRES(c->lock)
{
	struct quiet *k = find_quiet_locked(c, by_key, key, a);

	if (k)
		k->used = false;
}

bool consent_quiet(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES])
{
	bool quiet;

	mutex_lock(&c->lock);
	quiet = is_quiet_locked(c, true, key, NULL);
	mutex_unlock(&c->lock);
	return quiet;
}

void consent_forgive(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES])
{
	mutex_lock(&c->lock);
	forgive_locked(c, true, key, NULL);
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

/* May this one be put, as to keys, addresses, number and rate? */
static struct entry *room_locked(struct consent *c,
    const struct consent_question *q, int64_t now) REQUIRES(c->lock)
{
	struct entry *e, *room = NULL;

	if (is_quiet_locked(c, true, q->key, NULL) ||
	    is_quiet_locked(c, false, NULL, &q->address) ||
	    (c->asked[c->next_asked] &&
		now - c->asked[c->next_asked] < 60 * 1000))
		return NULL;
	for (unsigned i = 0; i < CONSENT_OPEN_MAX; i++) {
		e = &c->entries[i];
		if (e->state == FREE)
			room = e;
		else if (e->state == OPEN &&
			 (!memcmp(e->q.key, q->key, sizeof(q->key)) ||
			     address_same_host(
				 (const struct sockaddr *)&e->q.address,
				 (const struct sockaddr *)&q->address)))
			return NULL;
	}
	return room;
}

int consent_ask(struct consent *c, const struct consent_question *question,
    int wake_fd, uint64_t *ret_serial)
{
	struct consent_question q = *question;
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
		q.serial = ++c->serial;
		q.asked_ms = now;
		q.deadline_ms = now + c->timeout_ms;
		*e =
		    (struct entry){ .state = OPEN, .wake_fd = wake_fd, .q = q };
		c->asked[c->next_asked] = now;
		c->next_asked = (c->next_asked + 1) % CONSENT_PER_MINUTE;
	}
	mutex_unlock(&c->lock);
	if (!e)
		return -EACCES;
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
		r = e->state == YES ? 0 : -EACCES;
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
		e->state = FREE;
	}
	if (was_open) {
		hush_locked(c, false, &q, 0);
		keep_locked(c, q.key, q.name, now_ms(), true);
	}
	mutex_unlock(&c->lock);
	if (was_open)
		tell(c, CONSENT_WITHDRAWN, &q);
}

static void wake(const struct entry *e)
{
	uint64_t one = 1;

	if (write(e->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: awake already */
}

static void end_locked(struct consent *c, struct entry *e,
    enum consent_change how) REQUIRES(c->lock)
{
	e->state = how == CONSENT_ACCEPTED ? YES : NO;
	keep_locked(c, e->q.key, e->q.name, now_ms(), true);
	if (how == CONSENT_ACCEPTED) {
		forgive_locked(c, true, e->q.key, NULL);
		forgive_locked(c, false, NULL, &e->q.address);
	} else {
		hush_locked(c, true, &e->q,
		    how == CONSENT_DECLINED ? CONSENT_DECLINED_MS : 0);
		hush_locked(c, false, &e->q, 0);
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
	qsort(all, (size_t)n, sizeof(*all), by_age);
	*ret = all;
	return n;
}

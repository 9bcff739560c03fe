/*
 * The table of pins: in memory for those who ask, behind a leaf lock, and on
 * disk (net/pinfile) for those who change it. A change goes to the disk first
 * and to the table after, without the lock; `changing` lets one thread at a
 * time through, so that no two changes pass each other on the way.
 */
#include "trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "escape.h"
#include "pinfile.h"
#include "textfile.h"
#include "trust_internal.h"

/* A key of which nothing but the fingerprint was left: here it is. */
static struct trust_pin *find_damaged_locked(
    struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES]) REQUIRES(t->lock)
{
	char fingerprint[FINGERPRINT_CHARS];
	struct trust_pin *pin;

	identity_fingerprint(key, fingerprint);
	for (unsigned i = 0; i < t->n_damaged; i++) {
		if (strcmp(t->damaged[i], fingerprint))
			continue;
		pin = &t->pins[t->n_pins++];
		*pin = (struct trust_pin){ .policy = TRUST_REFUSE,
			.damaged = true };
		memcpy(pin->key, key, sizeof(pin->key));
		memmove(t->damaged[i], t->damaged[--t->n_damaged],
		    sizeof(fingerprint));
		return pin;
	}
	return NULL;
}

static struct trust_pin *find_locked(
    struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES]) REQUIRES(t->lock)
{
	for (unsigned i = 0; i < t->n_pins; i++)
		if (!memcmp(t->pins[i].key, key, IDENTITY_KEY_BYTES))
			return &t->pins[i];
	return t->n_damaged ? find_damaged_locked(t, key) : NULL;
}

static struct trust_pin *find_name_locked(struct trust *t, const char *name)
    REQUIRES(t->lock)
{
	for (unsigned i = 0; i < t->n_pins; i++)
		if (strcmp(t->pins[i].name, name) == 0)
			return &t->pins[i];
	return NULL;
}

int trust_reserve_locked(struct trust *t)
{
	unsigned cap = t->cap_pins ? 2 * t->cap_pins : 8;
	struct trust_pin *more;

	unsigned n = t->n_pins + t->n_damaged;

	if (n >= TRUST_PINS_MAX)
		return -ENOSPC;
	if (n < t->cap_pins)
		return 0;
	more = reallocarray(t->pins, cap, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->pins = more;
	t->cap_pins = cap;
	return 0;
}

void trust_unique_name_locked(
    struct trust *t, char name[WIRE_PEER_NAME_MAX + 1])
{
	char wanted[WIRE_PEER_NAME_MAX + 1];

	strcpy(wanted, name);
	/* Ends: there are at most TRUST_PINS_MAX others. */
	for (unsigned i = 2; find_name_locked(t, name); i++)
		escape_numbered(wanted, i, name);
}

static void begin_change_locked(struct trust *t) REQUIRES(t->lock)
{
	while (t->changing)
		cond_wait(&t->idle, &t->lock);
	t->changing = true;
}

static void end_change_locked(struct trust *t) REQUIRES(t->lock)
{
	t->changing = false;
	cond_signal(&t->idle);
}

int trust_open(int state_fd, enum trust_default strangers, struct trust **ret)
{
	struct trust *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->strangers = strangers;
	mutex_init(&t->lock);
	cond_init(&t->idle);
	r = trust_load(t, state_fd);
	if (r) {
		trust_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

void trust_close(struct trust *t) NO_THREAD_ANALYSIS
{
	if (!t)
		return;
	if (t->fd >= 0)
		close(t->fd);
	free(t->pins);
	free(t->damaged);
	cond_fini(&t->idle);
	mutex_fini(&t->lock);
	free(t);
}

int trust_find(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    struct trust_pin *ret)
{
	struct trust_pin *pin;

	mutex_lock(&t->lock);
	pin = find_locked(t, key);
	if (pin)
		*ret = *pin;
	mutex_unlock(&t->lock);
	return pin ? 0 : -ENOENT;
}

static bool is_at(const struct trust_pin *pin, const struct sockaddr *host)
{
	for (unsigned i = 0; i < pin->n_addresses; i++)
		if (address_same_host(
			(const struct sockaddr *)&pin->addresses[i], host))
			return true;
	return false;
}

bool trust_has_host(struct trust *t, const struct sockaddr *host)
{
	bool has = false;

	mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->n_pins && !has; i++)
		has = t->pins[i].policy == TRUST_ACCEPT &&
		      is_at(&t->pins[i], host);
	mutex_unlock(&t->lock);
	return has;
}

int trust_find_name(struct trust *t, const char *name, struct trust_pin *ret)
{
	struct trust_pin *pin;

	mutex_lock(&t->lock);
	pin = find_name_locked(t, name);
	if (pin)
		*ret = *pin;
	mutex_unlock(&t->lock);
	return pin ? 0 : -ENOENT;
}

bool trust_damaged(struct trust *t, unsigned i,
    char ret_fingerprint[FINGERPRINT_CHARS],
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	bool found = false;

	mutex_lock(&t->lock);
	if (i < t->n_damaged) {
		found = true;
		strcpy(ret_fingerprint, t->damaged[i]);
		*ret_name = '\0';
	}
	i -= t->n_damaged; /* wraps where it was found */
	for (unsigned k = 0; k < t->n_pins && !found; k++) {
		if (!t->pins[k].damaged || i-- > 0)
			continue;
		found = true;
		identity_fingerprint(t->pins[k].key, ret_fingerprint);
		strcpy(ret_name, t->pins[k].name);
	}
	mutex_unlock(&t->lock);
	return found;
}

int trust_each(struct trust *t,
    int (*each)(void *ctx, const struct trust_pin *pin), void *ctx)
{
	struct trust_pin *copy = NULL;
	unsigned n;
	int r = 0;

	mutex_lock(&t->lock);
	n = t->n_pins;
	if (n > 0)
		copy = malloc(n * sizeof(*copy));
	if (copy)
		memcpy(copy, t->pins, n * sizeof(*copy));
	mutex_unlock(&t->lock);
	if (n > 0 && !copy)
		return -ENOMEM;
	for (unsigned i = 0; i < n && r == 0; i++)
		r = each(ctx, &copy[i]);
	free(copy);
	return r;
}

/* For one more that nobody has asked for. */
static bool has_room_locked(struct trust *t) REQUIRES(t->lock)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_pins; i++)
		n += t->pins[i].automatic;
	return n < TRUST_AUTOMATIC_MAX;
}

enum wire_policy trust_incoming(
    struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	enum trust_policy policy = TRUST_ASK;
	const struct trust_pin *pin;
	bool room;

	mutex_lock(&t->lock);
	pin = find_locked(t, key);
	if (pin)
		policy = pin->policy;
	room = pin || t->strangers != TRUST_LAN || has_room_locked(t);
	mutex_unlock(&t->lock);
	switch (policy) {
	case TRUST_ACCEPT: return WIRE_POLICY_ACCEPT;
	case TRUST_REFUSE: return WIRE_POLICY_REFUSE;
	case TRUST_ASK: break;
	}
	switch (t->strangers) {
	case TRUST_LAN: return room ? WIRE_POLICY_ACCEPT : WIRE_POLICY_REFUSE;
	case TRUST_ASKED: return WIRE_POLICY_ASK;
	case TRUST_KNOWN: break;
	}
	return WIRE_POLICY_REFUSE;
}

static void set_words(struct trust_pin *pin, const uint8_t *words)
{
	pin->has_words = true;
	memcpy(pin->words, words, sizeof(pin->words));
	pin->words_ms = now_ms();
}

/* The pin as it shall be, while the change has the turn. */
static int prepare_locked(struct trust *t,
    const uint8_t key[IDENTITY_KEY_BYTES], const char *name,
    const struct trust_decision *d, struct trust_pin *ret) REQUIRES(t->lock)
{
	struct trust_pin *old = find_locked(t, key);
	struct trust_pin pin = { .automatic = true };
	int r;

	if (old && old->policy == TRUST_REFUSE && d->unless_refused)
		return -EACCES;
	if (old) {
		pin = *old;
	} else {
		r = trust_reserve_locked(t);
		if (r == 0 && d->automatic && !has_room_locked(t))
			r = -ENOSPC;
		if (r)
			return r;
		memcpy(pin.key, key, sizeof(pin.key));
	}
	if (!*pin.name) {
		escape_name(name, strlen(name), pin.name);
		trust_unique_name_locked(t, pin.name);
	}
	if (d->words && (!d->since_ms || pin.policy != TRUST_ACCEPT ||
			    !pin.has_words || pin.words_ms < d->since_ms))
		set_words(&pin, d->words);
	if (!old || d->policy != TRUST_ASK)
		pin.policy = d->policy;
	pin.automatic &= d->automatic;
	pin.verified |= d->verified;
	*ret = pin;
	return 0;
}

/*
 * Our owner has decided about a damaged pin, and that is on the disk: what is
 * left of it does not count any more.
 */
static int mark_decided(struct trust *t, const struct trust_pin *pin)
{
	char name[FINGERPRINT_CHARS + sizeof(TRUST_DAMAGED)];

	identity_fingerprint(pin->key, name);
	return textfile_set_aside(t->fd, strcat(name, TRUST_DAMAGED));
}

int trust_pin(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, enum trust_policy policy,
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	struct trust_decision d = { .policy = policy };

	return trust_decide(t, key, name, &d, ret_name);
}

int trust_decide(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, const struct trust_decision *d,
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	struct trust_pin pin, *old;
	int r;

	mutex_lock(&t->lock);
	begin_change_locked(t);
	r = prepare_locked(t, key, name, d, &pin);
	mutex_unlock(&t->lock);
	if (r == 0)
		r = pinfile_write(t->fd, &pin);
	/* Where this fails, the new file counts. */
	if (r == 0 && pin.damaged)
		mark_decided(t, &pin);
	pin.damaged = false;

	mutex_lock(&t->lock);
	if (r == 0) {
		old = find_locked(t, key);
		if (old)
			*old = pin;
		else
			t->pins[t->n_pins++] = pin;
	}
	end_change_locked(t);
	mutex_unlock(&t->lock);
	if (r == 0 && ret_name)
		strcpy(ret_name, pin.name);
	return r;
}

int trust_forget(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	struct trust_pin *pin, old = { 0 };
	bool gone = false;
	int r = -ENOENT;

	mutex_lock(&t->lock);
	begin_change_locked(t);
	pin = find_locked(t, key);
	if (pin)
		old = *pin;
	mutex_unlock(&t->lock);
	if (pin)
		r = old.damaged ? mark_decided(t, &old) : 0;
	if (r == 0)
		r = pinfile_remove(t->fd, key, &gone);

	mutex_lock(&t->lock);
	if (gone) {
		/* The order of the others stays: people see it. */
		pin = find_locked(t, key);
		memmove(pin, pin + 1,
		    (size_t)(t->pins + t->n_pins - (pin + 1)) * sizeof(*pin));
		t->n_pins--;
	}
	end_change_locked(t);
	mutex_unlock(&t->lock);
	return r;
}

/*
 * Moves address to the front of the pin's; another port of the same host is
 * replaced. Returns whether the set is another one now.
 */
static bool note(struct trust_pin *pin, const struct sockaddr *address)
{
	struct sockaddr_storage new = { 0 };
	unsigned i = 0;
	bool changed;

	memcpy(&new, address, address_len(address));
	while (i < pin->n_addresses &&
	       !address_same_host(
		   (const struct sockaddr *)&pin->addresses[i], address))
		i++;
	changed = i == pin->n_addresses ||
		  !address_equal(
		      (const struct sockaddr *)&pin->addresses[i], address);
	if (i == pin->n_addresses && pin->n_addresses < TRUST_ADDRESSES)
		pin->n_addresses++;
	else if (i == TRUST_ADDRESSES)
		i--; /* the oldest goes */
	memmove(pin->addresses + 1, pin->addresses, i * sizeof(new));
	pin->addresses[0] = new;
	return changed;
}

/*
 * Changes one pin: edit says whether its file has to be written. In the order
 * of trust_pin: the disk, and then the table.
 */
static int change(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    bool (*edit)(struct trust_pin *pin, const void *arg), const void *arg)
{
	struct trust_pin pin, *p;
	bool write = false;
	int r = 0;

	mutex_lock(&t->lock);
	begin_change_locked(t);
	p = find_locked(t, key);
	if (p && p->damaged) /* it is not known: nothing is learned of it */
		p = NULL;
	if (p) {
		pin = *p;
		write = edit(&pin, arg);
	}
	mutex_unlock(&t->lock);
	if (!p)
		r = -ENOENT;
	else if (write)
		r = pinfile_write(t->fd, &pin);

	mutex_lock(&t->lock);
	p = find_locked(t, key); /* the table may have moved meanwhile */
	if (r == 0 && p)
		*p = pin;
	end_change_locked(t);
	mutex_unlock(&t->lock);
	return r;
}

static bool edit_address(struct trust_pin *pin, const void *arg)
{
	return note(pin, arg);
}

int trust_note_address(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr *address)
{
	if (address_len(address) == 0 || address_port(address) == 0)
		return -EAFNOSUPPORT;
	return change(t, key, edit_address, address);
}

static bool edit_words(struct trust_pin *pin, const void *arg)
{
	set_words(pin, arg);
	return true;
}

int trust_set_words(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const uint8_t words[TRUST_WORDS_BYTES])
{
	return change(t, key, edit_words, words);
}

static bool edit_verified(struct trust_pin *pin, const void *arg)
{
	bool was = pin->verified && !pin->automatic;

	(void)arg;
	pin->verified = true;
	pin->automatic = false; /* somebody knows it */
	return !was;
}

int trust_set_verified(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	return change(t, key, edit_verified, NULL);
}

static bool edit_quota(struct trust_pin *pin, const void *arg)
{
	const uint64_t *quota = arg;
	bool same = pin->quota_bytes == quota[0] &&
		    pin->quota_files == quota[1] && !pin->automatic;

	pin->automatic = false;
	pin->quota_bytes = quota[0];
	pin->quota_files = quota[1];
	return !same;
}

int trust_set_quota(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    uint64_t bytes, uint64_t files)
{
	const uint64_t quota[2] = { bytes, files };

	return change(t, key, edit_quota, quota);
}

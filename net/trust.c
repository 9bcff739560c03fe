/*
 * The table of pins: in memory for those who ask, behind a leaf lock, and on
 * disk (net/pinfile) for those who change it. A change goes to the disk first
 * and to the table after, without the lock; `changing` lets one thread at a
 * time through, so that no two changes pass each other on the way.
 */
#include "trust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "escape.h"
#include "log.h"
#include "pinfile.h"
#include "sync.h"
#include "textfile.h"

#define PINS_NAME "pins"

struct trust {
	enum trust_default strangers;
	int fd; /* of pins/ */
	struct mutex lock;
	struct cond idle;
	bool changing GUARDED_BY(lock);
	struct trust_pin *pins GUARDED_BY(lock);
	unsigned n_pins GUARDED_BY(lock);
	unsigned cap_pins GUARDED_BY(lock);
};

static struct trust_pin *find_locked(
    struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES]) REQUIRES(t->lock)
{
	for (unsigned i = 0; i < t->n_pins; i++)
		if (!memcmp(t->pins[i].key, key, IDENTITY_KEY_BYTES))
			return &t->pins[i];
	return NULL;
}

static struct trust_pin *find_name_locked(struct trust *t, const char *name)
    REQUIRES(t->lock)
{
	for (unsigned i = 0; i < t->n_pins; i++)
		if (strcmp(t->pins[i].name, name) == 0)
			return &t->pins[i];
	return NULL;
}

/* Room for one more, so that what is on the disk then is never forgotten. */
static int reserve_locked(struct trust *t) REQUIRES(t->lock)
{
	unsigned cap = t->cap_pins ? 2 * t->cap_pins : 8;
	struct trust_pin *more;

	if (t->n_pins == TRUST_PINS_MAX)
		return -ENOSPC;
	if (t->n_pins < t->cap_pins)
		return 0;
	more = reallocarray(t->pins, cap, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->pins = more;
	t->cap_pins = cap;
	return 0;
}

/* name, or "name (2)", "name (3)" ...: what no pin is called. */
static void unique_name_locked(
    struct trust *t, char name[WIRE_PEER_NAME_MAX + 1]) REQUIRES(t->lock)
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

/* Could this file be a pin: is it called like a fingerprint? */
static bool is_fingerprint(const char *name)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

	if (strlen(name) != FINGERPRINT_CHARS - 1)
		return false;
	for (size_t i = 0; name[i]; i++)
		if (i % 5 == 4 ? name[i] != '-' : !strchr(digits, name[i]))
			return false;
	return true;
}

/*
 * What is not to be trusted is set aside. Other failures (EIO, EMFILE) may
 * pass: the caller must not go on as if the peer were a stranger.
 */
static int load_pin(struct trust *t, const char *name)
{
	char heard[WIRE_PEER_NAME_MAX + 1];
	struct trust_pin pin;
	int r = pinfile_read(t->fd, name, &pin);

	if (r == -EBADMSG || r == -EPERM) {
		log_error("pin %s is %s: set aside; accept that peer again",
		    name, r == -EPERM ? "not private" : "damaged");
		return textfile_set_aside(t->fd, name);
	}
	if (r)
		return r;
	strcpy(heard, pin.name);
	mutex_lock(&t->lock);
	r = reserve_locked(t);
	if (r == 0) {
		unique_name_locked(t, pin.name);
		t->pins[t->n_pins++] = pin;
	}
	mutex_unlock(&t->lock);
	if (r == 0 && strcmp(heard, pin.name)) {
		log_warning(
		    "two pins are called %s: one is now %s", heard, pin.name);
		r = pinfile_write(t->fd, &pin);
	}
	return r;
}

static int only_fingerprints(const struct dirent *entry)
{
	return is_fingerprint(entry->d_name);
}

/* In the order of their names, so that every start sees the same table. */
static int load(struct trust *t)
{
	struct dirent **entries;
	int n, r = 0;

	n = scandirat(t->fd, ".", &entries, only_fingerprints, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = load_pin(t, entries[i]->d_name);
		if (r == -ENOSPC) {
			log_error("more than %u pins: the others do not count",
			    TRUST_PINS_MAX);
			r = 0;
			n = i + 1;
		}
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* Opens pins/, making it if missing. Returns a descriptor or -errno. */
static int open_pins(int state_fd)
{
	struct stat st;
	int fd, r = 0;

	if (mkdirat(state_fd, PINS_NAME, 0700) == 0) {
		if (fsync(state_fd) < 0)
			return -errno;
	} else if (errno != EEXIST) {
		return -errno;
	}
	fd = openat(state_fd, PINS_NAME,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if ((st.st_mode & 022) || st.st_uid != geteuid())
		r = -EPERM;
	else if (unlinkat(fd, TEXTFILE_TEMPORARY, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r) {
		close(fd);
		return r;
	}
	return fd;
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
	t->fd = open_pins(state_fd);
	r = t->fd < 0 ? t->fd : load(t);
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

enum wire_policy trust_incoming(
    struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	enum trust_policy policy = TRUST_ASK;
	struct trust_pin pin;

	if (trust_find(t, key, &pin) == 0)
		policy = pin.policy;
	switch (policy) {
	case TRUST_ACCEPT: return WIRE_POLICY_ACCEPT;
	case TRUST_REFUSE: return WIRE_POLICY_REFUSE;
	case TRUST_ASK: break;
	}
	switch (t->strangers) {
	case TRUST_LAN: return WIRE_POLICY_ACCEPT;
	case TRUST_ASKED: return WIRE_POLICY_ASK;
	case TRUST_KNOWN: break;
	}
	return WIRE_POLICY_REFUSE;
}

/* The pin as it shall be, while the change has the turn. */
static int prepare_locked(struct trust *t,
    const uint8_t key[IDENTITY_KEY_BYTES], const char *name,
    enum trust_policy policy, struct trust_pin *ret) REQUIRES(t->lock)
{
	struct trust_pin *old = find_locked(t, key), pin = { 0 };
	int r;

	if (old) {
		pin = *old;
	} else {
		r = reserve_locked(t);
		if (r)
			return r;
		memcpy(pin.key, key, sizeof(pin.key));
		escape_name(name, strlen(name), pin.name);
		unique_name_locked(t, pin.name);
	}
	pin.policy = policy;
	*ret = pin;
	return 0;
}

int trust_pin(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, enum trust_policy policy,
    char ret_name[WIRE_PEER_NAME_MAX + 1])
{
	struct trust_pin pin, *old;
	int r;

	mutex_lock(&t->lock);
	begin_change_locked(t);
	r = prepare_locked(t, key, name, policy, &pin);
	mutex_unlock(&t->lock);
	if (r == 0)
		r = pinfile_write(t->fd, &pin);

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
	struct trust_pin *pin;
	bool gone = false;
	int r = -ENOENT;

	mutex_lock(&t->lock);
	begin_change_locked(t);
	pin = find_locked(t, key);
	mutex_unlock(&t->lock);
	if (pin)
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
	bool same =
	    pin->has_words && memcmp(pin->words, arg, TRUST_WORDS_BYTES) == 0;

	pin->has_words = true;
	memcpy(pin->words, arg, TRUST_WORDS_BYTES);
	return !same;
}

int trust_set_words(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const uint8_t words[TRUST_WORDS_BYTES])
{
	return change(t, key, edit_words, words);
}

static bool edit_verified(struct trust_pin *pin, const void *arg)
{
	bool was = pin->verified;

	(void)arg;
	pin->verified = true;
	return !was;
}

int trust_set_verified(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES])
{
	return change(t, key, edit_verified, NULL);
}

static bool edit_quota(struct trust_pin *pin, const void *arg)
{
	const uint64_t *quota = arg;
	bool same =
	    pin->quota_bytes == quota[0] && pin->quota_files == quota[1];

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

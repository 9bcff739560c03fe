/*
 * What trust_open reads: every pin, and what is left of those that were damaged
 * and that nobody has decided about yet.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "pinfile.h"
#include "textfile.h"
#include "trust_internal.h"

#define PINS_NAME "pins"

/* Could this file be a pin: is it called like a fingerprint, and then so? */
static bool is_fingerprint(const char *name, const char *then)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	size_t len = FINGERPRINT_CHARS - 1;

	if (strlen(name) < len || strcmp(name + len, then))
		return false;
	for (size_t i = 0; i < len; i++)
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
		log_error("pin %s is %s: set aside, and that peer is refused "
			  "until you accept it again",
		    name, r == -EPERM ? "not private" : "damaged");
		return textfile_set_aside(t->fd, name);
	}
	if (r)
		return r;
	strcpy(heard, pin.name);
	mutex_lock(&t->lock);
	r = trust_reserve_locked(t);
	if (r == 0) {
		trust_unique_name_locked(t, pin.name);
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

/* file: NAME.damaged; where there is NAME as well, that counts. */
static int load_damaged(struct trust *t, const char *file)
{
	char name[FINGERPRINT_CHARS], (*more)[FINGERPRINT_CHARS];
	struct trust_pin pin;
	bool salvaged;
	int r;

	snprintf(name, sizeof(name), "%s", file);
	if (faccessat(t->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	salvaged = pinfile_salvage(t->fd, file, name, &pin) == 0;
	mutex_lock(&t->lock);
	r = trust_reserve_locked(t);
	if (r == 0 && salvaged) {
		trust_unique_name_locked(t, pin.name);
		t->pins[t->n_pins++] = pin;
	} else if (r == 0) {
		more =
		    reallocarray(t->damaged, t->n_damaged + 1, sizeof(*more));
		if (more) {
			t->damaged = more;
			strcpy(more[t->n_damaged++], name);
		} else {
			r = -ENOMEM;
		}
	}
	mutex_unlock(&t->lock);
	return r;
}

static int only_fingerprints(const struct dirent *entry)
{
	return is_fingerprint(entry->d_name, "");
}

static int only_damaged(const struct dirent *entry)
{
	return is_fingerprint(entry->d_name, TRUST_DAMAGED);
}

/* In the order of their names, so that every start sees the same table. */
static int load(struct trust *t, int (*which)(const struct dirent *entry),
    int (*load_one)(struct trust *t, const char *name))
{
	struct dirent **entries;
	int n, r = 0;

	n = scandirat(t->fd, ".", &entries, which, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = load_one(t, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (r != -ENOSPC)
		return r;
	log_error("more than %u pins: the others do not count", TRUST_PINS_MAX);
	return 0;
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
	else
		r = textfile_clear(fd);
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

int trust_load(struct trust *t, int state_fd)
{
	int r;

	t->fd = open_pins(state_fd);
	r = t->fd < 0 ? t->fd : load(t, only_fingerprints, load_pin);
	return r ? r : load(t, only_damaged, load_damaged);
}

/*
 * The text of a pin, and its way to the disk and back. Called by net/trust,
 * which keeps the table and lets one thread in at a time.
 */
#include "pinfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "address.h"
#include "escape.h"

#define VERSION_LINE  "gtfs-pin: 1\n"
#define CHECK_LABEL   "check: "
#define CHECK_BYTES   (sizeof(CHECK_LABEL) - 1 + 16 + 1)
#define KEY_DIGITS    (2 * IDENTITY_KEY_BYTES)
#define SET_ASIDE_MAX 100

static const char *const policy_names[] = {
	[TRUST_ACCEPT] = "accept",
	[TRUST_ASK] = "ask",
	[TRUST_REFUSE] = "refuse",
};

static void check_line(const char *text, size_t len, char ret[CHECK_BYTES + 1])
{
	snprintf(ret, CHECK_BYTES + 1, CHECK_LABEL "%016" PRIx64 "\n",
	    (uint64_t)XXH3_64bits(text, len));
}

size_t pinfile_encode(const struct trust_pin *pin, char ret[PINFILE_TEXT_MAX])
{
	char key[KEY_DIGITS + 1], address[ADDRESS_TEXT_MAX];
	size_t at;

	for (size_t i = 0; i < IDENTITY_KEY_BYTES; i++)
		snprintf(key + 2 * i, 3, "%02x", pin->key[i]);
	at = (size_t)snprintf(ret, PINFILE_TEXT_MAX,
	    VERSION_LINE "name: %s\nkey: %s\npolicy: %s\n", pin->name, key,
	    policy_names[pin->policy]);
	for (unsigned i = 0; i < pin->n_addresses; i++) {
		address_format(
		    (const struct sockaddr *)&pin->addresses[i], address);
		at += (size_t)snprintf(
		    ret + at, PINFILE_TEXT_MAX - at, "address: %s\n", address);
	}
	assert(at + CHECK_BYTES < PINFILE_TEXT_MAX);
	check_line(ret, at, ret + at);
	return at + CHECK_BYTES;
}

/*
 * The value of the next line if its label is this one, cut off as a string,
 * and *at moved behind it; else NULL.
 */
static char *take_line(char **at, const char *label)
{
	size_t len = strlen(label);
	char *value, *end;

	if (strncmp(*at, label, len))
		return NULL;
	value = *at + len;
	end = strchr(value, '\n');
	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return value;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_key(const char *text, uint8_t ret[IDENTITY_KEY_BYTES])
{
	int high, low;

	if (strlen(text) != KEY_DIGITS)
		return -EBADMSG;
	for (size_t i = 0; i < IDENTITY_KEY_BYTES; i++) {
		high = hex_digit(text[2 * i]);
		low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int parse_policy(const char *text, enum trust_policy *ret)
{
	for (size_t i = 0; i < sizeof(policy_names) / sizeof(*policy_names);
	     i++) {
		if (strcmp(text, policy_names[i]) == 0) {
			*ret = (enum trust_policy)i;
			return 0;
		}
	}
	return -EBADMSG;
}

/* A name that was made safe is not changed by making it safe again. */
static int parse_name(const char *text, char ret[WIRE_PEER_NAME_MAX + 1])
{
	char safe[WIRE_PEER_NAME_MAX + 1];

	escape_name(text, strlen(text), safe);
	if (strcmp(text, safe))
		return -EBADMSG;
	strcpy(ret, safe);
	return 0;
}

static int parse_addresses(char **at, struct trust_pin *pin)
{
	struct sockaddr_storage address;
	char *value;
	int r;

	while ((value = take_line(at, "address: "))) {
		r = address_parse(value, 0, &address);
		if (r == -ENODEV) /* an adapter that is not plugged in */
			continue;
		if (r || pin->n_addresses == TRUST_ADDRESSES)
			return -EBADMSG;
		pin->addresses[pin->n_addresses++] = address;
	}
	return 0;
}

int pinfile_decode(const char *text, size_t len, struct trust_pin *ret)
{
	char copy[PINFILE_TEXT_MAX], check[CHECK_BYTES + 1], *at = copy;
	char *name, *key, *policy;
	struct trust_pin pin = { 0 };

	if (len <= CHECK_BYTES || len >= sizeof(copy) || memchr(text, 0, len))
		return -EBADMSG;
	memcpy(copy, text, len);
	copy[len] = '\0';
	len -= CHECK_BYTES;
	check_line(copy, len, check);
	if (strcmp(copy + len, check))
		return -EBADMSG;
	copy[len] = '\0';

	if (strncmp(at, VERSION_LINE, strlen(VERSION_LINE)))
		return -EBADMSG;
	at += strlen(VERSION_LINE);
	name = take_line(&at, "name: ");
	key = name ? take_line(&at, "key: ") : NULL;
	policy = key ? take_line(&at, "policy: ") : NULL;
	if (!policy || parse_name(name, pin.name) || parse_key(key, pin.key) ||
	    parse_policy(policy, &pin.policy) || parse_addresses(&at, &pin) ||
	    *at)
		return -EBADMSG;
	*ret = pin;
	return 0;
}

/* Reads at most cap bytes. Returns the count, or -errno. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
	size_t have = 0;
	ssize_t n;

	while (have < cap) {
		n = read(fd, buf + have, cap - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

int pinfile_read(int dirfd, const char *name, struct trust_pin *ret)
{
	char text[PINFILE_TEXT_MAX], fingerprint[FINGERPRINT_CHARS];
	struct trust_pin pin;
	struct stat st;
	ssize_t n = 0;
	int fd, r = 0;

	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	fd = openat(dirfd, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) /* a symlink; a socket */
		return errno == ELOOP || errno == ENXIO ? -EPERM : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 022) ||
		 st.st_uid != geteuid())
		r = -EPERM;
	else
		n = read_all(fd, text, sizeof(text));
	close(fd);
	if (r == 0 && n < 0)
		r = (int)n;
	if (r == 0)
		r = pinfile_decode(text, (size_t)n, &pin);
	if (r)
		return r;
	identity_fingerprint(pin.key, fingerprint);
	if (strcmp(fingerprint, name))
		return -EBADMSG;
	*ret = pin;
	return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int pinfile_write(int dirfd, const struct trust_pin *pin)
{
	char text[PINFILE_TEXT_MAX], fingerprint[FINGERPRINT_CHARS];
	size_t len = pinfile_encode(pin, text);
	int fd, r;

	identity_fingerprint(pin->key, fingerprint);
	if (unlinkat(dirfd, PINFILE_TEMPORARY, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dirfd, PINFILE_TEMPORARY,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, len);
	close(fd);
	if (r == 0 &&
	    renameat(dirfd, PINFILE_TEMPORARY, dirfd, fingerprint) < 0)
		r = -errno;
	if (r) {
		unlinkat(dirfd, PINFILE_TEMPORARY, 0);
		return r;
	}
	return fsync(dirfd) < 0 ? -errno : 0;
}

int pinfile_remove(
    int dirfd, const uint8_t key[IDENTITY_KEY_BYTES], bool *ret_gone)
{
	char fingerprint[FINGERPRINT_CHARS];

	identity_fingerprint(key, fingerprint);
	*ret_gone = unlinkat(dirfd, fingerprint, 0) == 0 || errno == ENOENT;
	if (!*ret_gone)
		return -errno;
	return fsync(dirfd) < 0 ? -errno : 0;
}

int pinfile_set_aside(int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	for (unsigned i = 1; i <= SET_ASIDE_MAX; i++) {
		if (i == 1)
			snprintf(aside, sizeof(aside), "%.100s.damaged", name);
		else
			snprintf(
			    aside, sizeof(aside), "%.100s.damaged.%u", name, i);
		if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) == 0)
			return fsync(dirfd) < 0 ? -errno : 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

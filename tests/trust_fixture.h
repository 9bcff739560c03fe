/*
 * What the tests of net/trust.h share: a state directory in memory, keys and
 * pins.
 */
#ifndef TRUST_FIXTURE_H
#define TRUST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "address.h"
#include "escape.h"
#include "log.h"
#include "pinfile.h"
#include "textfile.h"
#include "trust.h"

struct place {
	char path[64];
	int state_fd, pins_fd; /* pins_fd: once trust_open has made it */
};

static inline void make_key(unsigned n, uint8_t ret[IDENTITY_KEY_BYTES])
{
	memset(ret, 0, IDENTITY_KEY_BYTES);
	memcpy(ret, &n, sizeof(n));
}

static inline struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage ss;

	assert_int_equal(address_parse(text, 0, &ss), 0);
	return ss;
}

static inline struct trust *reopen(struct place *p)
{
	struct trust *t;

	assert_int_equal(trust_open(p->state_fd, TRUST_KNOWN, &t), 0);
	if (p->pins_fd < 0)
		p->pins_fd = openat(p->state_fd, "pins", O_RDONLY);
	assert_true(p->pins_fd >= 0);
	return t;
}

static inline int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	/* In memory where that is possible: thousands of fsyncs. */
	strcpy(p->path, "/dev/shm/gtfs-test-trust-XXXXXX");
	if (!mkdtemp(p->path)) {
		strcpy(p->path, "/tmp/gtfs-test-trust-XXXXXX");
		assert_non_null(mkdtemp(p->path));
	}
	p->state_fd = open(p->path, O_RDONLY | O_DIRECTORY);
	p->pins_fd = -1;
	*state = p;
	return 0;
}

static inline int teardown(void **state)
{
	struct place *p = *state;
	struct dirent *entry;
	DIR *d = p->pins_fd < 0 ? NULL : fdopendir(p->pins_fd);

	while (d && (entry = readdir(d)))
		if (unlinkat(p->pins_fd, entry->d_name, 0) < 0)
			unlinkat(p->pins_fd, entry->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	unlinkat(p->state_fd, "pins", AT_REMOVEDIR);
	close(p->state_fd);
	assert_int_equal(rmdir(p->path), 0);
	free(p);
	return 0;
}

/* How many names in pins/ contain this. */
static inline unsigned count(struct place *p, const char *part)
{
	struct dirent *entry;
	unsigned n = 0;
	DIR *d = fdopendir(openat(p->pins_fd, ".", O_RDONLY));

	assert_non_null(d);
	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.' && strstr(entry->d_name, part);
	closedir(d);
	return n;
}

static inline void put(struct place *p, const char *name, const void *bytes,
    size_t len, mode_t mode)
{
	int fd = openat(p->pins_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline struct trust_pin sample(unsigned n)
{
	struct trust_pin pin = { .name = "laptop", .policy = TRUST_ACCEPT };

	make_key(n, pin.key);
	pin.addresses[0] = address_of("10.0.0.7:4717");
	pin.addresses[1] = address_of("[fe80::1%1]:4717");
	pin.n_addresses = 2;
	pin.verified = pin.has_words = true;
	memset(pin.words, 0xa5, sizeof(pin.words));
	pin.quota_bytes = 1000000000;
	return pin;
}

static inline void assert_same_pin(
    const struct trust_pin *a, const struct trust_pin *b)
{
	char x[PINFILE_TEXT_MAX], y[PINFILE_TEXT_MAX];

	assert_int_equal(pinfile_encode(a, x), pinfile_encode(b, y));
	assert_string_equal(x, y);
}

#endif

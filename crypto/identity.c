/*
 * The key file and the fingerprint (identity.h). Runs on the main thread
 * before anything else starts; whether the directory itself is private is
 * its owner's to check (fs).
 *
 * A file is accepted if writing the key that it holds would give the same
 * bytes again: whatever was damaged, it is seen.
 */
#include "identity.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

/* Four lines: the format, the secret key, the public key, the check. */
#define VERSION_LINE       "gtfs identity v1\n"
#define SECRET_LABEL       "secret "
#define PUBLIC_LABEL       "public "
#define CHECK_LABEL        "check "
#define BASE64_CHARS       44 /* 32 bytes, with padding */

#define LITERAL(s)         (sizeof(s) - 1)
#define SECRET_AT          (LITERAL(VERSION_LINE) + LITERAL(SECRET_LABEL))
#define PUBLIC_AT          (SECRET_AT + BASE64_CHARS + 1 + LITERAL(PUBLIC_LABEL))
#define CHECKED            (PUBLIC_AT + BASE64_CHARS + 1)
#define CHECK_AT           (CHECKED + LITERAL(CHECK_LABEL))
#define TEXT_BYTES         (CHECK_AT + BASE64_CHARS + 1)
#define CHECK_DOMAIN       "gtfs identity check v1"

#define FINGERPRINT_DOMAIN "gtfs fingerprint v1"
#define FINGERPRINT_BYTES  20

_Static_assert(sodium_base64_ENCODED_LEN(IDENTITY_KEY_BYTES,
		   sodium_base64_VARIANT_ORIGINAL) == BASE64_CHARS + 1,
    "a key's characters and NUL");

int identity_generate(struct identity *ret)
{
	if (sodium_init() < 0)
		return -EIO;
	suite_dh_generate(ret->secret, ret->public);
	return 0;
}

void identity_fini(struct identity *id)
{
	sodium_munlock(id->secret, sizeof(id->secret)); /* it wipes them */
}

/* label, base64 and newline at text + at; the NUL falls on what comes next. */
static size_t put_line(
    char *text, size_t at, const char *label, const uint8_t bytes[32])
{
	size_t label_len = strlen(label);

	memcpy(text + at, label, label_len);
	at += label_len;
	sodium_bin2base64(text + at, BASE64_CHARS + 1, bytes, 32,
	    sodium_base64_VARIANT_ORIGINAL);
	at += BASE64_CHARS;
	text[at] = '\n';
	return at + 1;
}

static void render(const struct identity *id, char text[TEXT_BYTES])
{
	uint8_t check[32];
	size_t at = LITERAL(VERSION_LINE);

	memcpy(text, VERSION_LINE, at);
	at = put_line(text, at, SECRET_LABEL, id->secret);
	at = put_line(text, at, PUBLIC_LABEL, id->public);
	assert(at == CHECKED);
	suite_digest(CHECK_DOMAIN, text, at, check);
	at = put_line(text, at, CHECK_LABEL, check);
	assert(at == TEXT_BYTES);
}

static int parse(const char text[TEXT_BYTES], struct identity *ret)
{
	char again[TEXT_BYTES];
	struct identity id;
	size_t len;
	int r = -EBADMSG;

	if (sodium_base642bin(id.secret, sizeof(id.secret), text + SECRET_AT,
		BASE64_CHARS, NULL, &len, NULL,
		sodium_base64_VARIANT_ORIGINAL) == 0 &&
	    len == sizeof(id.secret)) {
		suite_dh_public(id.secret, id.public);
		render(&id, again);
		if (sodium_memcmp(text, again, TEXT_BYTES) == 0) {
			*ret = id;
			r = 0;
		}
	}
	sodium_memzero(again, sizeof(again));
	sodium_memzero(&id, sizeof(id));
	return r;
}

/* Reads exactly the file: -EBADMSG where it is shorter or longer. */
static int read_text(int fd, char ret_text[TEXT_BYTES + 1])
{
	size_t have = 0;

	while (have < TEXT_BYTES + 1) {
		ssize_t n = read(fd, ret_text + have, TEXT_BYTES + 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return have == TEXT_BYTES ? 0 : -EBADMSG;
}

static int load(int dirfd, const char *name, struct identity *ret)
{
	char text[TEXT_BYTES + 1];
	struct stat st;
	int fd;
	int r;

	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	fd = openat(dirfd, name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) /* a symlink; a socket */
		return errno == ELOOP || errno == ENXIO ? -EPERM : -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 ||
		 st.st_uid != geteuid())
		r = -EPERM;
	else
		r = read_text(fd, text);
	if (r == 0)
		r = parse(text, ret);
	sodium_memzero(text, sizeof(text));
	close(fd);
	return r;
}

/* Fills the new file and brings it to the disk. */
static int write_text(int fd)
{
	char text[TEXT_BYTES];
	struct identity id;
	size_t done = 0;
	int r;

	r = identity_generate(&id);
	if (r < 0)
		return r;
	render(&id, text);
	while (done < TEXT_BYTES) {
		ssize_t n = write(fd, text + done, TEXT_BYTES - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			goto wipe;
		}
		done += (size_t)n;
	}
	/* The umask may have taken bits that the owner needs. */
	if (fchmod(fd, 0600) < 0 || fsync(fd) < 0)
		r = -errno;
wipe:
	sodium_memzero(text, sizeof(text));
	identity_fini(&id);
	return r;
}

/*
 * Puts a complete file with a new key at name. Where another process was
 * quicker its file stays, and that is success: the caller loads what is there.
 */
static int create(int dirfd, const char *name)
{
	char temporary[NAME_MAX + 1];
	uint64_t random;
	int fd;
	int r;

	randombytes_buf(&random, sizeof(random));
	r = snprintf(temporary, sizeof(temporary), "%s.%016llx", name,
	    (unsigned long long)random);
	if (r < 0 || (size_t)r >= sizeof(temporary))
		return -ENAMETOOLONG;
	fd = openat(dirfd, temporary,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_text(fd);
	close(fd);
	/* A file system without hard links says EPERM (link(2)). */
	if (r == 0 && linkat(dirfd, temporary, dirfd, name, 0) < 0 &&
	    errno != EEXIST)
		r = errno == EPERM ? -EOPNOTSUPP : -errno;
	if (unlinkat(dirfd, temporary, 0) < 0 && r == 0)
		r = -errno;
	if (r == 0 && fsync(dirfd) < 0)
		r = -errno;
	return r;
}

int identity_load(int dirfd, const char *name, struct identity *ret)
{
	int r;

	if (sodium_init() < 0)
		return -EIO;
	r = load(dirfd, name, ret);
	if (r == -ENOENT) {
		r = create(dirfd, name);
		if (r == 0)
			r = load(dirfd, name, ret);
	}
	/* Where the system does not let us it may be swapped out. */
	if (r == 0)
		(void)sodium_mlock(ret->secret, sizeof(ret->secret));
	return r;
}

void identity_fingerprint(
    const uint8_t key[IDENTITY_KEY_BYTES], char ret_text[FINGERPRINT_CHARS])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t digest[32];
	unsigned bits = 0;
	unsigned have = 0;
	char *p = ret_text;

	suite_digest(FINGERPRINT_DOMAIN, key, IDENTITY_KEY_BYTES, digest);
	for (unsigned i = 0, n = 0; i < FINGERPRINT_BYTES; i++) {
		bits = bits << 8 | digest[i];
		for (have += 8; have >= 5; n++) {
			if (n > 0 && n % 4 == 0)
				*p++ = '-';
			have -= 5;
			*p++ = alphabet[bits >> have & 31];
		}
	}
	*p++ = '\0';
	assert(p == ret_text + FINGERPRINT_CHARS);
}

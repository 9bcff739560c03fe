/*
 * The attributes of a received file. Runs in the threads that receive, before
 * the file has a visible name, and from renames.
 */
#include "provenance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define TIME_FORMAT "%Y-%m-%dT%H:%M:%SZ"

/* 0 too where no file can have any. */
static int set(int fd, const char *name, const char *value)
{
	if (!fsetxattr(fd, name, value, strlen(value), 0) ||
	    errno == EOPNOTSUPP)
		return 0;
	return errno == E2BIG || errno == ERANGE ? -ENOSPC : -errno;
}

static void id_text(
    const uint8_t id[WIRE_ID_BYTES], char ret[2 * WIRE_ID_BYTES + 1])
{
	for (size_t i = 0; i < WIRE_ID_BYTES; i++)
		snprintf(ret + 2 * i, 3, "%02x", id[i]);
}

void provenance_arrived(int fd, const char *name)
{
	time_t now = time(NULL);
	char when[32];
	struct tm tm;

	provenance_rename(fd, name);
	if (gmtime_r(&now, &tm) &&
	    strftime(when, sizeof(when), TIME_FORMAT, &tm))
		(void)set(fd, "user.gtfs.received", when);
}

int provenance_set(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const char *name)
{
	char from[FINGERPRINT_CHARS], hex[2 * WIRE_ID_BYTES + 1];
	int r;

	identity_fingerprint(sender, from);
	id_text(id, hex);
	r = set(fd, "user.gtfs.from", from);
	if (!r)
		r = set(fd, "user.gtfs.id", hex);
	if (!r)
		provenance_arrived(fd, name);
	return r;
}

int provenance_read(
    int fd, char ret_name[WIRE_NAME_MAX + 1], int64_t *ret_received)
{
	char name[WIRE_NAME_MAX + 1], when[32];
	struct tm tm = { .tm_mday = 0 };
	const char *end;
	ssize_t len;

	len = fgetxattr(fd, "user.gtfs.received", when, sizeof(when) - 1);
	if (len < 0)
		return -ENODATA;
	when[len] = '\0';
	end = strptime(when, TIME_FORMAT, &tm);
	if (!end || *end)
		return -ENODATA;
	len = fgetxattr(fd, "user.gtfs.name", name, sizeof(name) - 1);
	if (len < 0)
		return -ENODATA;
	name[len] = '\0';
	memcpy(ret_name, name, sizeof(name));
	*ret_received = timegm(&tm);
	return 0;
}

void provenance_rename(int fd, const char *name)
{
	(void)set(fd, "user.gtfs.name", name);
}

/* Has the attribute this value? False where there is none. */
static bool says(int fd, const char *name, const char *value)
{
	char got[FINGERPRINT_CHARS + 2 * WIRE_ID_BYTES];
	ssize_t len = fgetxattr(fd, name, got, sizeof(got));

	return len == (ssize_t)strlen(value) &&
	       !memcmp(got, value, (size_t)len);
}

bool provenance_any(int fd)
{
	return fgetxattr(fd, "user.gtfs.id", NULL, 0) > 0;
}

bool provenance_names(int fd, const char *hex)
{
	return says(fd, "user.gtfs.id", hex);
}

bool provenance_is(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES])
{
	char from[FINGERPRINT_CHARS], hex[2 * WIRE_ID_BYTES + 1];

	identity_fingerprint(sender, from);
	id_text(id, hex);
	return says(fd, "user.gtfs.from", from) &&
	       says(fd, "user.gtfs.id", hex);
}

bool provenance_differs(int fd, const uint8_t id[WIRE_ID_BYTES])
{
	char hex[2 * WIRE_ID_BYTES + 1], got[2 * WIRE_ID_BYTES];

	id_text(id, hex);
	return fgetxattr(fd, "user.gtfs.id", got, sizeof(got)) ==
		   (ssize_t)sizeof(got) &&
	       memcmp(got, hex, sizeof(got)) != 0;
}

static bool is_same(int a, int b, const char *name)
{
	char in_a[FINGERPRINT_CHARS + 2 * WIRE_ID_BYTES], in_b[sizeof(in_a)];
	ssize_t len = fgetxattr(a, name, in_a, sizeof(in_a));

	return len > 0 && fgetxattr(b, name, in_b, sizeof(in_b)) == len &&
	       !memcmp(in_a, in_b, (size_t)len);
}

bool provenance_same(int a, int b)
{
	return is_same(a, b, "user.gtfs.from") && is_same(a, b, "user.gtfs.id");
}

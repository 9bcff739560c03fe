/*
 * The attributes of a received file. Runs in the threads that receive, from
 * the commit, before the file has a visible name, and from renames.
 */
#include "provenance.h"

#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

static void set(int fd, const char *name, const char *value)
{
	(void)fsetxattr(fd, name, value, strlen(value), 0);
}

static void id_text(
    const uint8_t id[WIRE_ID_BYTES], char ret[2 * WIRE_ID_BYTES + 1])
{
	for (size_t i = 0; i < WIRE_ID_BYTES; i++)
		snprintf(ret + 2 * i, 3, "%02x", id[i]);
}

void provenance_set(int fd, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const char *name)
{
	char from[FINGERPRINT_CHARS], hex[2 * WIRE_ID_BYTES + 1], when[32];
	time_t now = time(NULL);
	struct tm tm;

	identity_fingerprint(sender, from);
	set(fd, "user.gtfs.from", from);
	set(fd, "user.gtfs.name", name);
	id_text(id, hex);
	set(fd, "user.gtfs.id", hex);
	if (gmtime_r(&now, &tm) &&
	    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm))
		set(fd, "user.gtfs.received", when);
}

void provenance_rename(int fd, const char *name)
{
	set(fd, "user.gtfs.name", name);
}

bool provenance_differs(int fd, const uint8_t id[WIRE_ID_BYTES])
{
	char hex[2 * WIRE_ID_BYTES + 1], got[2 * WIRE_ID_BYTES];

	id_text(id, hex);
	return fgetxattr(fd, "user.gtfs.id", got, sizeof(got)) ==
		   (ssize_t)sizeof(got) &&
	       memcmp(got, hex, sizeof(got)) != 0;
}

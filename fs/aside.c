/*
 * The notes, and what they say after a death. Runs in the threads that receive,
 * through fs/place and fs/linkplace, and at start, through fs/held_open.
 *
 * A note is two lines and a name, compared as text: what gtfs's own file was,
 * and what the other one was expected to be; "-" for none. The device is not
 * part of it, because its number may be another one after a reboot.
 */
#include "aside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "linkplace.h"
#include "log.h"
#include "provenance.h"
#include "publish.h"
#include "spool.h"

#define SUFFIX       ".was"
#define TEMP         ".new"
#define UNKNOWN_NAME "recovered file"
#define PATH_BYTES   (WIRE_NAME_MAX + sizeof(SUFFIX TEMP))
#define LINE_BYTES   160
#define NOTE_BYTES   (2 * LINE_BYTES + WIRE_NAME_MAX + 1)

/* What stands under a name in the spool. */
enum what {
	NOTHING,
	OURS,     /* as nothing was exchanged; or there is no note */
	EXPECTED, /* came out of the inbox, and is gtfs's too */
	FOREIGN,
};

/* As stamp_moved compares it. */
static void line_of(const struct stamp *s, char ret[LINE_BYTES])
{
	if (!s) {
		snprintf(ret, LINE_BYTES, "-\n");
		return;
	}
	snprintf(ret, LINE_BYTES,
	    "%" PRIu64 " %" PRId64 ".%09" PRIu32 " %" PRIu64 " %" PRIo32
	    " %" PRId64 ".%09" PRIu32 "\n",
	    s->ino, (int64_t)s->born.sec, (uint32_t)s->born.nsec, s->size,
	    s->mode, (int64_t)s->mtime.sec, (uint32_t)s->mtime.nsec);
}

int aside_note(int spool, const char *name, const struct stamp *ours,
    const struct stamp *expected, const char *visible)
{
	char path[PATH_BYTES], temp[PATH_BYTES], note[NOTE_BYTES];
	char line[LINE_BYTES], other[LINE_BYTES];
	int fd, len, r = 0;

	snprintf(path, sizeof(path), "%s" SUFFIX, name);
	snprintf(temp, sizeof(temp), "%s" SUFFIX TEMP, name);
	line_of(ours, line);
	line_of(expected, other);
	len = snprintf(note, sizeof(note), "%s%s%s", line, other, visible);
	fd = beneath_open(
	    spool, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	/* On a full disk an empty one does: all is somebody else's then. */
	if (len < 0 ||
	    (write(fd, note, (size_t)len) != len && ftruncate(fd, 0)))
		r = -errno;
	close(fd);
	if (!r && renameat(spool, temp, spool, path))
		r = -errno;
	if (r)
		(void)unlinkat(spool, temp, 0);
	return r;
}

void aside_done(int spool, const char *name)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s" SUFFIX, name);
	(void)unlinkat(spool, path, 0);
}

/* 0 or -errno. */
static int read_note(int spool, const char *name, char ret[NOTE_BYTES])
{
	char path[PATH_BYTES];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s" SUFFIX, name);
	fd = beneath_open(spool, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	n = read(fd, ret, NOTE_BYTES - 1);
	close(fd);
	/* Unreadable is as good as empty. */
	ret[n > 0 ? n : 0] = '\0';
	return 0;
}

/*
 * Does it say that it is from the transfer whose id is in its name in the
 * spool? So it is what the spool got for that, as a note that a loss of power
 * has emptied cannot say: it goes nowhere but where its record says.
 */
static bool is_named_for(int spool, const char *name)
{
	char hex[2 * WIRE_ID_BYTES + 1];
	bool is;
	int fd;

	if (!spool_name_ok(name))
		return false;
	fd = beneath_open(spool, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	spool_name_id(name, hex);
	is = provenance_names(fd, hex);
	close(fd);
	return is;
}

/* *ret_visible: for FOREIGN. 0 or -errno. */
static int look(int spool, const char *name, enum what *ret,
    char ret_visible[WIRE_NAME_MAX + 1])
{
	char note[NOTE_BYTES], line[LINE_BYTES], *second, *third;
	struct stamp now;
	int r = stamp_at(spool, name, &now);

	if (r) {
		*ret = NOTHING;
		return r == -ENOENT ? 0 : r;
	}
	r = read_note(spool, name, note);
	if (r) {
		*ret = OURS;
		return r == -ENOENT ? 0 : r;
	}
	line_of(&now, line);
	second = strchr(note, '\n');
	third = second ? strchr(++second, '\n') : NULL;
	third = third ? third + 1 : note + strlen(note);
	if (second && !strncmp(note, line, strlen(line)))
		*ret = OURS;
	else if (second && !strncmp(second, line, strlen(line)))
		*ret = EXPECTED;
	else if (!*note && is_named_for(spool, name))
		*ret = OURS;
	else
		*ret = FOREIGN;
	/* In the place of nothing, it is what is to stay in the spool. */
	if (*ret == EXPECTED && *note == '-')
		*ret = OURS;
	snprintf(ret_visible, WIRE_NAME_MAX + 1, "%s",
	    wire_name_ok(third, strlen(third)) ? third : UNKNOWN_NAME);
	return 0;
}

void aside_drop(int spool, const char *name)
{
	char visible[WIRE_NAME_MAX + 1];
	enum what what;

	if (look(spool, name, &what, visible) || what == FOREIGN)
		return;
	(void)unlinkat(spool, name, 0);
	aside_done(spool, name);
}

/* --- at start ----------------------------------------------------------------
 */

static void give_back(
    const struct spool *sp, int top, const char *name, const char *visible)
{
	char got[WIRE_NAME_MAX + 1];
	int r = publish_file(sp->fd, name, top, true, visible, got);

	if (!r && sp->durable && fsync(top))
		r = -errno;
	if (r) {
		log_error("a file of the inbox is left in its spool: %s",
		    strerror(-r));
		return;
	}
	log_warning("a file of the inbox that was left in its spool is back");
}

static void rescue(const struct spool *sp, int top, const char *name)
{
	char visible[WIRE_NAME_MAX + 1];
	struct stamp now;
	enum what what;

	if (look(sp->fd, name, &what, visible))
		return;
	if (what == FOREIGN)
		give_back(sp, top, name, visible);
	else if (what == EXPECTED || linkplace_name_ok(name))
		(void)unlinkat(sp->fd, name, 0);
	if (what != FOREIGN || stamp_at(sp->fd, name, &now))
		aside_done(sp->fd, name);
}

/* *ret: the name that it is the note of. */
static bool is_note(const char *name, char ret[WIRE_NAME_MAX + 1])
{
	size_t len = strlen(name), end = strlen(SUFFIX);

	if (len <= end || strcmp(name + len - end, SUFFIX) != 0)
		return false;
	snprintf(ret, WIRE_NAME_MAX + 1, "%.*s", (int)(len - end), name);
	return spool_name_ok(ret) || linkplace_name_ok(ret);
}

int aside_rescue(const struct spool *sp, int top)
{
	char name[WIRE_NAME_MAX + 1];
	const struct dirent *e;
	DIR *d;
	int r = spool_list(sp, &d);

	if (r)
		return r;
	while ((e = readdir(d)))
		if (is_note(e->d_name, name))
			rescue(sp, top, name);
		else if (linkplace_name_ok(e->d_name))
			rescue(sp, top, e->d_name);
		else if (spool_is_foreign(sp, e))
			give_back(sp, top, e->d_name, e->d_name);
	closedir(d);
	return 0;
}

bool aside_waits(int spool, const char *name)
{
	char of[WIRE_NAME_MAX + 1], path[PATH_BYTES];
	struct stamp now;

	if (is_note(name, of))
		return true;
	snprintf(path, sizeof(path), "%s" SUFFIX, name);
	return !stamp_at(spool, path, &now);
}

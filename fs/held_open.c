/*
 * Recovery. Runs once, in main's thread, from inbox_open.
 *
 * Nothing is believed here but that a file with a record beside it is whole: it
 * was durable before the record was. So it is shown, whatever the record says.
 */
#include "held_open.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "beneath.h"
#include "delivered.h"
#include "held.h"
#include "inbox_internal.h"
#include "log.h"
#include "place.h"
#include "provenance.h"

#define UNKNOWN_NAME "recovered file"

/* name without HELD_SUFFIX, if it is that of a record. */
static bool is_record(const char *name, char ret[SPOOL_NAME_BYTES])
{
	size_t len = SPOOL_NAME_BYTES - 1;

	if (strlen(name) != len + strlen(HELD_SUFFIX) ||
	    strcmp(name + len, HELD_SUFFIX))
		return false;
	memcpy(ret, name, len);
	ret[len] = '\0';
	return spool_name_ok(ret);
}

static int each_record(
    struct inbox *in, void (*what)(struct inbox *in, const char *name))
{
	char name[SPOOL_NAME_BYTES];
	const struct dirent *e;
	DIR *d;
	int r = spool_list(&in->spool, &d);

	if (r)
		return r;
	while ((e = readdir(d)))
		if (is_record(e->d_name, name))
			what(in, name);
	closedir(d);
	return 0;
}

/* The last life had come as far as the record of what replaces these. */
static void drop_replaced(struct inbox *in, const char *name)
{
	struct held_record record;

	if (held_read(&in->spool, name, &record))
		return;
	for (size_t i = 0; i < HELD_OVER; i++)
		if (record.over[i][0] && strcmp(record.over[i], name))
			held_drop(&in->spool, record.over[i]);
}

/*
 * Opens where it goes, or the top: a directory that was removed or renamed is
 * not made a second time.
 */
static int open_parent(struct inbox *in, struct held_record *record)
{
	const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
	int fd = -ENOENT;

	if (record->path[0])
		fd = beneath_open(in->fd, record->path, how, 0);
	if (fd < 0) {
		record->path[0] = '\0';
		fd = beneath_open(in->fd, ".", how, 0);
	}
	return fd;
}

static void remember(struct inbox *in, const struct held_record *record,
    int dir, const struct place *p)
{
	struct delivered_file file = { .held = false };

	memcpy(file.sender, record->sender, sizeof(file.sender));
	memcpy(file.id, record->id, sizeof(file.id));
	/* The ids of directories are forgotten; the top has none. */
	if (record->path[0])
		memcpy(file.parent, record->parent, sizeof(file.parent));
	memcpy(file.want, record->want, sizeof(file.want));
	memcpy(file.name, p->name, sizeof(p->name));
	memcpy(file.peer, record->peer, sizeof(file.peer));
	file.foreign = p->how == PLACE_TWIN;
	file.stamp = p->now;
	if (!delivered_place(dir, file.place) &&
	    !delivered_add(in->delivered, &file))
		delivered_end(in->delivered, &file, NULL);
}

static int show(struct inbox *in, const char *name, struct held_record *record,
    const struct stamp *stamp)
{
	char path[PATH_MAX + WIRE_NAME_MAX + 2];
	struct place p = { .in = in,
		.from = in->spool.fd,
		.from_name = name,
		.stamp = *stamp,
		.unasked = true,
		.promised = true,
		.sender = record->sender,
		.want = record->want };
	int r;

	p.dir = open_parent(in, record);
	if (p.dir < 0)
		return p.dir;
	p.top = !record->path[0];
	r = place_take(&p);
	if (r)
		goto close_dir;
	if (in->config.durable && fsync(p.dir)) {
		r = -errno;
		place_undo(&p, NULL);
		goto close_dir;
	}
	(void)held_forget(&in->spool, name);
	place_settle(&p);
	remember(in, record, p.dir, &p);
	if (in->config.arrived) {
		snprintf(path, sizeof(path), "%s%s%s", record->path,
		    p.top ? "" : "/", p.name);
		in->config.arrived(
		    in->config.ctx, path, record->peer, stamp->size);
	}
close_dir:
	close(p.dir);
	return r;
}

/*
 * Is this what the record speaks of, or an earlier delivery that it was
 * exchanged with, in the last moment of a former life?
 */
static bool was_shown(
    struct inbox *in, const char *name, const struct held_record *record)
{
	int fd = beneath_open(
	    in->spool.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	bool other = fd >= 0 && provenance_differs(fd, record->id);

	if (fd >= 0)
		close(fd);
	return other;
}

static void recover(struct inbox *in, const char *name)
{
	struct held_record record = { .want = "" };
	struct stamp stamp;
	int r;

	if (aside_waits(in->spool.fd, name))
		return;
	r = stamp_at(in->spool.fd, name, &stamp);
	if (r == -ENOENT || (!r && !S_ISREG(stamp.mode))) {
		(void)held_forget(&in->spool, name);
		return;
	}
	if (!r)
		r = held_read(&in->spool, name, &record);
	if (r == -EBADMSG) {
		log_warning("the name of a file that was held is lost; it is "
			    "shown as \"" UNKNOWN_NAME "\"");
		snprintf(record.want, sizeof(record.want), UNKNOWN_NAME);
		r = 0;
	} else if (!r && was_shown(in, name, &record)) {
		held_drop(&in->spool, name);
		return;
	}
	if (!r)
		r = show(in, name, &record, &stamp);
	if (r)
		log_warning("a file that was held cannot be shown: %s; it is "
			    "tried again at the next start",
		    strerror(-r));
}

/* What could not be shown, and its record. */
static bool is_held(void *arg, const char *name)
{
	char held[SPOOL_NAME_BYTES + sizeof(HELD_SUFFIX)];
	struct inbox *in = arg;
	struct stat st;

	if (is_record(name, held) || aside_waits(in->spool.fd, name))
		return true;
	if (!spool_name_ok(name))
		return false;
	snprintf(held, sizeof(held), "%s%s", name, HELD_SUFFIX);
	return !fstatat(in->spool.fd, held, &st, AT_SYMLINK_NOFOLLOW);
}

int held_open(struct inbox *in)
{
	int r = aside_rescue(&in->spool, in->fd);

	if (!r)
		r = each_record(in, drop_replaced);
	if (!r)
		r = each_record(in, recover);
	if (!r)
		r = spool_remove_orphans(&in->spool, is_held, in);
	return r;
}

/*
 * renameat2(2) and what it leaves to be looked at afterwards. Runs in the
 * threads that receive, through fs/links.
 *
 * unlink(2) removes whatever has the name by then. So a link that is to go is
 * first moved to a name in the spool, where nobody else acts, looked at there,
 * and moved back if it was not ours.
 */
#include "linkplace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "beneath.h"
#include "log.h"
#include "publish.h"
#include "random.h"

void linkplace_name(char ret[LINKPLACE_NAME_BYTES])
{
	uint64_t bits[2];

	random_bytes(bits, sizeof(bits));
	snprintf(ret, LINKPLACE_NAME_BYTES, "link-%016" PRIx64 "%016" PRIx64,
	    bits[0], bits[1]);
}

bool linkplace_name_ok(const char *name)
{
	return strlen(name) == LINKPLACE_NAME_BYTES - 1 &&
	       !strncmp(name, "link-", 5) &&
	       strspn(name + 5, "0123456789abcdef") == 32;
}

/* The link itself, opened with O_PATH; -ESTALE: there is none. */
static int open_link(int dir, const char *name, struct stamp *ret)
{
	int fd = beneath_open(dir, name, O_PATH | O_NOFOLLOW, 0), r;

	if (fd < 0)
		return fd == -ENOENT || fd == -EXDEV ? -ESTALE : fd;
	r = stamp_of(fd, ret);
	if (!r && !S_ISLNK(ret->mode))
		r = -ESTALE;
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

int linkplace_look(
    int dir, const char *name, struct stamp *ret, char ret_target[PATH_MAX])
{
	struct stamp s;
	ssize_t len;
	int fd, r = 0;

	fd = open_link(dir, name, &s);
	if (fd < 0)
		return fd;
	len = readlinkat(fd, "", ret_target, PATH_MAX - 1);
	if (len < 0) {
		r = -errno;
	} else {
		ret_target[len] = '\0';
		*ret = s;
	}
	close(fd);
	return r;
}

int linkplace_times(int dir, const char *name, const struct stamp *was,
    const struct wire_meta *m, struct stamp *ret)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_nsec = UTIME_OMIT } };
	struct stamp now;
	int fd, r = 0;

	if (m->mask & WIRE_META_ATIME) {
		ts[0].tv_sec = m->atime.sec;
		ts[0].tv_nsec = m->atime.nsec;
	}
	if (m->mask & WIRE_META_MTIME) {
		ts[1].tv_sec = m->mtime.sec;
		ts[1].tv_nsec = m->mtime.nsec;
	}
	fd = open_link(dir, name, &now);
	if (fd < 0)
		return fd;
	if (!stamp_untouched(was, &now))
		r = -ESTALE;
	/* utimensat(2): AT_EMPTY_PATH, so on this inode and no other. */
	else if (utimensat(fd, "", ts, AT_EMPTY_PATH))
		r = -errno;
	if (!r)
		r = stamp_of(fd, ret);
	close(fd);
	return r;
}

struct move {
	int from;
	const char *name;
	int to;
	bool same;
};

/* Without RENAME_NOREPLACE link(2), which replaces nothing either. */
static int take_name(void *arg, const char *name)
{
	const struct move *m = arg;

	/* Where it has the name already, that is no reason for another one. */
	if (m->same && !strcmp(m->name, name))
		return 0;
	if (!renameat2(m->from, m->name, m->to, name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(m->from, m->name, m->to, name, 0))
		return -errno;
	(void)unlinkat(m->from, m->name, 0);
	return 0;
}

int linkplace_move(int from, const char *name, int dir, bool same,
    const char *want, char ret_name[WIRE_NAME_MAX + 1])
{
	struct move m = { .from = from, .name = name, .to = dir, .same = same };
	int r =
	    publish_choose(want, PUBLISH_FILE, false, take_name, &m, ret_name);

	return r == -ENOENT ? -ESTALE : r;
}

/* Not ours came into the spool. Its note goes when it is back. */
static void give_back(int spool, const char *name, int dir, const char *want)
{
	char back[WIRE_NAME_MAX + 1];
	int r = linkplace_move(spool, name, dir, false, want, back);

	if (r)
		log_error("a file of the inbox is left in its spool: %s",
		    strerror(-r));
	else
		aside_done(spool, name);
}

int linkplace_remove(
    int spool, int dir, const char *name, const struct stamp *was)
{
	char aside[LINKPLACE_NAME_BYTES];
	struct stamp now;
	int r;

	linkplace_name(aside);
	r = aside_note(spool, aside, NULL, was, name);
	if (r)
		return r;
	if (renameat(dir, name, spool, aside)) {
		r = errno == ENOENT ? -ESTALE : -errno;
		aside_done(spool, aside);
		return r;
	}
	r = stamp_at(spool, aside, &now);
	if (!r && !stamp_moved(was, &now))
		r = -ESTALE;
	if (!r && unlinkat(spool, aside, 0))
		r = -errno;
	if (r)
		give_back(spool, aside, dir, name);
	else
		aside_done(spool, aside);
	return r;
}

static bool is_there(int dir, const char *name, const struct stamp *expected)
{
	struct stamp now;

	return !stamp_at(dir, name, &now) && stamp_moved(expected, &now);
}

int linkplace_exchange(int spool, int from, const char *name, int dir,
    const char *old, const struct stamp *was)
{
	char back[WIRE_NAME_MAX + 1];
	struct stamp mine;

	if (stamp_at(from, name, &mine) ||
	    (from == spool && aside_note(spool, name, &mine, was, old)) ||
	    renameat2(from, name, dir, old, RENAME_EXCHANGE))
		return 1;
	if (is_there(from, name, was))
		return 0;
	/* Somebody else's: back to where it was, whatever stands there now. */
	if (!renameat2(from, name, dir, old, RENAME_EXCHANGE) &&
	    is_there(from, name, &mine))
		return 1;
	if (from == spool)
		give_back(spool, name, dir, old);
	else
		(void)linkplace_move(from, name, dir, false, old, back);
	return 1;
}

static void refresh(int dir, const char *name, struct stamp *s)
{
	struct stamp now;

	if (!stamp_at(dir, name, &now) && stamp_moved(s, &now))
		*s = now;
}

void linkplace_exchange_back(int spool, int from, const char *name, int dir,
    const char *old, struct stamp *was, struct stamp *mine)
{
	if (linkplace_exchange(spool, from, name, dir, old, mine))
		return;
	refresh(dir, old, was);
	refresh(from, name, mine);
}

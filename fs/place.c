/*
 * renameat2(2), and looking at what it did. Runs in the threads that receive,
 * through fs/arrival_commit, fs/deliveries and fs/held_open; which file may
 * replace which, and what is remembered of it, is theirs.
 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "inbox_internal.h"
#include "log.h"
#include "publish.h"
#include "twin.h"

/* "name (9)" and beyond are not read: a close() waits for this. */
#define COMPARED_MAX 8

static int exchange(int a, const char *a_name, int b, const char *b_name)
{
	return renameat2(a, a_name, b, b_name, RENAME_EXCHANGE) ? -errno : 0;
}

/* Is there a file at name that is expected, or was at most moved? */
static bool is_there(int dir, const char *name, const struct stamp *expected)
{
	struct stamp now;

	return !stamp_at(dir, name, &now) && stamp_moved(expected, &now);
}

/*
 * Somebody else's file has come to where ours was: it goes back to its name.
 * Where even that has changed meanwhile, it gets the next free name.
 */
static void give_back(struct place *p, const char *name)
{
	char got[WIRE_NAME_MAX + 1];
	int r;

	r = exchange(p->from, p->from_name, p->dir, name);
	if (!r && is_there(p->from, p->from_name, &p->stamp))
		return;
	r = publish_file(p->from, p->from_name, p->dir, p->top, name, got);
	if (r)
		log_error("a file of the inbox is left in its spool: %s",
		    strerror(-r));
}

static int take_over(struct place *p)
{
	const struct delivered_file *over = p->over;
	struct stamp now;
	int r;

	r = stamp_at(p->dir, over->name, &now);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!stamp_untouched(&over->stamp, &now))
		return -ESTALE;
	r = exchange(p->from, p->from_name, p->dir, over->name);
	if (r == -EINVAL || r == -ENOSYS)
		return -EOPNOTSUPP;
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	r = stamp_at(p->from, p->from_name, &now);
	if (r || !stamp_moved(&over->stamp, &now)) {
		give_back(p, over->name);
		return -ESTALE;
	}
	p->how = PLACE_OVER;
	p->old = now;
	snprintf(p->name, sizeof(p->name), "%s", over->name);
	return 0;
}

static bool is_visible(const struct place *p)
{
	return p->from != p->in->spool.fd;
}

/*
 * A move from a visible name. Without RENAME_NOREPLACE the old name is removed
 * in a second step, which must not remove what somebody has put there since.
 */
static int move_visible(struct place *p, const char *name)
{
	struct stamp linked;
	int r;

	if (!renameat2(p->from, p->from_name, p->dir, name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(p->from, p->from_name, p->dir, name, 0))
		return -errno;
	r = stamp_at(p->from, p->from_name, &linked);
	if (!r && stamp_moved(&p->stamp, &linked))
		(void)place_remove(p->in, p->from, p->from_name, &linked);
	return 0;
}

static int take_candidate(void *arg, const char *name)
{
	struct place *p = arg;
	int r = is_visible(p)
		    ? move_visible(p, name)
		    : publish_move(p->from, p->from_name, p->dir, name);

	p->how = PLACE_FREE;
	if (r != -EEXIST)
		return r;
	if (p->compared++ >= COMPARED_MAX)
		return -EEXIST;
	if (!twin_find(p->in, p->from, p->from_name, &p->stamp, p->dir, name,
		p->over ? &p->over->stamp : NULL))
		return -EEXIST;
	p->how = PLACE_TWIN;
	return 0;
}

int place_take(struct place *p)
{
	int r = -ESTALE;

	/* What was swapped in is not published in the sender's name. */
	if (!is_there(p->from, p->from_name, &p->stamp))
		return -ESTALE;
	if (p->over) {
		r = take_over(p);
		if (r && (p->exact || (r != -ESTALE && r != -EOPNOTSUPP)))
			return r;
	}
	if (r)
		r = publish_choose(
		    p->want, PUBLISH_FILE, p->top, take_candidate, p, p->name);
	if (r)
		return r;
	r = stamp_at(p->dir, p->name, &p->now);
	if (p->how == PLACE_FREE && !r && !stamp_same(&p->stamp, &p->now)) {
		/* Not ours was moved: somebody put it there just before. */
		(void)publish_move(p->dir, p->name, p->from, p->from_name);
		return -ESTALE;
	}
	/* Touched since: known by what it was, and so never changed again. */
	if (p->how != PLACE_TWIN && (r || !stamp_moved(&p->stamp, &p->now)))
		p->now = p->stamp;
	return 0;
}

static void undo_over(struct place *p, struct delivered_file *over)
{
	struct stamp now;

	if (exchange(p->from, p->from_name, p->dir, p->name))
		return;
	if (!is_there(p->from, p->from_name, &p->stamp))
		give_back(p, p->name);
	else if (!stamp_at(p->dir, p->name, &now) && stamp_moved(&p->old, &now))
		over->stamp = now;
}

void place_undo(struct place *p, struct delivered_file *over)
{
	int r;

	if (p->how == PLACE_TWIN || !is_there(p->dir, p->name, &p->stamp))
		return;
	if (p->how == PLACE_OVER) {
		undo_over(p, over);
		return;
	}
	r = publish_move(p->dir, p->name, p->from, p->from_name);
	/* From the inbox it has to be gone, whatever it takes. */
	if (r && !is_visible(p) && is_there(p->dir, p->name, &p->stamp))
		(void)unlinkat(p->dir, p->name, 0);
}

void place_settle(struct place *p)
{
	const struct stamp *rest = p->how == PLACE_OVER ? &p->old : &p->stamp;

	if (p->how == PLACE_FREE)
		return;
	if (!is_visible(p))
		(void)unlinkat(p->from, p->from_name, 0);
	else
		(void)place_remove(p->in, p->from, p->from_name, rest);
}

int place_out(struct inbox *in, int dir, const char *name,
    const struct stamp *expected, const char *spool_name)
{
	char got[WIRE_NAME_MAX + 1];
	struct stamp now;
	int r;

	r = stamp_at(dir, name, &now);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!stamp_untouched(expected, &now))
		return -ESTALE;
	/* Nobody else makes names there: it replaces nothing. */
	if (renameat(dir, name, in->spool.fd, spool_name))
		return errno == ENOENT ? -ESTALE : -errno;
	if (is_there(in->spool.fd, spool_name, expected))
		return 0;
	r = publish_move(in->spool.fd, spool_name, dir, name);
	if (r == -EEXIST)
		r = publish_file(
		    in->spool.fd, spool_name, dir, false, name, got);
	if (r)
		log_error("a file of the inbox is left in its spool: %s",
		    strerror(-r));
	return -ESTALE;
}

int place_remove(
    struct inbox *in, int dir, const char *name, const struct stamp *expected)
{
	char spool[SPOOL_NAME_BYTES];
	uint8_t nobody[IDENTITY_KEY_BYTES] = { 0 };
	int r;

	r = spool_name(nobody, nobody, spool);
	if (!r)
		r = place_out(in, dir, name, expected, spool);
	if (r)
		return r;
	if (in->config.durable && fsync(dir)) {
		r = -errno;
		(void)publish_move(in->spool.fd, spool, dir, name);
		return r;
	}
	(void)unlinkat(in->spool.fd, spool, 0);
	return 0;
}

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
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "inbox_internal.h"
#include "log.h"
#include "provenance.h"
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

static bool is_visible(const struct place *p)
{
	return p->from != p->in->spool.fd;
}

/* What the note is about has been looked at. There is none of a visible name.
 */
static void forget_note(const struct place *p)
{
	if (!is_visible(p))
		aside_done(p->from, p->from_name);
}

/* What is not ours gets the next free name. Else its note says so later. */
static int publish_again(struct inbox *in, const char *spool_name, int dir,
    bool top, const char *want)
{
	char got[WIRE_NAME_MAX + 1];
	int r = publish_file(in->spool.fd, spool_name, dir, top, want, got);

	if (r)
		log_error("a file of the inbox is left in its spool: %s",
		    strerror(-r));
	else
		aside_done(in->spool.fd, spool_name);
	return r;
}

/*
 * Somebody else's file has come to where ours was: it goes back to its name.
 * Where even that has changed meanwhile, it gets the next free name.
 */
static void give_back(struct place *p, const char *name)
{
	if (!exchange(p->from, p->from_name, p->dir, name) &&
	    is_there(p->from, p->from_name, &p->stamp))
		forget_note(p);
	else if (!is_visible(p))
		(void)publish_again(p->in, p->from_name, p->dir, p->top, name);
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
	if (!is_visible(p))
		r = aside_note(
		    p->from, p->from_name, &p->stamp, &over->stamp, over->name);
	if (r)
		return r;
	r = exchange(p->from, p->from_name, p->dir, over->name);
	if (r)
		forget_note(p);
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

static int take(struct place *p)
{
	int r = -ESTALE;

	/* What was swapped in is not published in the sender's name. */
	if (!is_there(p->from, p->from_name, &p->stamp))
		return -ESTALE;
	if (p->over) {
		r = take_over(p);
		if (r && (p->exact || (r != -ESTALE && r != -EOPNOTSUPP)))
			return r;
		/* What did not find back is not published in our name. */
		if (r && !is_there(p->from, p->from_name, &p->stamp))
			return -ESTALE;
	}
	if (r)
		r = publish_choose(
		    p->want, PUBLISH_FILE, p->top, take_candidate, p, p->name);
	if (r)
		return r;
	r = stamp_at(p->dir, p->name, &p->now);
	if (is_visible(p) && p->how == PLACE_FREE && !r &&
	    !stamp_same(&p->stamp, &p->now)) {
		/* Not ours was moved: somebody put it there just before. */
		(void)publish_move(p->dir, p->name, p->from, p->from_name);
		return -ESTALE;
	}
	/* Touched since: known by what it was, and so never changed again. */
	if (p->how != PLACE_TWIN && (r || !stamp_moved(&p->stamp, &p->now)))
		p->now = p->stamp;
	return 0;
}

/*
 * Has somebody set the times of this directory? What is put into one sets both
 * to the same instant.
 */
static bool has_own_times(int dir, struct stamp *ret)
{
	return !stamp_of(dir, ret) &&
	       !stamp_time_equal(&ret->mtime, &ret->ctime);
}

int place_take(struct place *p)
{
	bool keeps;
	struct stamp before, now;
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT } };
	int r;

	keeps = p->unasked && has_own_times(p->dir, &before) &&
		provenance_any(p->dir);
	r = take(p);
	/* Times that were set while this was done are newer. */
	if (keeps && !has_own_times(p->dir, &now)) {
		ts[1].tv_sec = before.mtime.sec;
		ts[1].tv_nsec = before.mtime.nsec;
		(void)futimens(p->dir, ts);
	}
	return r;
}

static void undo_over(struct place *p, struct delivered_file *over)
{
	struct stamp now;

	if (exchange(p->from, p->from_name, p->dir, p->name))
		return;
	if (!is_there(p->from, p->from_name, &p->stamp)) {
		give_back(p, p->name);
		return;
	}
	forget_note(p);
	if (!stamp_at(p->dir, p->name, &now) && stamp_moved(&p->old, &now))
		over->stamp = now;
}

/* What failed has to be gone from the inbox, whatever it takes. */
static void undo_free(struct place *p)
{
	int r;

	if (is_visible(p)) {
		(void)publish_move(p->dir, p->name, p->from, p->from_name);
		return;
	}
	r = place_out(p->in, p->dir, p->name, &p->now, p->from_name);
	if (r != -ESTALE && !p->promised &&
	    is_there(p->dir, p->name, &p->stamp))
		(void)unlinkat(p->dir, p->name, 0);
}

void place_undo(struct place *p, struct delivered_file *over)
{
	if (p->how == PLACE_TWIN)
		return;
	/* Who has touched it has it; and what it replaced is replaced. */
	if (!is_there(p->dir, p->name, &p->stamp))
		place_settle(p);
	else if (p->how == PLACE_OVER)
		undo_over(p, over);
	else
		undo_free(p);
}

void place_settle(struct place *p)
{
	const struct stamp *rest = p->how == PLACE_OVER ? &p->old : &p->stamp;

	if (p->how == PLACE_FREE)
		return;
	if (is_visible(p)) {
		(void)place_remove(p->in, p->from, p->from_name, rest);
		return;
	}
	/* Written to after we looked, by who had it open: that is a touch. */
	if (p->how == PLACE_OVER && !is_there(p->from, p->from_name, rest)) {
		(void)publish_again(
		    p->in, p->from_name, p->dir, p->top, p->name);
		return;
	}
	(void)unlinkat(p->from, p->from_name, 0);
	forget_note(p);
}

int place_out(struct inbox *in, int dir, const char *name,
    const struct stamp *expected, const char *spool_name)
{
	struct stamp now;
	int r;

	r = stamp_at(dir, name, &now);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!stamp_untouched(expected, &now))
		return -ESTALE;
	r = aside_note(in->spool.fd, spool_name, NULL, expected, name);
	if (r)
		return r;
	/* Nobody else makes names there: it replaces nothing. */
	if (renameat(dir, name, in->spool.fd, spool_name))
		r = errno == ENOENT ? -ESTALE : -errno;
	if (r || is_there(in->spool.fd, spool_name, expected)) {
		aside_done(in->spool.fd, spool_name);
		return r;
	}
	if (!publish_move(in->spool.fd, spool_name, dir, name))
		aside_done(in->spool.fd, spool_name);
	else
		(void)publish_again(in, spool_name, dir, false, name);
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

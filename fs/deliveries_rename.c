/*
 * Other names for files that have arrived: within the inbox, out of the spool
 * into it, and back. Runs in the threads that receive, through fs/requests and
 * fs/held_watch.
 *
 * At every instant, whatever happens then, the file is in the inbox or will be
 * shown: the record of a held file is there before the file is, and goes after
 * the name in the inbox is durable. A held one that is replaced goes in between
 * the two, so that a record that outlives a death says that it has to.
 */
#include "deliveries.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "again.h"
#include "delivered.h"
#include "folders.h"
#include "held.h"
#include "held_watch.h"
#include "inbox_internal.h"
#include "log.h"
#include "place.h"
#include "provenance.h"
#include "publish.h"
#include "reach.h"
#include "usage.h"

/* Where a file is to go. */
struct goal {
	uint8_t parent[WIRE_ID_BYTES];
	uint8_t place[DELIVERED_PLACE_BYTES];
	const char *want;
	int dir;
	char path[PATH_MAX]; /* of dir below the inbox */
};

struct renaming {
	struct inbox *in;
	struct goal goal;
	int from;                    /* the directory that the file is in */
	struct delivered_file file;  /* busy */
	struct delivered_file claim; /* its record is set: has that name */
	bool shown;                  /* it has become visible */
	/* What the file has to be still, or NULL. */
	const struct delivered_file *known;
};

static void forget_claim(struct renaming *r)
{
	if (r->claim.record)
		delivered_drop(r->in->delivered, &r->claim);
	r->claim.record = NULL;
}

/* The file is what the goal says now, known as file says. */
static void arrive(struct renaming *r)
{
	memcpy(r->file.parent, r->goal.parent, sizeof(r->file.parent));
	memcpy(r->file.place, r->goal.place, sizeof(r->file.place));
	snprintf(r->file.want, sizeof(r->file.want), "%s", r->goal.want);
}

/* The name that goes with the file is the one that its sender uses now. */
static void update_provenance(struct renaming *r)
{
	struct stamp now;
	int fd;

	if (!strcmp(r->file.want, r->goal.want) ||
	    reach_open(r->in, &r->file, &fd))
		return;
	provenance_rename(fd, r->goal.want);
	if (!stamp_of(fd, &now) && stamp_moved(&r->file.stamp, &now))
		r->file.stamp = now;
	close(fd);
}

static bool is_over_held(const struct renaming *r)
{
	return r->claim.record && r->claim.held;
}

/* What the goal says. over: and what is held there goes. */
static int write_record(struct renaming *r, const char *name, bool over)
{
	struct delivered_file file = r->file;
	struct held_record record;

	memcpy(file.parent, r->goal.parent, sizeof(file.parent));
	snprintf(file.want, sizeof(file.want), "%s", r->goal.want);
	held_record_of(&file, r->goal.path, &record);
	if (over && is_over_held(r))
		memcpy(record.over[0], r->claim.name, SPOOL_NAME_BYTES);
	return held_write(&r->in->spool, name, &record);
}

/*
 * The same for a file that is held: 0, or its record is what it was. *ret: that
 * one, where it can be read; else one for the top.
 */
static int rewrite_record(struct renaming *r, struct held_record *ret)
{
	const struct spool *sp = &r->in->spool;
	int result;

	if (held_read(sp, r->file.name, ret))
		held_record_of(&r->file, "", ret);
	result = write_record(r, r->file.name, true);
	if (result)
		(void)held_write(sp, r->file.name, ret);
	return result;
}

/* What this sender has there is about to go: it counts no more. */
static void count_gone(const struct renaming *r, int dir, const char *name)
{
	usage_forget(r->in->usage, r->file.sender, usage_bytes_at(dir, name));
}

static void drop_held_claim(struct renaming *r)
{
	if (!is_over_held(r))
		return;
	count_gone(r, r->in->spool.fd, r->claim.name);
	held_drop(&r->in->spool, r->claim.name);
	forget_claim(r);
}

/*
 * The claim was replaced, or is no longer what it was: the name means this file
 * now. A foreign one is still known by its id.
 */
static void leave_name(struct renaming *r)
{
	if (!r->claim.record || r->claim.held)
		return;
	if (r->claim.foreign)
		delivered_end(r->in->delivered, &r->claim, NULL);
	else
		delivered_drop(r->in->delivered, &r->claim);
	r->claim.record = NULL;
}

/* --- to a visible name -------------------------------------------------------
 */

static int sync_both(const struct renaming *r)
{
	if (!r->in->config.durable)
		return 0;
	if (fsync(r->goal.dir))
		return -errno;
	/* The spool has a record still; a visible old name has to be gone. */
	return !r->file.held && fsync(r->from) ? -errno : 0;
}

/* Is it where it was before place_take? Moved to and fro: that is no touch. */
static bool is_back(struct renaming *r, const struct place *p)
{
	struct stamp now;

	if (stamp_at(p->from, p->from_name, &now) ||
	    !stamp_moved(&r->file.stamp, &now))
		return false;
	r->file.stamp = now;
	return true;
}

/* The file has the name that p gave it. */
static void become(struct renaming *r, const struct place *p)
{
	leave_name(r);
	drop_held_claim(r);
	r->shown = r->file.held;
	r->file.held = false;
	r->file.foreign = p->how == PLACE_TWIN;
	r->file.stamp = p->now;
	memcpy(r->file.name, p->name, sizeof(p->name));
	arrive(r);
}

static int take_name(struct renaming *r)
{
	const struct delivered_file *claim = &r->claim;
	const struct delivered_file was = r->file;
	struct place p = {
		.in = r->in,
		.from = was.held ? r->in->spool.fd : r->from,
		.from_name = was.name,
		.stamp = was.stamp,
		.dir = r->goal.dir,
		.top = !*r->goal.path,
		.unasked = r->known != NULL,
		.promised = true,
		.sender = was.sender,
		.want = r->goal.want,
		.over = claim->record && !claim->held && !claim->foreign ? claim
									 : NULL,
	};
	int result = place_take(&p);

	if (result)
		return result == -ENOENT ? -ESTALE : result;
	result = sync_both(r);
	if (result) {
		place_undo(&p, &r->claim);
		/* Else it is seen, and has its record if that does not last. */
		if (!is_back(r, &p))
			become(r, &p);
		return result;
	}
	become(r, &p);
	if (was.held)
		(void)held_forget(&r->in->spool, was.name);
	if (p.how != PLACE_FREE)
		count_gone(r, p.from, p.from_name);
	place_settle(&p);
	return 0;
}

static int show(struct renaming *r)
{
	bool noted = r->file.held && is_over_held(r);
	char name[SPOOL_NAME_BYTES];
	struct held_record before;
	int result;

	if (!noted)
		return take_name(r);
	result = rewrite_record(r, &before);
	if (result)
		return result;
	memcpy(name, r->file.name, sizeof(name));
	result = take_name(r);
	if (r->file.held)
		(void)held_write(&r->in->spool, name, &before);
	return result;
}

/* --- to one that is not ------------------------------------------------------
 */

/* A held one gets another name to be held under. */
static int hold_on(struct renaming *r)
{
	struct held_record before;
	int result = rewrite_record(r, &before);

	if (result)
		return result;
	drop_held_claim(r);
	arrive(r);
	return 0;
}

/*
 * It could not be taken out of the inbox, or from there to where it should be:
 * back to where it was, or beside what stands there now. was: what it was. Its
 * record stays as long as the spool may still have it after a loss of power.
 */
static void put_back(struct renaming *r, const struct delivered_file *was)
{
	struct inbox *in = r->in;
	struct delivered_file is = r->file;
	char got[WIRE_NAME_MAX + 1];
	int result = reach_check(in->spool.fd, &is);

	if (!result)
		result = publish_file(
		    in->spool.fd, is.name, r->from, false, was->name, got);
	r->file = *was;
	if (result) {
		log_warning("a file that was renamed is not seen for now: %s",
		    strerror(-result));
		r->file.held = true;
		r->file.stamp = is.stamp;
		memcpy(r->file.name, is.name, sizeof(is.name));
		held_watch_soon(in->watch, is.sender, is.id);
		return;
	}
	memcpy(r->file.name, got, sizeof(got));
	if (stamp_at(r->from, got, &r->file.stamp) ||
	    !stamp_moved(&is.stamp, &r->file.stamp))
		r->file.stamp = is.stamp;
	if (!fsync(r->from) && !fsync(in->spool.fd))
		(void)held_forget(&in->spool, is.name);
}

/* Records are believed, also where the inbox is not durable. */
static int sync_content(struct renaming *r)
{
	int fd, result;

	if (r->in->config.durable)
		return 0;
	result = reach_open(r->in, &r->file, &fd);
	if (result)
		return result;
	result = fsync(fd) ? -errno : 0;
	close(fd);
	return result;
}

/* A visible one is taken out of the inbox; after a failure it is there. */
static int hold_back(struct renaming *r)
{
	struct delivered_file was = r->file;
	struct inbox *in = r->in;
	char name[SPOOL_NAME_BYTES];
	int result;

	result = sync_content(r);
	if (!result)
		result = spool_name(r->file.sender, r->file.id, name);
	if (result)
		return result;
	result = write_record(r, name, false);
	if (!result)
		result =
		    place_out(in, r->from, r->file.name, &r->file.stamp, name);
	if (result) {
		(void)held_forget(&in->spool, name);
		return result;
	}
	(void)stamp_at(in->spool.fd, name, &r->file.stamp);
	r->file.held = true;
	memcpy(r->file.name, name, sizeof(name));
	arrive(r);
	if (fsync(in->spool.fd) || (in->config.durable && fsync(r->from))) {
		result = -errno;
		put_back(r, &was);
		return result;
	}
	if (is_over_held(r))
		(void)write_record(r, name, true);
	drop_held_claim(r);
	return 0;
}

/* --- both --------------------------------------------------------------------
 */

/*
 * A visible one takes the place of another visible one. By way of the spool,
 * because an exchange of the two would show the other's content under the old
 * name for a moment.
 */
static int show_over(struct renaming *r)
{
	struct delivered_file was = r->file;
	int result = hold_back(r);

	if (result)
		return result;
	result = show(r);
	if (r->file.held)
		put_back(r, &was);
	r->shown = false; /* it was before */
	return result;
}

static bool is_over_visible(const struct renaming *r)
{
	const struct delivered_file *claim = &r->claim;

	return !r->file.held && claim->record && !claim->held &&
	       !claim->foreign;
}

static void tell_arrival(const struct renaming *r)
{
	const struct inbox *in = r->in;
	char path[PATH_MAX + WIRE_NAME_MAX + 2];

	if (!in->config.arrived || !r->shown)
		return;
	snprintf(path, sizeof(path), "%s%s%s", r->goal.path,
	    *r->goal.path ? "/" : "", r->file.name);
	in->config.arrived(
	    in->config.ctx, path, r->file.peer, r->file.stamp.size);
}

/* Done before; but the answer then may have been that it is not durable. */
static int sync_again(const struct renaming *r)
{
	const struct inbox *in = r->in;

	if (r->file.held)
		return fsync(in->spool.fd) ? -errno : 0;
	return in->config.durable && fsync(r->goal.dir) ? -errno : 0;
}

static int run(struct renaming *r, bool held)
{
	const struct goal *g = &r->goal;
	struct delivered_file *file = &r->file;
	bool same = !strcmp(file->want, g->want) &&
		    !memcmp(file->place, g->place, sizeof(g->place));
	int result;

	if (same && file->held == held)
		return sync_again(r);
	if (file->foreign)
		return same ? 0 : -ESTALE;
	result = reach_dir(r->in, file, &r->from, NULL);
	if (result)
		return result;
	result = reach_check(r->from, file);
	if (result)
		goto close_from;
	update_provenance(r);
	if (!held)
		result = is_over_visible(r) ? show_over(r) : show(r);
	else if (file->held)
		result = hold_on(r);
	else
		result = hold_back(r);
close_from:
	close(r->from);
	return result;
}

static bool is_known(const struct renaming *r)
{
	return !r->known ||
	       (r->known->held == r->file.held &&
		   !strcmp(r->known->want, r->file.want) &&
		   !memcmp(r->known->parent, r->file.parent, WIRE_ID_BYTES));
}

static int rename_to(
    struct renaming *r, const uint8_t id[WIRE_ID_BYTES], bool held)
{
	struct delivered *d = r->in->delivered;
	uint8_t sender[IDENTITY_KEY_BYTES];
	int result;

	memcpy(sender, r->file.sender, sizeof(sender));
	result = delivered_begin_two(
	    d, sender, id, r->goal.place, r->goal.want, &r->file, &r->claim);
	if (result)
		return result;
	if (held && !r->file.held && !delivered_may_hold(d, sender))
		held = false;
	result = is_known(r) ? run(r, held) : -EAGAIN;
	if (r->claim.record)
		delivered_end(d, &r->claim, &r->claim);
	delivered_end(d, &r->file, &r->file);
	tell_arrival(r);
	return result;
}

/* -ENOENT would say that there is no such file. */
static int check_inbox(const struct inbox *in)
{
	int r = inbox_check_place(in);

	return r == -ENOENT ? -ESTALE : r;
}

static int open_goal(struct renaming *r,
    const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t parent[WIRE_ID_BYTES], const char *want)
{
	struct goal *g = &r->goal;
	int result;

	result = reach_parent(r->in, sender, parent, &g->dir, g->path);
	if (result)
		return result;
	result = delivered_place(g->dir, g->place);
	if (result) {
		close(g->dir);
		return result;
	}
	memcpy(g->parent, parent, sizeof(g->parent));
	memcpy(r->file.sender, sender, sizeof(r->file.sender));
	g->want = want;
	return 0;
}

/* Nothing is remembered under this id; but the disk may have it. */
static int rename_again(struct renaming *r,
    const uint8_t sender[IDENTITY_KEY_BYTES], const struct wire_rename *m)
{
	struct again a = { .dir = r->goal.dir,
		.top = !*r->goal.path,
		.sender = sender,
		.id = m->id,
		.parent = m->parent,
		.want = m->name };
	int result = again_find(r->in, &a);

	if (result)
		return result == AGAIN_DONE ? 0 : result;
	memcpy(r->file.sender, sender, sizeof(r->file.sender));
	return rename_to(r, m->id, m->hold);
}

int deliveries_rename(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES], const struct wire_rename *m)
{
	struct renaming r = { .in = in };
	bool still;
	int result;

	if (!wire_name_ok(m->name, strnlen(m->name, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	still = !folders_hold(in->folders, sender);
	result = check_inbox(in);
	if (!result)
		result = open_goal(&r, sender, m->parent, m->name);
	if (!result) {
		result = rename_to(&r, m->id, m->hold);
		if (result == -ENOENT)
			result = rename_again(&r, sender, m);
		close(r.goal.dir);
	}
	if (still)
		folders_release(in->folders, sender);
	return result;
}

/* -EAGAIN: it was renamed meanwhile. */
static int show_known(struct inbox *in, const struct delivered_file *known)
{
	static const uint8_t top[WIRE_ID_BYTES];
	struct renaming r = { .in = in, .known = known };
	int result = check_inbox(in);

	if (result)
		return result;
	result = open_goal(&r, known->sender, known->parent, known->want);
	/* Its directory is gone; the file is not. */
	if (result == -ESTALE)
		result = open_goal(&r, known->sender, top, known->want);
	if (result)
		return result;
	result = rename_to(&r, known->id, false);
	close(r.goal.dir);
	return result;
}

int deliveries_show(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES])
{
	struct delivered_file known;
	bool still = !folders_hold(in->folders, sender);
	int result;

	do {
		result = delivered_peek(in->delivered, sender, id, &known);
		if (!result && known.held)
			result = show_known(in, &known);
	} while (result == -EAGAIN);
	if (still)
		folders_release(in->folders, sender);
	if (result && result != -ENOENT)
		held_watch_soon(in->watch, sender, id);
	return result;
}

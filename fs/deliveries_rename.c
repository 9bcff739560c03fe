/*
 * Other names for files that have arrived: within the inbox, out of the spool
 * into it, and back. Runs in the threads that receive, through fs/requests and
 * fs/held_watch.
 *
 * At every instant, whatever happens then, the file is in the inbox or will be
 * shown: the record of a held file is there before the file is, and goes after
 * the name in the inbox is durable.
 */
#include "deliveries.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "delivered.h"
#include "folders.h"
#include "held.h"
#include "inbox_internal.h"
#include "place.h"
#include "provenance.h"
#include "reach.h"

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

static int write_record(struct renaming *r, const char *name)
{
	struct delivered_file file = r->file;
	struct held_record record;

	memcpy(file.parent, r->goal.parent, sizeof(file.parent));
	snprintf(file.want, sizeof(file.want), "%s", r->goal.want);
	held_record_of(&file, r->goal.path, &record);
	if (r->claim.record && r->claim.held)
		memcpy(record.over[0], r->claim.name, SPOOL_NAME_BYTES);
	return held_write(&r->in->spool, name, &record);
}

static void drop_held_claim(struct renaming *r)
{
	if (!r->claim.record || !r->claim.held)
		return;
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

static int show(struct renaming *r)
{
	const struct delivered_file *claim = &r->claim;
	struct place p = {
		.in = r->in,
		.from = r->file.held ? r->in->spool.fd : r->from,
		.from_name = r->file.name,
		.stamp = r->file.stamp,
		.dir = r->goal.dir,
		.top = !*r->goal.path,
		.sender = r->file.sender,
		.want = r->goal.want,
		.over = claim->record && !claim->held && !claim->foreign ? claim
									 : NULL,
	};
	int result = place_take(&p);

	if (result)
		return result == -ENOENT ? -ESTALE : result;
	result = sync_both(r);
	if (result) {
		struct stamp now;

		place_undo(&p, &r->claim);
		/* Moved to and fro: that is no touch. */
		if (!stamp_at(p.from, p.from_name, &now) &&
		    stamp_moved(&r->file.stamp, &now))
			r->file.stamp = now;
		return result;
	}
	if (r->file.held)
		(void)held_forget(&r->in->spool, r->file.name);
	leave_name(r);
	drop_held_claim(r);
	place_settle(&p);
	r->shown = r->file.held;
	r->file.held = false;
	r->file.foreign = p.how == PLACE_TWIN;
	r->file.stamp = p.now;
	memcpy(r->file.name, p.name, sizeof(p.name));
	arrive(r);
	return 0;
}

/* --- to one that is not ------------------------------------------------------
 */

/* A held one gets another name to be held under. */
static int hold_on(struct renaming *r)
{
	int result = write_record(r, r->file.name);

	if (result)
		return result;
	drop_held_claim(r);
	arrive(r);
	return 0;
}

/* A visible one is taken out of the inbox. */
static int hold_back(struct renaming *r)
{
	struct inbox *in = r->in;
	char name[SPOOL_NAME_BYTES];
	int result;

	result = spool_name(r->file.sender, r->file.id, name);
	if (!result)
		result = write_record(r, name);
	if (!result)
		result =
		    place_out(in, r->from, r->file.name, &r->file.stamp, name);
	if (result) {
		(void)held_forget(&in->spool, name);
		return result;
	}
	/* It is ours whatever fails now, and shown under this name. */
	(void)stamp_at(in->spool.fd, name, &r->file.stamp);
	if (in->config.durable && (fsync(in->spool.fd) || fsync(r->from)))
		result = -errno;
	r->file.held = true;
	memcpy(r->file.name, name, sizeof(name));
	drop_held_claim(r);
	arrive(r);
	return result;
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
	int result = hold_back(r);

	if (!result)
		result = show(r);
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

static int run(struct renaming *r, bool held)
{
	const struct goal *g = &r->goal;
	struct delivered_file *file = &r->file;
	bool same = !strcmp(file->want, g->want) &&
		    !memcmp(file->place, g->place, sizeof(g->place));
	int result;

	if (same && file->held == held)
		return 0; /* done before */
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
	if (!result)
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
	return result;
}

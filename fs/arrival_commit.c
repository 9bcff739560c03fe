/*
 * The commit of an arrival: made durable, and then published, or held. Runs in
 * the threads that receive (net/incoming, one per connection).
 *
 * The order is the promise: the bytes are durable before they have a name, and
 * the name (or the record of a held one) is durable before anybody is told.
 * Where the name cannot be made durable it is taken back, as an error must not
 * leave something visible; what the disk itself keeps of the rename is then
 * unknown, so after a power cut a whole file may still stand there that the
 * sender believes failed. Never a partial one, and never the other way round.
 *
 * What the file replaces is dropped last, and a record that outlives a death in
 * between says that it has to go (fs/held.h, over).
 */
#include "arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delivered.h"
#include "folders.h"
#include "held.h"
#include "meta.h"
#include "place.h"
#include "provenance.h"
#include "reach.h"
#include "stamp.h"

/* Held too many already: it is published instead. */
#define PUBLISH_INSTEAD 1
/* A base, and a claim. */
#define GONE_MAX 2

struct commit {
	struct arrival *a;
	struct inbox *in;
	int dir;                    /* of the parent */
	char path[PATH_MAX];        /* below the inbox */
	struct delivered_file file; /* what it becomes */
	/* Earlier ones, where their record is set: which this one replaces, */
	struct delivered_file base;
	struct delivered_file claim; /* and which has its name. */
	int base_dir;                /* of base; -1: none */
	/* base is shown, under the very name that this one gets. */
	bool in_place;
	enum place_how how;
	/* What has gone for it, and counts no more. */
	uint64_t gone_bytes[GONE_MAX];
	unsigned gone;
};

/*
 * Everything that does not need a visible name. *ret: what the file is, which
 * has to be what stands in the spool under its name.
 */
static int prepare(struct arrival *a, struct stamp *ret)
{
	struct stamp entry;
	int r;

	r = meta_apply(a->spool.fd, &a->meta, 0600);
	/* vfat and its like keep no modes: no reason to refuse the bytes. */
	if (r && r != -EPERM && r != -EOPNOTSUPP)
		return r;
	provenance_arrived(a->spool.fd, a->name);
	if (a->in->config.durable)
		r = spool_sync(&a->spool);
	else
		r = a->spool.failed ? -EIO : 0;
	if (!r)
		r = stamp_of(a->spool.fd, ret);
	if (!r)
		r = stamp_at(a->in->spool.fd, a->spool.name, &entry);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	return stamp_same(ret, &entry) ? 0 : -ESTALE;
}

/* Finds what this file may replace; busy from here to end. */
static int begin(struct commit *c)
{
	static const uint8_t zeros[WIRE_ID_BYTES];
	const struct arrival *a = c->a;
	struct delivered_file *base = &c->base;
	bool has_base = memcmp(a->base, zeros, sizeof(zeros)) != 0;
	int r;

	r = delivered_begin_two(c->in->delivered, a->sender,
	    has_base ? a->base : NULL, c->file.place, a->name, base, &c->claim);
	if (r)
		return -ESTALE;
	if (!base->record)
		return 0;
	if (base->foreign) { /* not ours to replace */
		delivered_end(c->in->delivered, base, NULL);
		base->record = NULL;
		return 0;
	}
	c->in_place = !base->held && !strcmp(base->want, a->name) &&
		      !memcmp(base->place, c->file.place, sizeof(base->place));
	r = reach_dir(c->in, base, &c->base_dir, NULL);
	return r ? r : reach_check(c->base_dir, base);
}

/* What has not been ended otherwise is as it was. */
static void end(struct commit *c)
{
	/* Their stamps may be new, where a replacement was taken back. */
	if (c->base.record)
		delivered_end(c->in->delivered, &c->base, &c->base);
	if (c->claim.record)
		delivered_end(c->in->delivered, &c->claim, &c->claim);
	if (c->base_dir >= 0)
		close(c->base_dir);
}

static void forget(struct commit *c, struct delivered_file *file)
{
	if (file->record)
		delivered_drop(c->in->delivered, file);
	file->record = NULL;
}

/* The file of this sender that stands there is about to go. */
static void note_gone(struct commit *c, int dir, const char *name)
{
	if (c->gone < GONE_MAX)
		c->gone_bytes[c->gone++] = usage_bytes_at(dir, name);
}

/* The base leaves its place. One that was replaced there has done so. */
static int drop_base(struct commit *c)
{
	struct inbox *in = c->in;
	int r = 0;

	if (!c->base.record || (c->in_place && c->how == PLACE_OVER))
		return 0;
	note_gone(c, c->base.held ? in->spool.fd : c->base_dir, c->base.name);
	if (c->base.held)
		held_drop(&in->spool, c->base.name);
	else
		r = place_remove(in, c->base_dir, c->base.name, &c->base.stamp);
	return r;
}

/* A held one of the same name is no longer waited for. */
static void drop_claim(struct commit *c)
{
	if (!c->claim.record || !c->claim.held)
		return;
	note_gone(c, c->in->spool.fd, c->claim.name);
	held_drop(&c->in->spool, c->claim.name);
	forget(c, &c->claim);
}

/*
 * The claim was replaced, or is no longer what it was: the name means this file
 * now. A foreign one is still known by its id.
 */
static void leave_name(struct commit *c)
{
	if (!c->claim.record || c->claim.held)
		return;
	if (!c->claim.foreign) {
		forget(c, &c->claim);
		return;
	}
	delivered_end(c->in->delivered, &c->claim, NULL);
	c->claim.record = NULL;
}

static bool replaces_held(const struct commit *c)
{
	return (c->base.record && c->base.held) ||
	       (c->claim.record && c->claim.held);
}

/*
 * A record says that the file is whole, and stays so without power: whatever
 * the inbox's owner has chosen.
 */
static int write_record(struct commit *c)
{
	struct held_record record;
	int n = 0, r;

	r = c->in->config.durable ? 0 : spool_sync(&c->a->spool);
	if (r)
		return r;
	held_record_of(&c->file, c->path, &record);
	if (c->base.record && c->base.held)
		memcpy(record.over[n++], c->base.name, SPOOL_NAME_BYTES);
	if (c->claim.record && c->claim.held)
		memcpy(record.over[n++], c->claim.name, SPOOL_NAME_BYTES);
	return held_write(&c->in->spool, c->a->spool.name, &record);
}

/*
 * From here on a WITHDRAW finds the file; or it was before, and nothing comes.
 * -ECANCELED, or as delivered_add.
 */
static int add(struct commit *c)
{
	int r = delivered_add(c->in->delivered, &c->file);

	if (!arrival_withdrawn(c->a))
		return r;
	forget(c, &c->file);
	return -ECANCELED;
}

/* 0, PUBLISH_INSTEAD, or -errno. */
static int hold(struct commit *c)
{
	struct inbox *in = c->in;
	int r;

	c->file.held = true;
	memcpy(c->file.name, c->a->spool.name, sizeof(c->a->spool.name));
	r = add(c);
	if (r)
		return r == -EEXIST || r == -ECANCELED ? r : PUBLISH_INSTEAD;
	r = write_record(c);
	if (!r)
		r = drop_base(c);
	if (r) {
		(void)held_take_back(&in->spool, c->file.name);
		forget(c, &c->file);
		return r;
	}
	forget(c, &c->base);
	drop_claim(c);
	delivered_end(in->delivered, &c->file, NULL);
	return 0;
}

/* The one that the name is taken from, if there is one. */
static const struct delivered_file *replaced(const struct commit *c)
{
	const struct delivered_file *claim = &c->claim;

	if (c->in_place)
		return &c->base;
	return claim->record && !claim->held && !claim->foreign ? claim : NULL;
}

static int take_name(struct commit *c, struct place *p)
{
	int r;

	*p = (struct place){
		.in = c->in,
		.from = c->in->spool.fd,
		.from_name = c->a->spool.name,
		.stamp = c->file.stamp,
		.dir = c->dir,
		.top = !*c->path,
		.sender = c->file.sender,
		.want = c->file.want,
		.over = replaced(c),
		.exact = c->in_place,
	};
	r = place_take(p);
	if (r == -EOPNOTSUPP && c->in_place) {
		/* Beside it, then; and base goes away after that. */
		p->over = NULL;
		p->exact = false;
		r = place_take(p);
	}
	if (!r)
		c->how = p->how;
	return r == -ENOENT ? -ESTALE : r; /* dir was removed */
}

/* Visible, durable, and in the place of what it replaces. */
static int show(struct commit *c, struct place *p)
{
	int r = take_name(c, p);

	if (r)
		return r;
	if (c->in->config.durable && fsync(c->dir))
		r = -errno;
	if (!r)
		r = drop_base(c);
	if (r)
		place_undo(p, c->in_place ? &c->base : &c->claim);
	return r;
}

/*
 * A death between the name and the end of held ones that are replaced would
 * show them too at the next start, were there no record that says so.
 */
static int show_noted(struct commit *c, struct place *p)
{
	int r = replaces_held(c) ? write_record(c) : 0;

	if (!r)
		r = show(c, p);
	if (r && replaces_held(c))
		(void)held_take_back(&c->in->spool, c->a->spool.name);
	return r;
}

static int publish(struct commit *c)
{
	struct inbox *in = c->in;
	bool noted = replaces_held(c);
	struct place p;
	int r;

	c->file.held = false;
	c->file.name[0] = '\0';
	/* Known before it is visible; if memory is short, it is not known. */
	r = add(c);
	if (r == -EEXIST || r == -ECANCELED)
		return r;
	r = show_noted(c, &p);
	if (r) {
		forget(c, &c->file);
		return r;
	}
	forget(c, &c->base);
	leave_name(c);
	drop_claim(c);
	if (noted)
		(void)held_forget(&in->spool, c->a->spool.name);
	if (p.how == PLACE_OVER)
		note_gone(c, p.from, p.from_name);
	place_settle(&p);
	c->file.foreign = p.how == PLACE_TWIN;
	c->file.stamp = p.now;
	memcpy(c->file.name, p.name, sizeof(p.name));
	if (c->file.record)
		delivered_end(in->delivered, &c->file, &c->file);
	return 0;
}

static int run(struct commit *c, bool held, char ret_name[WIRE_NAME_MAX + 1])
{
	struct arrival *a = c->a;
	int r;

	memcpy(c->file.sender, a->sender, sizeof(a->sender));
	memcpy(c->file.id, a->id, sizeof(a->id));
	memcpy(c->file.parent, a->parent, sizeof(a->parent));
	memcpy(c->file.want, a->name, sizeof(a->name));
	memcpy(c->file.peer, a->peer, sizeof(a->peer));
	r = delivered_place(c->dir, c->file.place);
	if (!r)
		r = begin(c);
	if (r)
		return r;
	/* A new version of what is shown under this name is shown as well. */
	r = held && !c->in_place ? hold(c) : PUBLISH_INSTEAD;
	if (r == PUBLISH_INSTEAD)
		r = publish(c);
	if (!r)
		memcpy(ret_name, c->file.held ? "" : c->file.name,
		    c->file.held ? 1 : sizeof(c->file.name));
	return r;
}

/* Also while it is not shown yet. A twin is not this file. */
static void count(struct commit *c)
{
	struct arrival *a = c->a;
	struct usage *usage = c->in->usage;
	uint64_t bytes = a->claim.bytes + a->shared;

	if (!a->reserved) /* with its attributes */
		bytes = usage_bytes_at(a->spool.fd, "");
	if (c->file.foreign)
		usage_drop(usage, &a->claim);
	else
		usage_publish(usage, &a->claim, bytes);
	for (unsigned i = 0; i < c->gone; i++)
		usage_forget(usage, a->sender, c->gone_bytes[i]);
}

static void tell_arrival(const struct commit *c, uint64_t size)
{
	const struct inbox *in = c->in;
	char path[PATH_MAX + WIRE_NAME_MAX + 2];

	if (!in->config.arrived || c->file.held)
		return;
	snprintf(path, sizeof(path), "%s%s%s", c->path, *c->path ? "/" : "",
	    c->file.name);
	in->config.arrived(in->config.ctx, path, c->file.peer, size);
}

int arrival_commit(
    struct sink_file *f, bool held, char ret_name[WIRE_NAME_MAX + 1])
{
	struct arrival *a = arrival_of(f);
	struct inbox *in = a->in;
	struct commit c = { .a = a, .in = in, .base_dir = -1 };
	bool still;
	int r;

	if (a->spool.failed)
		return -EIO;
	r = prepare(a, &c.file.stamp);
	if (!r)
		r = arrival_claim(a, 0);
	/* The sender's own directories stay where they are from here on; the
	 * long wait for the disk is over. */
	still = !folders_hold(in->folders, a->sender);
	if (!r)
		r = inbox_check_place(in);
	if (!r)
		r = reach_parent(in, a->sender, a->parent, &c.dir, c.path);
	if (!r) {
		r = run(&c, held, ret_name);
		end(&c);
		close(c.dir);
	}
	if (still)
		folders_release(in->folders, a->sender);
	if (r) {
		a->spool.failed = true;
		return r;
	}
	count(&c);
	tell_arrival(&c, c.file.stamp.size);
	return in->config.durable ? 0 : SINK_RECEIVED;
}

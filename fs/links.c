/*
 * The links that senders make. Runs in the threads that receive, through
 * fs/requests. Who works on a link has its record (fs/linktable.h), and holds
 * the sender's directories where they are, so that a link's depth is true when
 * it gets its place. What happens on the disk is fs/linkplace's.
 */
#include "links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "linkplace.h"
#include "linktable.h"
#include "meta.h"
#include "publish.h"
#include "usage.h"

struct links {
	struct folders *fo;
	struct linktable *table;
	struct usage *usage; /* or NULL */
	int spool;
};

/* A directory of the sender that a link is in, or shall be. */
struct place {
	int fd;
	unsigned depth; /* of what is directly in it */
	uint8_t id[WIRE_ID_BYTES];
};

int links_new(struct folders *fo, int spool, unsigned max, struct links **ret)
{
	struct links *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->fo = fo;
	l->spool = spool;
	r = linktable_new(max, &l->table);
	if (r)
		free(l);
	else
		*ret = l;
	return r;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	linktable_free(l->table);
	free(l);
}

void links_count(struct links *l, struct usage *usage)
{
	l->usage = usage;
}

static void count_made(const struct links *l,
    const uint8_t sender[IDENTITY_KEY_BYTES], int dir, const char *name)
{
	if (l->usage)
		usage_add(l->usage, sender, usage_bytes_at(dir, name));
}

static void count_gone(const struct links *l,
    const uint8_t sender[IDENTITY_KEY_BYTES], uint64_t bytes)
{
	if (l->usage)
		usage_forget(l->usage, sender, bytes);
}

int links_find(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES])
{
	return linktable_has(l->table, sender, id) ? 0 : -ENOENT;
}

/* Any failure to find it is -ESTALE: -ENOENT would mean the link's id. */
static int open_place(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], struct place *ret)
{
	char path[PATH_MAX];
	int r;

	r = folders_open(l->fo, sender, id, &ret->fd, path);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	ret->depth = folders_depth(path);
	folders_first_id(l->fo, sender, id, ret->id);
	return 0;
}

struct making {
	struct links *l;
	struct linkrec *rec;
	const struct place *dir;
	const char *want, *target;
	/* What has been done: */
	char name[WIRE_NAME_MAX + 1]; /* that it got */
	bool found;          /* one with this target was there already */
	struct linkrec *old; /* the sender's earlier one, whose name it is */
	bool exchanged;      /* old is at aside in the spool */
	char aside[LINKPLACE_NAME_BYTES];
};

static int take_link(void *arg, const char *name)
{
	const struct making *mk = arg;

	return symlinkat(mk->target, mk->dir->fd, name) ? -errno : 0;
}

/* What is in the way, but the same, makes a second one needless. */
static int take_link_or_same(void *arg, const char *name)
{
	struct making *mk = arg;
	char target[PATH_MAX];
	struct stamp now;
	int r = take_link(mk, name);

	if (r != -EEXIST || linkplace_look(mk->dir->fd, name, &now, target) ||
	    strcmp(target, mk->target) != 0)
		return r;
	mk->found = true;
	return 0;
}

/*
 * Puts the link in the place of the sender's own earlier one; or lets that be,
 * where it has this target. 0, 1 (it was touched), or -errno.
 */
static int take_over(struct making *mk)
{
	const struct linkrec *old = mk->old;
	int dir = mk->dir->fd, spool = mk->l->spool, r;
	char target[PATH_MAX];
	struct stamp now;

	if (linkplace_look(dir, old->name, &now, target) ||
	    !stamp_untouched(&old->stamp, &now))
		return 1;
	if (!strcmp(target, mk->target))
		return 0;
	linkplace_name(mk->aside);
	if (symlinkat(mk->target, spool, mk->aside))
		return -errno;
	r = linkplace_exchange(
	    spool, spool, mk->aside, dir, old->name, &old->stamp);
	mk->exchanged = !r;
	if (r)
		aside_drop(spool, mk->aside);
	return r;
}

/* Makes the link under a name, not durable yet. */
static int put_link(struct making *mk)
{
	struct linktable *table = mk->l->table;
	int r = take_link(mk, mk->want);

	if (!r)
		memcpy(mk->name, mk->want, strlen(mk->want) + 1);
	if (r != -EEXIST)
		return r == -ENOENT ? -ESTALE : r; /* dir was removed */
	mk->old = linktable_begin_wanted(
	    table, mk->rec->sender, mk->dir->id, mk->want);
	if (mk->old) {
		r = take_over(mk);
		if (!r)
			memcpy(
			    mk->name, mk->old->name, strlen(mk->old->name) + 1);
		if (r <= 0)
			return r;
		linktable_end(table, mk->old);
		mk->old = NULL;
	}
	return publish_choose(
	    mk->want, PUBLISH_FILE, false, take_link_or_same, mk, mk->name);
}

/* It could not be made durable: as it was before. made: what it was. */
static void take_back(struct making *mk, struct stamp *made)
{
	int dir = mk->dir->fd, spool = mk->l->spool;

	if (mk->exchanged)
		linkplace_exchange_back(spool, spool, mk->aside, dir,
		    mk->old->name, &mk->old->stamp, made);
	else if (!mk->old && !mk->found)
		(void)linkplace_remove(spool, dir, mk->name, made);
}

static int make_durable(struct making *mk, bool durable)
{
	char target[PATH_MAX];
	struct stamp now;
	bool there;
	int r = 0;

	there = !linkplace_look(mk->dir->fd, mk->name, &now, target) &&
		!strcmp(target, mk->target);
	if (durable && fsync(mk->dir->fd))
		r = -errno;
	if (r && there)
		take_back(mk, &now);
	/* Not remembered: one that has been moved away, or is another's. */
	if (!r && there && !mk->found)
		(void)linktable_place(mk->l->table, mk->rec, mk->dir->id,
		    mk->want, mk->name, &now);
	return r;
}

/* Not what was found there already. */
static void count(const struct making *mk)
{
	const struct links *l = mk->l;

	if (mk->found || (mk->old && !mk->exchanged))
		return;
	count_made(l, mk->rec->sender, mk->dir->fd, mk->name);
	if (mk->exchanged)
		count_gone(
		    l, mk->rec->sender, usage_bytes_at(l->spool, mk->aside));
}

static int make_in(struct making *mk, bool durable)
{
	int r = put_link(mk);

	if (!r)
		r = make_durable(mk, durable);
	if (!r)
		count(mk);
	if (mk->exchanged) /* either of the two: nobody wants it now */
		aside_drop(mk->l->spool, mk->aside);
	if (mk->old && r)
		linktable_end(mk->l->table, mk->old);
	else
		linktable_forget(mk->l->table, mk->old); /* it is rec's now */
	return r;
}

int links_make(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_symlink *m, bool durable)
{
	char target[WIRE_TARGET_MAX + 1];
	struct making mk = { .l = l, .want = m->name, .target = target };
	struct linkrec *rec;
	struct place dir;
	int r;

	if (folders_is_top(m->id))
		return -EINVAL;
	if (!wire_name_ok(m->name, strnlen(m->name, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	if (folders_is_top(m->parent) ||
	    wire_target_climb((const char *)m->bytes, m->len) < 0)
		return -EPERM;
	memcpy(target, m->bytes, m->len);
	target[m->len] = '\0';
	r = linktable_begin(l->table, sender, m->id, true, &rec);
	if (r)
		return r;
	if (rec->name)
		goto end_rec;
	r = folders_hold(l->fo, sender) ? -ESTALE : 0;
	if (r)
		goto end_rec;
	r = open_place(l, sender, m->parent, &dir);
	if (r)
		goto release;
	mk.rec = rec;
	mk.dir = &dir;
	r = wire_target_ok(target, m->len, dir.depth) ? make_in(&mk, durable)
						      : -EPERM;
	close(dir.fd);
release:
	folders_release(l->fo, sender);
end_rec:
	linktable_end(l->table, rec);
	return r;
}

struct renaming {
	struct links *l;
	struct linkrec *rec;
	const struct place *from, *to;
	const char *want;
	/* What has been done: */
	char name[WIRE_NAME_MAX + 1]; /* that it got */
	struct linkrec *old; /* it has that from, which is where rec was */
};

/* Moves the link to a name in to. 0 or -errno. */
static int move_link(struct renaming *rn)
{
	const struct linkrec *rec = rn->rec;
	struct linktable *table = rn->l->table;
	int from = rn->from->fd, to = rn->to->fd;
	char target[PATH_MAX];
	struct linkrec *old;
	struct stamp now;

	old = linktable_begin_wanted(table, rec->sender, rn->to->id, rn->want);
	if (old && !linkplace_look(to, old->name, &now, target) &&
	    stamp_untouched(&old->stamp, &now) &&
	    !linkplace_exchange(
		rn->l->spool, from, rec->name, to, old->name, &old->stamp)) {
		memcpy(rn->name, old->name, strlen(old->name) + 1);
		rn->old = old;
		return 0;
	}
	linktable_end(table, old);
	return linkplace_move(from, rec->name, to,
	    !memcmp(rn->from->id, rn->to->id, WIRE_ID_BYTES), rn->want,
	    rn->name);
}

static void move_back(struct renaming *rn)
{
	struct linkrec *rec = rn->rec, *old = rn->old;
	char back[WIRE_NAME_MAX + 1];

	if (old)
		linkplace_exchange_back(rn->l->spool, rn->from->fd, rec->name,
		    rn->to->fd, old->name, &old->stamp, &rec->stamp);
	else
		(void)linkplace_move(rn->to->fd, rn->name, rn->from->fd,
		    !memcmp(rn->from->id, rn->to->id, WIRE_ID_BYTES), rec->name,
		    back);
}

/*
 * Moves it and makes that durable; or nothing has changed but, perhaps, the
 * ctime. *ret: what it is then.
 */
static int move_durably(struct renaming *rn, bool durable, struct stamp *ret)
{
	struct linktable *table = rn->l->table;
	uint64_t bytes;
	struct stamp now;
	int r;

	r = move_link(rn);
	if (r)
		return r;
	/* Was it what we had looked at? Somebody may have been faster. */
	r = stamp_at(rn->to->fd, rn->name, &now);
	if (!r && !stamp_moved(&rn->rec->stamp, &now))
		r = -ESTALE;
	if (!r && durable && (fsync(rn->to->fd) || fsync(rn->from->fd)))
		r = -errno;
	if (r) {
		move_back(rn);
		linktable_end(table, rn->old);
		return r == -ENOENT ? -ESTALE : r;
	}
	/* The old one may come back after a power cut, but not the other way
	 * round; so an error here is none. */
	bytes = usage_bytes_at(rn->from->fd, rn->rec->name);
	if (rn->old && !linkplace_remove(rn->l->spool, rn->from->fd,
			   rn->rec->name, &rn->old->stamp)) {
		count_gone(rn->l, rn->rec->sender, bytes);
		if (durable)
			(void)fsync(rn->from->fd);
	}
	linktable_forget(table, rn->old);
	*ret = now;
	return 0;
}

static int rename_between(struct renaming *rn, bool durable)
{
	struct linkrec *rec = rn->rec;
	char target[PATH_MAX];
	struct stamp now;
	int r;

	r = linkplace_look(rn->from->fd, rec->name, &now, target);
	if (!r && !stamp_untouched(&rec->stamp, &now))
		r = -ESTALE;
	if (!r && !wire_target_ok(target, strlen(target), rn->to->depth))
		r = -EXDEV;
	if (r)
		return r;
	r = move_durably(rn, durable, &now);
	if (!r)
		return linktable_place(
		    rn->l->table, rec, rn->to->id, rn->want, rn->name, &now);
	/* On its way back its ctime has changed, by our doing. */
	if (!stamp_at(rn->from->fd, rec->name, &now) &&
	    stamp_moved(&rec->stamp, &now))
		rec->stamp = now;
	return r;
}

int links_rename(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const struct wire_rename *m, bool durable)
{
	struct renaming rn = { .l = l, .want = m->name };
	struct place from, to;
	struct linkrec *rec;
	int r;

	if (!wire_name_ok(m->name, strnlen(m->name, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	r = linktable_begin(l->table, sender, m->id, false, &rec);
	if (r)
		return r;
	r = folders_is_top(m->parent)     ? -EXDEV
	    : folders_hold(l->fo, sender) ? -ESTALE
					  : 0;
	if (r)
		goto end_rec;
	r = open_place(l, sender, rec->parent, &from);
	if (r)
		goto release;
	r = open_place(l, sender, m->parent, &to);
	if (r)
		goto close_from;
	rn.rec = rec;
	rn.from = &from;
	rn.to = &to;
	if (memcmp(rec->parent, to.id, WIRE_ID_BYTES) ||
	    strcmp(rec->want, m->name) != 0)
		r = rename_between(&rn, durable);
	close(to.fd);
close_from:
	close(from.fd);
release:
	folders_release(l->fo, sender);
end_rec:
	linktable_end(l->table, rec);
	return r;
}

int links_withdraw(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], bool durable)
{
	char target[PATH_MAX];
	struct linkrec *rec;
	struct place dir;
	struct stamp now;
	bool gone = false;
	uint64_t bytes;
	int r;

	r = linktable_begin(l->table, sender, id, false, &rec);
	if (r)
		return r;
	r = open_place(l, sender, rec->parent, &dir);
	if (r)
		goto end_rec;
	r = linkplace_look(dir.fd, rec->name, &now, target);
	if (!r && !stamp_untouched(&rec->stamp, &now))
		r = -ESTALE;
	bytes = usage_bytes_at(dir.fd, rec->name);
	if (!r)
		r = linkplace_remove(l->spool, dir.fd, rec->name, &rec->stamp);
	gone = !r;
	if (gone)
		count_gone(l, sender, bytes);
	if (!r && durable && fsync(dir.fd))
		r = -errno;
	close(dir.fd);
end_rec:
	if (gone)
		linktable_forget(l->table, rec);
	else
		linktable_end(l->table, rec);
	return r;
}

int links_patch(struct links *l, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m, bool durable)
{
	struct linkrec *rec;
	struct place dir;
	struct stamp now;
	int r;

	r = linktable_begin(l->table, sender, id, false, &rec);
	if (r)
		return r;
	r = meta_ok(m) ? open_place(l, sender, rec->parent, &dir) : -EINVAL;
	if (r)
		goto end_rec;
	r = linkplace_times(dir.fd, rec->name, &rec->stamp, m, &now);
	if (!r)
		rec->stamp = now;
	if (!r && durable && fsync(dir.fd))
		r = -errno;
	close(dir.fd);
end_rec:
	linktable_end(l->table, rec);
	return r;
}

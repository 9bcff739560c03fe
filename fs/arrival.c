/*
 * A file on its way in, up to its commit: what comes goes into its spool file.
 * Runs in the threads that receive (net/incoming, one per connection). How it
 * becomes visible is fs/arrival_commit's.
 */
#include "arrival.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delivered.h"
#include "folders.h"
#include "meta.h"
#include "provenance.h"
#include "reach.h"

static bool is_zeros(const uint8_t id[WIRE_ID_BYTES])
{
	static const uint8_t zeros[WIRE_ID_BYTES];

	return !memcmp(id, zeros, sizeof(zeros));
}

static int open_base(const struct arrival *a, int *ret_fd)
{
	struct inbox *in = a->in;
	bool still = !folders_hold(in->folders, a->sender);
	struct delivered_file base;
	int r = -ESTALE;

	if (!delivered_begin(in->delivered, a->sender, a->base, &base)) {
		r = reach_open(in, &base, ret_fd);
		delivered_end(in->delivered, &base, base.held ? &base : NULL);
	}
	if (still)
		folders_release(in->folders, a->sender);
	return r;
}

struct copying {
	struct arrival *a;
	const struct sink_offer *offer;
};

static int may_copy(void *arg, uint64_t bytes)
{
	const struct copying *c = arg;

	if (c->offer->is_over && c->offer->is_over(c->offer->ctx))
		return -ECONNRESET;
	return arrival_claim(c->a, bytes);
}

/* Blocks that cost nothing count when the base has gone. */
static int copy(struct arrival *a, const struct sink_offer *o, int fd)
{
	struct copying c = { a, o };
	int r = spool_copy(&a->spool, fd, may_copy, &c);
	bool copied = a->claim.bytes > 0;

	if (!r)
		r = arrival_claim(a, 0);
	if (!r && !copied) {
		a->shared = a->claim.bytes;
		r = arrival_claim(a, 0);
	}
	return r;
}

/* Is it still that file? A change of its mode or times by its sender, which may
 * be under way on another connection, is waited for. */
static int confirm_base(struct arrival *a, int fd)
{
	struct delivered_file base;
	struct stamp now;
	int r;

	if (delivered_begin(a->in->delivered, a->sender, a->base, &base))
		return -ESTALE;
	r = stamp_of(fd, &now);
	if (!r && !reach_is(&base, &now))
		r = -ESTALE;
	delivered_end(a->in->delivered, &base, NULL);
	if (!r)
		a->meta = (struct wire_meta){ .mask = WIRE_META_MODE,
			.mode = now.mode & 0777 };
	return r;
}

/*
 * The spool begins as what this sender sent before. That may be gigabytes where
 * the disk cannot share blocks, and nobody waits for it: afterwards it is still
 * the file that the sender knows, with nothing in it but the sender's changes,
 * or it was for nothing.
 */
static int copy_base(struct arrival *a, const struct sink_offer *o)
{
	int fd, r = open_base(a, &fd);

	if (r)
		return r;
	r = copy(a, o, fd);
	if (!r)
		r = confirm_base(a, fd);
	close(fd);
	return r;
}

static int check_parent(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t parent[WIRE_ID_BYTES])
{
	char path[PATH_MAX];
	int dir, r;

	r = reach_parent(in, sender, parent, &dir, path);
	if (!r)
		close(dir);
	return r;
}

static int check_offer(struct inbox *in, const struct sink_offer *o)
{
	const struct wire_offer *offer = o->offer;
	struct delivered_file known;
	int r;

	if (!wire_name_ok(offer->name, strnlen(offer->name, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	r = inbox_check_place(in);
	if (r)
		return r;
	/* A held file is waited for under its id: that names nothing else. */
	if (!delivered_peek(in->delivered, o->sender, offer->id, &known) &&
	    known.held)
		return -EEXIST;
	/* Told now rather than after all the bytes. */
	return check_parent(in, o->sender, offer->parent);
}

static void enlist(struct arrival *a)
{
	mutex_lock(&a->in->lock);
	LIST_INSERT_HEAD(&a->in->arrivals, a, entry);
	mutex_unlock(&a->in->lock);
}

static void free_arrival(struct arrival *a)
{
	mutex_lock(&a->in->lock);
	LIST_REMOVE(a, entry);
	mutex_unlock(&a->in->lock);
	free(a);
}

void arrival_withdraw(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
{
	struct arrival *a;

	mutex_lock(&in->lock);
	LIST_FOREACH(a, &in->arrivals, entry)
		if (!memcmp(a->id, id, WIRE_ID_BYTES) &&
		    !memcmp(a->sender, sender, IDENTITY_KEY_BYTES))
			a->withdrawn = true;
	mutex_unlock(&in->lock);
}

bool arrival_withdrawn(struct arrival *a)
{
	bool withdrawn;

	mutex_lock(&a->in->lock);
	withdrawn = a->withdrawn;
	mutex_unlock(&a->in->lock);
	return withdrawn;
}

int arrival_open(
    struct sink *s, const struct sink_offer *o, struct sink_file **ret)
{
	struct inbox *in = inbox_of(s);
	const struct wire_offer *offer = o->offer;
	struct arrival *a;
	int r;

	r = check_offer(in, o);
	if (r)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->file.ops = s->ops;
	a->in = in;
	a->meta =
	    (struct wire_meta){ .mask = WIRE_META_MODE, .mode = offer->mode };
	memcpy(a->sender, o->sender, sizeof(a->sender));
	memcpy(a->id, offer->id, sizeof(a->id));
	memcpy(a->base, offer->base, sizeof(a->base));
	memcpy(a->parent, offer->parent, sizeof(a->parent));
	snprintf(a->name, sizeof(a->name), "%s", offer->name);
	snprintf(a->peer, sizeof(a->peer), "%s", o->peer ? o->peer : "");
	/* Before the copy of its base, which may take long: a WITHDRAW on
	 * another connection shall find it. */
	enlist(a);
	r = usage_begin(in->usage, o->sender,
	    &(struct usage_limits){ o->quota_bytes, o->quota_files },
	    &a->claim);
	if (r)
		goto free_a;
	r = spool_create(&in->spool, o->sender, offer->id, &a->spool);
	if (r)
		goto drop_claim;
	/* While there is room: what the sender has to say comes after it. */
	r = provenance_set(a->spool.fd, a->sender, a->id, a->name);
	if (!r && !is_zeros(a->base))
		r = copy_base(a, o);
	if (r)
		goto drop_spool;
	*ret = &a->file;
	return 0;
drop_spool:
	spool_drop(&a->spool);
drop_claim:
	usage_drop(in->usage, &a->claim);
free_a:
	free_arrival(a);
	return r;
}

/* Remembered until the commit, because writes still to come change mtime. */
int arrival_set_meta(struct sink_file *f, const struct wire_meta *m)
{
	struct arrival *a = arrival_of(f);

	if (a->spool.failed)
		return -EIO;
	if (!meta_ok(m))
		return -EINVAL;
	meta_merge(&a->meta, m);
	return 0;
}

int arrival_set_xattr(struct sink_file *f, const struct wire_xattr *x)
{
	struct arrival *a = arrival_of(f);
	int r;

	if (a->spool.failed)
		return -EIO;
	r = x->remove ? 0 : arrival_claim(a, x->len);
	return r ? r : meta_apply_xattr(a->spool.fd, x);
}

int arrival_move(
    struct sink_file *f, const uint8_t parent[WIRE_ID_BYTES], const char *name)
{
	struct arrival *a = arrival_of(f);
	int r;

	if (a->spool.failed)
		return -EIO;
	if (!wire_name_ok(name, strnlen(name, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	r = check_parent(a->in, a->sender, parent);
	if (r)
		return r;
	memcpy(a->parent, parent, sizeof(a->parent));
	snprintf(a->name, sizeof(a->name), "%s", name);
	return 0;
}

int arrival_read(struct sink_file *f, void *ret, size_t len, uint64_t offset,
    size_t *ret_len)
{
	return spool_read(&arrival_of(f)->spool, ret, len, offset, ret_len);
}

int arrival_size(struct sink_file *f, uint64_t *ret)
{
	return spool_size(&arrival_of(f)->spool, ret);
}

void arrival_abort(struct sink_file *f)
{
	struct arrival *a;

	if (!f)
		return;
	a = arrival_of(f);
	spool_drop(&a->spool);
	usage_drop(a->in->usage, &a->claim);
	free_arrival(a);
}

void arrival_close(struct sink_file *f)
{
	struct arrival *a = arrival_of(f);

	spool_close(&a->spool);
	usage_drop(a->in->usage, &a->claim); /* where it was not published */
	free_arrival(a);
}

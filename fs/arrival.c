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
		delivered_end(in->delivered, &base, NULL);
	}
	if (still)
		folders_release(in->folders, a->sender);
	return r;
}

/*
 * The spool begins as what this sender sent before. That may be gigabytes where
 * the disk cannot share blocks, and nobody waits for it: afterwards it is still
 * the file that the sender knows, with nothing in it but the sender's changes,
 * or it was for nothing.
 */
static int copy_base(struct arrival *a)
{
	struct delivered_file base;
	struct stamp now;
	int fd, r = open_base(a, &fd);

	if (r)
		return r;
	r = spool_copy(&a->spool, fd);
	if (!r)
		r = stamp_of(fd, &now);
	close(fd);
	if (r)
		return r;
	a->meta = (struct wire_meta){ .mask = WIRE_META_MODE,
		.mode = now.mode & 0777 };
	if (delivered_peek(a->in->delivered, a->sender, a->base, &base) ||
	    !stamp_untouched(&base.stamp, &now))
		return -ESTALE;
	return 0;
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
	r = spool_create(&in->spool, o->sender, offer->id, &a->spool);
	if (r)
		goto free_a;
	if (!is_zeros(a->base)) {
		r = copy_base(a);
		if (r)
			goto drop_spool;
	}
	*ret = &a->file;
	return 0;
drop_spool:
	spool_drop(&a->spool);
free_a:
	free(a);
	return r;
}

int arrival_write(
    struct sink_file *f, const void *bytes, size_t len, uint64_t offset)
{
	return spool_write(&arrival_of(f)->spool, bytes, len, offset);
}

int arrival_truncate(struct sink_file *f, uint64_t size)
{
	return spool_truncate(&arrival_of(f)->spool, size);
}

int arrival_reserve(
    struct sink_file *f, uint64_t offset, uint64_t len, enum wire_reserve how)
{
	return spool_reserve(&arrival_of(f)->spool, offset, len, how);
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

	if (a->spool.failed)
		return -EIO;
	return meta_apply_xattr(a->spool.fd, x);
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

int arrival_checkpoint(struct sink_file *f)
{
	return spool_sync(&arrival_of(f)->spool);
}

void arrival_abort(struct sink_file *f)
{
	if (!f)
		return;
	spool_drop(&arrival_of(f)->spool);
	free(arrival_of(f));
}

void arrival_close(struct sink_file *f)
{
	spool_close(&arrival_of(f)->spool);
	free(arrival_of(f));
}

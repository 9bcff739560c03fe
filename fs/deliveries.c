/*
 * What senders ask about files that have arrived. Runs in the threads that
 * receive, through fs/requests. Renames and what shows a held file stand in
 * fs/deliveries_rename.c.
 *
 * The sender's directories are held still before the file is made busy, never
 * after: who renames a directory waits for the one, never with the other.
 */
#include "deliveries.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arrival.h"
#include "delivered.h"
#include "folders.h"
#include "held.h"
#include "inbox_internal.h"
#include "meta.h"
#include "place.h"
#include "reach.h"
#include "usage.h"

/*
 * Is now what our change m alone makes of before? Then it becomes the record;
 * else somebody wrote meanwhile, and the old record will say so. File systems
 * cut times to their own grain.
 */
static bool only_ours(const struct stamp *before, const struct stamp *now,
    const struct wire_meta *m)
{
	const struct wire_time *want =
	    m->mask & WIRE_META_MTIME ? &m->mtime : &before->mtime;

	return stamp_same(before, now) && before->size == now->size &&
	       (stamp_time_equal(want, &now->mtime) ||
		   (now->mtime.sec <= want->sec &&
		       now->mtime.sec >= want->sec - 1 &&
		       now->mtime.nsec <= want->nsec));
}

/* One of the two. */
struct change {
	const struct wire_meta *meta;
	const struct wire_xattr *xattr;
};

static int change_file(
    struct inbox *in, struct delivered_file *file, const struct change *change)
{
	static const struct wire_meta none = { .mask = 0 };
	const struct wire_meta *m = change->meta ? change->meta : &none;
	struct stamp now;
	uint64_t bytes;
	int fd, r;

	r = reach_open(in, file, &fd);
	if (r)
		return r;
	bytes = usage_bytes_at(fd, "");
	if (change->meta)
		r = meta_apply(fd, m, 0600);
	else
		r = meta_apply_xattr(fd, change->xattr);
	/* It counts so much more, and as much less when it goes. */
	usage_add(in->usage, file->sender, usage_bytes_at(fd, ""));
	usage_forget(in->usage, file->sender, bytes);
	/* Also after half a change: the next one shall not find it touched. */
	if (!stamp_of(fd, &now) && only_ours(&file->stamp, &now, m))
		file->stamp = now;
	if (!r && in->config.durable && fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

static int change(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct change *change)
{
	bool still = !folders_hold(in->folders, sender);
	struct delivered_file file;
	int r;

	r = delivered_begin(in->delivered, sender, id, &file);
	if (!r) {
		/* A foreign one is as its owner wants it: nothing is left. */
		if (!file.foreign)
			r = change_file(in, &file, change);
		delivered_end(in->delivered, &file, &file);
	}
	if (still)
		folders_release(in->folders, sender);
	return r;
}

int deliveries_patch(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m)
{
	const struct change c = { .meta = m };

	return meta_ok(m) ? change(in, sender, id, &c) : -EINVAL;
}

int deliveries_xattr(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_xattr *x)
{
	const struct change c = { .xattr = x };

	return change(in, sender, id, &c);
}

/* *ret_bytes: what counts no more. */
static int remove_shown(
    struct inbox *in, const struct delivered_file *file, uint64_t *ret_bytes)
{
	uint64_t bytes;
	int dir, r;

	r = reach_dir(in, file, &dir, NULL);
	if (r)
		return r;
	bytes = usage_bytes_at(dir, file->name);
	r = place_remove(in, dir, file->name, &file->stamp);
	close(dir);
	if (!r)
		*ret_bytes = bytes;
	return r;
}

/* It must not be shown at the next start. */
static int remove_held(
    struct inbox *in, struct delivered_file *file, uint64_t *ret_bytes)
{
	uint64_t bytes = usage_bytes_at(in->spool.fd, file->name);
	struct held_record record;
	bool known;
	int r = reach_check(in->spool.fd, file);

	if (r)
		return r;
	known = !held_read(&in->spool, file->name, &record);
	r = held_take_back(&in->spool, file->name);
	if (!r) {
		(void)unlinkat(in->spool.fd, file->name, 0);
		*ret_bytes = bytes;
	} else if (known) { /* it is held still, and no orphan */
		(void)held_write(&in->spool, file->name, &record);
	}
	return r;
}

static int withdraw(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES])
{
	struct delivered_file file;
	uint64_t bytes = 0;
	int r;

	r = delivered_begin(in->delivered, sender, id, &file);
	if (r)
		return r;
	if (file.held)
		r = remove_held(in, &file, &bytes);
	else if (!file.foreign)
		r = remove_shown(in, &file, &bytes);
	if (!r && !file.foreign)
		usage_forget(in->usage, sender, bytes);
	if (r)
		delivered_end(in->delivered, &file, NULL);
	else
		delivered_drop(in->delivered, &file);
	return r;
}

int deliveries_withdraw(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES])
{
	bool still = !folders_hold(in->folders, sender);
	int r;

	/* First: a commit that does not see this is found by what follows. */
	arrival_withdraw(in, sender, id);
	r = withdraw(in, sender, id);
	if (still)
		folders_release(in->folders, sender);
	return r;
}

/* --- directories -------------------------------------------------------------
 */

/* The path in the record of a held file, where it is another one now. */
static void move_record(struct inbox *in, const struct delivered_key *key)
{
	struct delivered_file file;
	struct held_record record;
	char path[PATH_MAX];
	int dir;

	if (delivered_begin(in->delivered, key->sender, key->id, &file))
		return;
	if (file.held &&
	    !reach_parent(in, file.sender, file.parent, &dir, path)) {
		close(dir);
		if (!held_read(&in->spool, file.name, &record) &&
		    strcmp(record.path, path)) {
			memcpy(record.path, path, strlen(path) + 1);
			(void)held_write(&in->spool, file.name, &record);
		}
	}
	delivered_end(in->delivered, &file, NULL);
}

void deliveries_moved(
    struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES])
{
	bool still = !folders_hold(in->folders, sender);
	struct delivered_key *keys;
	unsigned n;

	if (!delivered_held(in->delivered, &keys, &n)) {
		for (unsigned i = 0; i < n; i++)
			if (!memcmp(keys[i].sender, sender, IDENTITY_KEY_BYTES))
				move_record(in, &keys[i]);
		free(keys);
	}
	if (still)
		folders_release(in->folders, sender);
}

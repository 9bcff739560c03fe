/*
 * Finds what was delivered again and changes it on the open descriptor. Runs in
 * the threads that receive, through fs/inbox.
 */
#include "patch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "beneath.h"
#include "meta.h"
#include "stamp.h"

/* A directory's mode and times; r and x stay for us, who have to write there.
 */
static int patch_folder(int fd, const struct wire_meta *m, bool durable)
{
	int r = meta_apply(fd, m, 0700);

	if (!r && durable && fsync(fd))
		r = -errno;
	return r;
}

/*
 * Opens a delivered file, if it is untouched. Looked at before it is opened for
 * real, as opening a FIFO or a device that stands there now would do things.
 */
static int open_untouched(int dir, const struct delivered_file *d, int *ret_fd)
{
	struct stamp now;
	int fd, r;

	fd = beneath_open(dir, d->name, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -EXDEV ? -ESTALE : fd;
	r = stamp_of(fd, &now);
	close(fd);
	if (r || !stamp_untouched(&d->stamp, &now))
		return r ? r : -ESTALE;
	fd = beneath_open(
	    dir, d->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ELOOP || fd == -EXDEV ? -ESTALE
								     : fd;
	r = stamp_of(fd, &now);
	if (!r && !stamp_untouched(&d->stamp, &now))
		r = -ESTALE;
	if (r) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

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

static int patch_file(struct folders *fo, const struct delivered_file *d,
    const struct wire_meta *m, bool durable, struct stamp *ret, bool *ret_ours)
{
	char path[PATH_MAX];
	int dir, fd, r;

	r = folders_open(fo, d->sender, d->parent, &dir, path);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	r = open_untouched(dir, d, &fd);
	close(dir);
	if (r)
		return r;
	r = meta_apply(fd, m, 0600);
	/* Also after half a change: the next one shall not find it touched. */
	*ret_ours = !stamp_of(fd, ret) && only_ours(&d->stamp, ret, m);
	if (!r && durable && fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

int patch_apply(struct folders *fo, struct delivered *d, bool durable,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    const struct wire_meta *m)
{
	struct delivered_file file;
	char path[PATH_MAX];
	struct stamp now;
	bool ours = false;
	int fd, r;

	if (!meta_ok(m))
		return -EINVAL;
	if (folders_is_top(id))
		return -ENOENT;
	r = folders_open(fo, sender, id, &fd, path);
	if (!r) {
		r = patch_folder(fd, m, durable);
		close(fd);
		return r;
	}
	if (r != -ENOENT)
		return r;
	r = delivered_begin(d, sender, id, &file);
	if (r)
		return r;
	r = patch_file(fo, &file, m, durable, &now, &ours);
	delivered_end(d, &file, ours ? &now : NULL);
	return r;
}

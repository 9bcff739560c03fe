/*
 * Opening what was delivered once more. Runs in the threads that receive,
 * through fs/arrival and fs/deliveries, which have made the file's record busy.
 */
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "beneath.h"
#include "folders.h"
#include "inbox_internal.h"

int reach_parent(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t parent[WIRE_ID_BYTES], int *ret_dir, char ret_path[PATH_MAX])
{
	int r = folders_open(in->folders, sender, parent, ret_dir, ret_path);

	return r == -ENOENT ? -ESTALE : r;
}

int reach_dir(struct inbox *in, const struct delivered_file *file, int *ret_dir,
    char ret_path[PATH_MAX])
{
	char path[PATH_MAX];
	int fd;

	if (!file->held)
		return reach_parent(in, file->sender, file->parent, ret_dir,
		    ret_path ? ret_path : path);
	fd = fcntl(in->spool.fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ret_path)
		*ret_path = '\0';
	*ret_dir = fd;
	return 0;
}

bool reach_is(const struct delivered_file *file, const struct stamp *now)
{
	return file->held ? stamp_unwritten(&file->stamp, now)
			  : stamp_untouched(&file->stamp, now);
}

int reach_check(int dir, struct delivered_file *file)
{
	struct stamp now;
	int r = stamp_at(dir, file->name, &now);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	if (!reach_is(file, &now))
		return -ESTALE;
	file->stamp = now;
	return 0;
}

int reach_open(struct inbox *in, struct delivered_file *file, int *ret_fd)
{
	struct stamp now;
	int dir, fd, r;

	r = reach_dir(in, file, &dir, NULL);
	if (r)
		return r;
	r = reach_check(dir, file);
	if (r)
		goto close_dir;
	fd = beneath_open(
	    dir, file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0) {
		r = fd == -ENOENT || fd == -ELOOP || fd == -EXDEV ? -ESTALE
								  : fd;
		goto close_dir;
	}
	r = stamp_of(fd, &now);
	if (!r && !reach_is(file, &now))
		r = -ESTALE;
	if (r) {
		close(fd);
	} else {
		file->stamp = now;
		*ret_fd = fd;
	}
close_dir:
	close(dir);
	return r;
}

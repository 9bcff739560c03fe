/*
 * The look for a file that nobody remembers. Runs in the threads that receive,
 * through fs/deliveries_rename, which holds the sender's directories still.
 *
 * When a file was shown nobody knows any more, so its ctime tells nothing. What
 * has another name than it was given, or was written after it had come, is
 * taken to be its user's.
 */
#include "again.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "delivered.h"
#include "inbox_internal.h"
#include "provenance.h"
#include "publish.h"

/* -ENOENT: it is not this file. */
static int open_it(const struct again *a, const char *name, int *ret_fd)
{
	int fd = beneath_open(
	    a->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0)
		return -ENOENT;
	if (!provenance_is(fd, a->sender, a->id)) {
		close(fd);
		return -ENOENT;
	}
	*ret_fd = fd;
	return 0;
}

/* Is this the name that it was to get? Only what is taken is passed over. */
static int is_done(void *arg, const char *name)
{
	const struct again *a = arg;
	struct stamp now;
	int fd, r = stamp_at(a->dir, name, &now);

	if (r)
		return r;
	if (open_it(a, name, &fd))
		return -EEXIST;
	close(fd);
	return S_ISREG(now.mode) ? 0 : -EEXIST;
}

static bool is_untouched(int fd, const char *name, struct stamp *ret)
{
	char said[WIRE_NAME_MAX + 1];
	int64_t received;

	return !stamp_of(fd, ret) && S_ISREG(ret->mode) &&
	       !provenance_read(fd, said, &received) && !strcmp(said, name) &&
	       ret->mtime.sec <= received;
}

static int remember(struct inbox *in, const struct again *a, const char *name,
    const struct stamp *stamp)
{
	struct delivered_file file = { .stamp = *stamp };
	int r;

	memcpy(file.sender, a->sender, sizeof(file.sender));
	memcpy(file.id, a->id, sizeof(file.id));
	memcpy(file.parent, a->parent, sizeof(file.parent));
	memcpy(file.want, name, strlen(name) + 1);
	memcpy(file.name, name, strlen(name) + 1);
	r = delivered_place(a->dir, file.place);
	if (!r)
		r = delivered_add(in->delivered, &file);
	if (!r)
		delivered_end(in->delivered, &file, NULL);
	return r;
}

static int find(struct inbox *in, const struct again *a, DIR *d)
{
	const struct dirent *e;
	struct stamp stamp;
	int fd, r = -ENOENT;

	for (unsigned n = 0; n < AGAIN_MAX && (e = readdir(d)); n++) {
		if ((e->d_type != DT_REG && e->d_type != DT_UNKNOWN) ||
		    open_it(a, e->d_name, &fd))
			continue;
		r = is_untouched(fd, e->d_name, &stamp)
			? remember(in, a, e->d_name, &stamp)
			: -ESTALE;
		close(fd);
		break;
	}
	return r;
}

int again_find(struct inbox *in, const struct again *a)
{
	struct again copy = *a;
	char name[WIRE_NAME_MAX + 1];
	int fd, r;
	DIR *d;

	if (!publish_choose(
		a->want, PUBLISH_FILE, a->top, is_done, &copy, name))
		return AGAIN_DONE;
	fd = openat(a->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		r = -errno;
		close(fd);
		return r;
	}
	r = find(in, a, d);
	closedir(d);
	return r;
}

/*
 * The inbox: puts its parts together as the sink of net/sink.h. Runs in the
 * threads that receive (net/incoming, one per connection); opened and closed by
 * main. Files on their way in are fs/arrival's, what is asked about those that
 * arrived fs/requests'. Who may send, and in what order messages come, has been
 * decided in net; the mounted view of the same directory is fs/view's.
 */
#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "arrival.h"
#include "delivered.h"
#include "folders.h"
#include "held_open.h"
#include "held_watch.h"
#include "inbox_internal.h"
#include "links.h"
#include "requests.h"
#include "usage.h"

#define SPACE_FRESH_MS 1000

/*
 * A delivery into a directory that was moved or mounted over would be lost to
 * the user. Where path cannot be asked (EACCES on the way) nothing speaks
 * against it.
 */
int inbox_check_place(const struct inbox *in)
{
	struct stat here, there;

	if (fstat(in->fd, &here))
		return -errno;
	if (stat(in->path, &there))
		return errno == ENOENT    ? -ENOENT
		       : errno == ENOTDIR ? -ESTALE
					  : 0;
	return here.st_dev == there.st_dev && here.st_ino == there.st_ino
		   ? 0
		   : -ESTALE;
}

static void tick(struct sink *s, sink_here *here, void *ctx)
{
	held_watch_tick(inbox_of(s), here, ctx);
}

static int space(struct sink *s, struct sink_space *ret)
{
	struct inbox *in = inbox_of(s);
	int64_t now = now_ms();
	struct statvfs vfs;
	bool fresh;

	mutex_lock(&in->lock);
	fresh = in->space_ms && now - in->space_ms < SPACE_FRESH_MS;
	if (fresh)
		*ret = in->space;
	mutex_unlock(&in->lock);
	if (fresh)
		return 0;
	if (fstatvfs(in->fd, &vfs))
		return -errno;
	*ret = (struct sink_space){
		.free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize,
		.total_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize,
		.free_files = vfs.f_favail,
		.total_files = vfs.f_files,
	};
	mutex_lock(&in->lock);
	in->space = *ret;
	in->space_ms = now;
	mutex_unlock(&in->lock);
	return 0;
}

static const struct sink_ops ops = {
	.open = arrival_open,
	.write = arrival_write,
	.truncate = arrival_truncate,
	.reserve = arrival_reserve,
	.set_meta = arrival_set_meta,
	.set_xattr = arrival_set_xattr,
	.move = arrival_move,
	.read = arrival_read,
	.size = arrival_size,
	.checkpoint = arrival_checkpoint,
	.commit = arrival_commit,
	.abort = arrival_abort,
	.close = arrival_close,
	.request = requests_handle,
	.tick = tick,
	.space = space,
};

/* fsync of the directory that path is an entry of. */
static int sync_above(const char *path)
{
	char above[PATH_MAX];
	char *slash;
	int fd, r;

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (!slash)
		snprintf(above, sizeof(above), ".");
	else
		slash[slash == above] = '\0';
	fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fsync(fd) ? -errno : 0;
	close(fd);
	return r;
}

/*
 * path and what is missing above it, 0700 (as the XDG base directories want
 * it), each made durable: what is acknowledged later stands below them.
 */
static int make_path(const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	int r;

	if (!len || len >= sizeof(part))
		return len ? -ENAMETOOLONG : -ENOENT;
	memcpy(part, path, len + 1);
	while (len > 1 && part[len - 1] == '/')
		part[--len] = '\0';
	for (char *at = part + 1;; at++) {
		char c = *at;

		if (c && c != '/')
			continue;
		*at = '\0';
		if (at[-1] != '/' || at == part + 1) {
			r = mkdir(part, 0700) ? -errno : sync_above(part);
			/* EROFS, EACCES: it may exist; the open will tell. */
			if (r && r != -EEXIST && r != -EROFS && r != -EACCES)
				return r;
		}
		if (!c)
			return 0;
		*at = c;
	}
}

static void note_made(void *ctx, const uint8_t *sender, const char *path)
{
	struct inbox *in = ctx;

	usage_add(in->usage, sender, DIRECTORY_BYTES);
	if (in->config.made)
		in->config.made(in->config.ctx, path);
}

static void note_gone(void *ctx, const uint8_t *sender, uint64_t bytes)
{
	struct inbox *in = ctx;

	usage_forget(in->usage, sender, bytes);
}

static int make_parts(struct inbox *in)
{
	int r = folders_new(in->fd, FOLDERS_MAX, &in->folders);

	if (!r)
		folders_tell(in->folders, note_made, note_gone, in);
	if (!r)
		r = links_new(in->folders, in->spool.fd, LINKS_MAX, &in->links);
	if (!r)
		r = delivered_new(DELIVERED_MAX, &in->delivered);
	if (!r)
		r = held_watch_new(HELD_PATIENCE_MS, &in->watch);
	if (r)
		return r;
	in->usage = usage_new(in->fd, INBOX_SPOOL_NAME);
	links_count(in->links, in->usage);
	return in->usage ? 0 : -ENOMEM;
}

int inbox_open(
    const char *path, const struct inbox_config *config, struct inbox **ret)
{
	struct inbox *in;
	int r;

	r = make_path(path);
	if (r)
		return r;
	in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	mutex_init(&in->lock);
	in->sink.ops = &ops;
	in->config = *config;
	in->spool.fd = -1;
	/* The user's own link to the inbox is followed here, once. */
	in->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	in->path = in->fd < 0 ? NULL : realpath(path, NULL);
	if (!in->path) {
		r = -errno;
		goto free_inbox;
	}
	r = inbox_check_place(in);
	if (!r)
		r = spool_open(
		    in->fd, INBOX_SPOOL_NAME, config->durable, &in->spool);
	if (!r)
		r = make_parts(in);
	if (!r)
		r = held_open(in);
	if (r)
		goto free_inbox;
	*ret = in;
	return 0;
free_inbox:
	inbox_close(in);
	return r;
}

void inbox_close(struct inbox *in)
{
	if (!in)
		return;
	usage_free(in->usage);
	held_watch_free(in->watch);
	delivered_free(in->delivered);
	links_free(in->links);
	folders_free(in->folders);
	spool_fini(&in->spool);
	if (in->fd >= 0)
		close(in->fd);
	free(in->path);
	mutex_fini(&in->lock);
	free(in);
}

int inbox_start(struct inbox *in)
{
	return usage_start(in->usage);
}

int inbox_share(struct inbox *in, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, struct usage_share *ret)
{
	return usage_share(in->usage, peer, limits, ret);
}

struct sink *inbox_sink(struct inbox *in)
{
	return &in->sink;
}

int inbox_dirfd(const struct inbox *in)
{
	return in->fd;
}

/*
 * The inbox: puts spool, folders, publish and delivered together as the sink of
 * net/sink.h. Runs in the threads that receive (net/incoming, one per
 * connection); opened and closed by main. Who may send, and in what order
 * messages come, has been decided in net; the mounted view of the same
 * directory is fs/view's.
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

#include "delivered.h"
#include "folders.h"
#include "meta.h"
#include "patch.h"
#include "provenance.h"
#include "publish.h"
#include "spool.h"
#include "stamp.h"
#include "sync.h"

#define SPACE_FRESH_MS 1000

struct inbox {
	struct sink sink; /* first: the ops get a pointer to it */
	struct inbox_config config;
	int fd;
	char *path; /* absolute, links resolved when it was opened */
	struct spool spool;
	struct folders *folders;
	struct delivered *delivered;
	struct mutex lock;
	int64_t space_ms GUARDED_BY(lock); /* of space; 0: never asked */
	struct sink_space space GUARDED_BY(lock);
};

/* One file on its way in. */
struct arrival {
	struct sink_file file; /* first */
	struct inbox *in;
	struct spool_file spool;
	struct wire_meta meta;
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	char name[WIRE_NAME_MAX + 1]; /* as sent */
	char peer[WIRE_NAME_MAX + 1];
};

static struct inbox *inbox_of(struct sink *s)
{
	return (struct inbox *)(void *)s;
}

static struct arrival *arrival_of(struct sink_file *f)
{
	return (struct arrival *)(void *)f;
}

/*
 * Is what the user calls the inbox still the directory that we opened? A
 * delivery into a directory that was moved or mounted over would be lost to
 * them. Where path cannot be asked (EACCES on the way) nothing speaks against.
 */
static int check_place(const struct inbox *in)
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

static int arrival_open(
    struct sink *s, const struct sink_offer *o, struct sink_file **ret)
{
	struct inbox *in = inbox_of(s);
	const struct wire_offer *offer = o->offer;
	char path[PATH_MAX];
	struct arrival *a;
	int dir, r;

	if (!wire_name_ok(offer->name, strnlen(offer->name, WIRE_NAME_MAX + 1)))
		return -EILSEQ;
	r = check_place(in);
	if (r)
		return r;
	/* Told now rather than after all the bytes. */
	r = folders_open(in->folders, o->sender, offer->parent, &dir, path);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	close(dir);
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	r = spool_create(&in->spool, o->sender, offer->id, &a->spool);
	if (r) {
		free(a);
		return r;
	}
	a->file.ops = s->ops;
	a->in = in;
	a->meta =
	    (struct wire_meta){ .mask = WIRE_META_MODE, .mode = offer->mode };
	memcpy(a->sender, o->sender, sizeof(a->sender));
	memcpy(a->id, offer->id, sizeof(a->id));
	memcpy(a->parent, offer->parent, sizeof(a->parent));
	snprintf(a->name, sizeof(a->name), "%s", offer->name);
	snprintf(a->peer, sizeof(a->peer), "%s", o->peer ? o->peer : "");
	*ret = &a->file;
	return 0;
}

static int arrival_write(
    struct sink_file *f, const void *bytes, size_t len, uint64_t offset)
{
	return spool_write(&arrival_of(f)->spool, bytes, len, offset);
}

static int arrival_truncate(struct sink_file *f, uint64_t size)
{
	return spool_truncate(&arrival_of(f)->spool, size);
}

static int arrival_reserve(
    struct sink_file *f, uint64_t offset, uint64_t len, int keep_size)
{
	return spool_reserve(&arrival_of(f)->spool, offset, len, keep_size);
}

/* Remembered until the commit, because writes still to come change mtime. */
static int arrival_set_meta(struct sink_file *f, const struct wire_meta *m)
{
	struct arrival *a = arrival_of(f);

	if (a->spool.failed)
		return -EIO;
	if (!meta_ok(m))
		return -EINVAL;
	meta_merge(&a->meta, m);
	return 0;
}

static int arrival_size(struct sink_file *f, uint64_t *ret)
{
	return spool_size(&arrival_of(f)->spool, ret);
}

static int arrival_checkpoint(struct sink_file *f)
{
	return spool_sync(&arrival_of(f)->spool);
}

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
	provenance_set(a->spool.fd, a->sender, a->id, a->name);
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

/*
 * Remembers the file for later changes, unless somebody was faster: what they
 * did between the rename and now must not count as ours.
 */
static void remember(
    struct arrival *a, const struct stamp *before, const char *name)
{
	struct delivered_file d;

	if (stamp_of(a->spool.fd, &d.stamp) || before->size != d.stamp.size ||
	    !stamp_time_equal(&before->mtime, &d.stamp.mtime))
		return;
	memcpy(d.sender, a->sender, sizeof(d.sender));
	memcpy(d.id, a->id, sizeof(d.id));
	memcpy(d.parent, a->parent, sizeof(d.parent));
	snprintf(d.name, sizeof(d.name), "%s", name);
	delivered_add(a->in->delivered, &d);
}

/*
 * The order is the promise: the bytes are durable before they have a name, and
 * the name is durable before anybody is told. Where the name cannot be made
 * durable it is taken back, as an error must not leave something visible; what
 * the disk itself keeps of the rename is then unknown, so after a power cut a
 * whole file may still stand there that the sender believes failed. Never a
 * partial one, and never the other way round.
 */
static int publish(struct arrival *a, int dir, bool top,
    char ret_name[WIRE_NAME_MAX + 1], uint64_t *ret_size)
{
	struct inbox *in = a->in;
	char name[WIRE_NAME_MAX + 1];
	struct stamp before;
	int r;

	r = prepare(a, &before);
	if (r)
		return r;
	r = publish_file(in->spool.fd, a->spool.name, dir, top, a->name, name);
	if (r)
		return r == -ENOENT ? -ESTALE : r; /* dir was removed */
	if (in->config.durable && fsync(dir)) {
		r = -errno;
		(void)publish_undo(
		    dir, name, &before, in->spool.fd, a->spool.name);
		return r;
	}
	remember(a, &before, name);
	memcpy(ret_name, name, sizeof(name));
	*ret_size = before.size;
	return 0;
}

static int arrival_commit(struct sink_file *f, char ret_name[WIRE_NAME_MAX + 1])
{
	struct arrival *a = arrival_of(f);
	struct inbox *in = a->in;
	char path[PATH_MAX + WIRE_NAME_MAX + 2];
	uint64_t size = 0;
	size_t len;
	int dir, r;

	if (a->spool.failed)
		return -EIO;
	r = check_place(in);
	if (r)
		goto fail;
	r = folders_open(in->folders, a->sender, a->parent, &dir, path);
	if (r) {
		r = r == -ENOENT ? -ESTALE : r;
		goto fail;
	}
	r = publish(a, dir, !*path, ret_name, &size);
	close(dir);
	if (r)
		goto fail;
	if (in->config.arrived) {
		len = strlen(path);
		snprintf(path + len, sizeof(path) - len, "%s%s", len ? "/" : "",
		    ret_name);
		in->config.arrived(in->config.ctx, path, a->peer, size);
	}
	return in->config.durable ? 0 : SINK_RECEIVED;
fail:
	a->spool.failed = true;
	return r;
}

static void arrival_abort(struct sink_file *f)
{
	if (!f)
		return;
	spool_drop(&arrival_of(f)->spool);
	free(arrival_of(f));
}

static void arrival_close(struct sink_file *f)
{
	spool_close(&arrival_of(f)->spool);
	free(arrival_of(f));
}

static int make_folder(
    struct sink *s, const struct sink_offer *from, const struct wire_mkdir *m)
{
	struct inbox *in = inbox_of(s);
	int r = check_place(in);

	return r ? r
		 : folders_make(
		       in->folders, from->sender, m, in->config.durable);
}

static int patch(struct sink *s, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m)
{
	struct inbox *in = inbox_of(s);

	return patch_apply(
	    in->folders, in->delivered, in->config.durable, sender, id, m);
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
	.size = arrival_size,
	.checkpoint = arrival_checkpoint,
	.commit = arrival_commit,
	.abort = arrival_abort,
	.close = arrival_close,
	.mkdir = make_folder,
	.patch = patch,
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
	r = check_place(in);
	if (!r)
		r = spool_open(
		    in->fd, INBOX_SPOOL_NAME, config->durable, &in->spool);
	if (!r)
		r = folders_new(in->fd, FOLDERS_MAX, &in->folders);
	if (!r)
		r = delivered_new(DELIVERED_MAX, &in->delivered);
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
	delivered_free(in->delivered);
	folders_free(in->folders);
	spool_fini(&in->spool);
	if (in->fd >= 0)
		close(in->fd);
	free(in->path);
	mutex_fini(&in->lock);
	free(in);
}

struct sink *inbox_sink(struct inbox *in)
{
	return &in->sink;
}

int inbox_dirfd(const struct inbox *in)
{
	return in->fd;
}

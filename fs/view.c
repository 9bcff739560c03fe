/*
 * The view itself, and its operations on one node: look up, attributes,
 * extended attributes, the target of a link. Names are changed in view_name.c,
 * contents in view_file.c, directories are listed in view_dir.c; nodes become
 * descriptors in view_fd.c.
 *
 * Runs in FUSE workers. Who may do what is the kernel's to decide
 * (default_permissions), from the owner and mode that the backing file has.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "view_fd.h"
#include "view_slow.h"

int view_new(int dirfd, struct view **ret)
{
	struct view_key key;
	struct view *v;
	int r;

	r = view_stat(dirfd, "", NULL, &key);
	if (r < 0)
		return r;
	if (key.type != S_IFDIR)
		return -ENOTDIR;
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v->dirfd = dirfd;
	r = view_nodes_new(VIEW_ROOT, &key, &v->nodes);
	if (r == 0)
		r = view_slow_new(&v->slow);
	if (r < 0) {
		view_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void view_free(struct view *v)
{
	if (v == NULL)
		return;
	view_slow_free(v->slow);
	view_nodes_free(v->nodes);
	free(v);
}

int view_root_attr(struct view *v, struct stat *ret)
{
	return view_stat(v->dirfd, "", ret, NULL);
}

static int lookup_one(struct view *v, fuse_ino_t parent, const char *name,
    struct fuse_entry_param *ret)
{
	struct view_fd dir;
	int r = view_fd_open_parent(v, parent, &dir);

	if (r == 0) {
		r = view_is_spool(dir.node, name)
			? -ENOENT
			: view_entry(v, &dir, name, false, ret);
		view_fd_close(v, &dir);
	}
	return r;
}

void view_lookup(
    struct view *v, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { 0 };

	view_reply_entry(v, req, lookup_one(v, parent, name, &e), &e);
}

void view_lookup_path(struct view *v, fuse_req_t req, const char *path)
{
	struct fuse_entry_param e = { .ino = VIEW_ROOT }, next = { 0 };
	char name[NAME_MAX + 1];
	size_t len;
	int r = 0;

	while (r == 0 && *path) {
		len = strcspn(path, "/");
		r = len > NAME_MAX ? -ENAMETOOLONG : 0;
		if (r == 0) {
			memcpy(name, path, len);
			name[len] = '\0';
			r = lookup_one(v, e.ino, name, &next);
		}
		if (e.ino != VIEW_ROOT)
			view_nodes_forget(v->nodes, e.ino, 1);
		e = next;
		path += len + (path[len] == '/');
	}
	view_reply_entry(v, req, r, &e);
}

void view_forget(struct view *v, fuse_ino_t ino, uint64_t nlookup)
{
	view_nodes_forget(v->nodes, ino, nlookup);
}

void view_getattr(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	struct view_fd f;
	int r;

	r = view_fd_open(v, ino, fi, &f);
	if (r == 0) {
		r = view_stat(f.fd, "", &st, NULL);
		view_fd_close(v, &f);
	}
	if (r < 0)
		view_reply_err(req, r);
	else
		fuse_reply_attr(req, &st, 0);
}

static struct timespec time_to_set(
    int to_set, int set, int now, struct timespec t)
{
	if (to_set & now)
		t.tv_nsec = UTIME_NOW;
	else if (!(to_set & set))
		t.tv_nsec = UTIME_OMIT;
	return t;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
	struct timespec ts[2] = {
		time_to_set(to_set, FUSE_SET_ATTR_ATIME,
		    FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
		time_to_set(to_set, FUSE_SET_ATTR_MTIME,
		    FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
	};

	return utimensat(fd, "", ts, AT_EMPTY_PATH);
}

static int set_size(
    const struct view_fd *f, off_t size, struct fuse_file_info *fi)
{
	char path[VIEW_PROC_MAX];

	if (fi != NULL)
		return ftruncate(f->fd, size);
	view_proc_path(f->fd, path);
	return truncate(path, size);
}

/* Owner before mode: chown(2) takes setuid and setgid away. */
static int set_attr(const struct view_fd *f, const struct stat *attr,
    int to_set, struct fuse_file_info *fi)
{
	char path[VIEW_PROC_MAX];
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) &&
	    fchownat(f->fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if (to_set & FUSE_SET_ATTR_SIZE && set_size(f, attr->st_size, fi) < 0)
		return -errno;
	if (to_set & FUSE_SET_ATTR_MODE) {
		view_proc_path(f->fd, path);
		if (chmod(path, attr->st_mode & 07777) < 0)
			return -errno;
	}
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW |
			 FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) &&
	    set_times(f->fd, attr, to_set) < 0)
		return -errno;
	return 0;
}

void view_setattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct stat st;
	struct view_fd f;
	int r;

	r = view_fd_open(v, ino, fi, &f);
	if (r == 0) {
		r = set_attr(&f, attr, to_set, fi);
		if (r == 0)
			r = view_stat(f.fd, "", &st, NULL);
		view_fd_close(v, &f);
	}
	if (r < 0)
		view_reply_err(req, r);
	else
		fuse_reply_attr(req, &st, 0);
}

void view_readlink(struct view *v, fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	struct view_fd f;
	ssize_t n = 0;
	int r;

	r = view_fd_open(v, ino, NULL, &f);
	if (r == 0) {
		n = readlinkat(f.fd, "", target, sizeof(target) - 1);
		if (n < 0)
			r = -errno;
		view_fd_close(v, &f);
	}
	if (r < 0) {
		view_reply_err(req, r);
		return;
	}
	target[n] = '\0';
	fuse_reply_readlink(req, target);
}

void view_statfs(struct view *v, fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(v->dirfd, &st) < 0)
		view_reply_err(req, -errno);
	else
		fuse_reply_statfs(req, &st);
}

void view_setxattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    const char *name, const char *value, size_t size, int flags)
{
	char path[VIEW_PROC_MAX];
	struct view_fd f;
	int r;

	r = view_fd_open(v, ino, NULL, &f);
	if (r == 0) {
		view_proc_path(f.fd, path);
		if (setxattr(path, name, value, size, flags) < 0)
			r = -errno;
		view_fd_close(v, &f);
	}
	view_reply_err(req, r);
}

/*
 * name NULL: the list of names. *ret is for the caller to free, NULL where only
 * the size was asked for.
 */
static ssize_t read_xattr(
    struct view *v, fuse_ino_t ino, const char *name, size_t size, char **ret)
{
	char path[VIEW_PROC_MAX], *value = NULL;
	struct view_fd f;
	ssize_t n;
	int r;

	if (size > XATTR_SIZE_MAX)
		size = XATTR_SIZE_MAX;
	if (size > 0) {
		value = malloc(size);
		if (value == NULL)
			return -ENOMEM;
	}
	r = view_fd_open(v, ino, NULL, &f);
	if (r < 0) {
		free(value);
		return r;
	}
	view_proc_path(f.fd, path);
	n = name != NULL ? getxattr(path, name, value, size)
			 : listxattr(path, value, size);
	if (n < 0)
		n = -errno;
	view_fd_close(v, &f);
	if (n < 0) {
		free(value);
		return n;
	}
	*ret = value;
	return n;
}

static void reply_xattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    const char *name, size_t size)
{
	char *value = NULL;
	ssize_t n = read_xattr(v, ino, name, size, &value);

	if (n < 0)
		view_reply_err(req, (int)n);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, value, (size_t)n);
	free(value);
}

void view_getxattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    const char *name, size_t size)
{
	reply_xattr(v, req, ino, name, size);
}

void view_listxattr(struct view *v, fuse_req_t req, fuse_ino_t ino, size_t size)
{
	reply_xattr(v, req, ino, NULL, size);
}

void view_removexattr(
    struct view *v, fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[VIEW_PROC_MAX];
	struct view_fd f;
	int r;

	r = view_fd_open(v, ino, NULL, &f);
	if (r == 0) {
		view_proc_path(f.fd, path);
		if (removexattr(path, name) < 0)
			r = -errno;
		view_fd_close(v, &f);
	}
	view_reply_err(req, r);
}

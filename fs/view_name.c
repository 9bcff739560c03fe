/*
 * The view's operations on names: make, remove, rename, link. Each works on
 * the descriptor of the parent directory, so that a rename of what is above it
 * meanwhile does not matter.
 *
 * Runs in FUSE workers; the kernel holds the lock of each directory that is
 * changed here. The mode of what is made arrives masked.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "view_fd.h"

static int open_dir(struct view *v, fuse_ino_t parent, const char *name,
    int if_spool, struct view_fd *ret)
{
	int r = view_fd_open_parent(v, parent, ret);

	if (r == 0 && view_is_spool(ret->node, name)) {
		view_fd_close(v, ret);
		r = if_spool;
	}
	return r;
}

/* For names that are to appear. */
static int open_dir_for(
    struct view *v, fuse_ino_t parent, const char *name, struct view_fd *ret)
{
	return open_dir(v, parent, name, -EPERM, ret);
}

/* For names that are there. */
static int open_dir_of(
    struct view *v, fuse_ino_t parent, const char *name, struct view_fd *ret)
{
	return open_dir(v, parent, name, -ENOENT, ret);
}

void view_mknod(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, dev_t rdev)
{
	struct fuse_entry_param e = { 0 };
	struct view_fd dir;
	int r;

	r = open_dir_for(v, parent, name, &dir);
	if (r == 0) {
		r = mknodat(dir.fd, name, mode, rdev) < 0
			? -errno
			: view_entry(v, &dir, name, true, &e);
		view_fd_close(v, &dir);
	}
	view_reply_entry(v, req, r, &e);
}

void view_mkdir(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode)
{
	struct fuse_entry_param e = { 0 };
	struct view_fd dir;
	int r;

	r = open_dir_for(v, parent, name, &dir);
	if (r == 0) {
		r = mkdirat(dir.fd, name, mode) < 0
			? -errno
			: view_entry(v, &dir, name, true, &e);
		view_fd_close(v, &dir);
	}
	view_reply_entry(v, req, r, &e);
}

void view_symlink(struct view *v, fuse_req_t req, const char *link,
    fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { 0 };
	struct view_fd dir;
	int r;

	r = open_dir_for(v, parent, name, &dir);
	if (r == 0) {
		r = symlinkat(link, dir.fd, name) < 0
			? -errno
			: view_entry(v, &dir, name, true, &e);
		view_fd_close(v, &dir);
	}
	view_reply_entry(v, req, r, &e);
}

void view_link(struct view *v, fuse_req_t req, fuse_ino_t ino,
    fuse_ino_t newparent, const char *newname)
{
	struct fuse_entry_param e = { 0 };
	char path[VIEW_PROC_MAX];
	struct view_fd f, dir;
	int r;

	r = view_fd_open(v, ino, NULL, &f);
	if (r < 0) {
		view_reply_err(req, r);
		return;
	}
	r = open_dir_for(v, newparent, newname, &dir);
	if (r == 0) {
		view_proc_path(f.fd, path);
		r = linkat(AT_FDCWD, path, dir.fd, newname, AT_SYMLINK_FOLLOW) <
			    0
			? -errno
			: view_entry(v, &dir, newname, false, &e);
		view_fd_close(v, &dir);
	}
	view_fd_close(v, &f);
	view_reply_entry(v, req, r, &e);
}

/*
 * The node of a file that loses its only name at name, if it has one (counted),
 * else NULL. It must not be found again when the inode number is given to
 * another file: some file systems keep no time of birth, others a coarse one.
 */
static struct view_node *find_victim(
    struct view *v, const struct view_fd *dir, const char *name)
{
	struct view_key key;
	struct stat st;

	if (view_stat(dir->fd, name, &st, &key) < 0)
		return NULL;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		return NULL;
	return view_nodes_find(v->nodes, &key);
}

static void put_victim(struct view *v, struct view_node *n, bool gone)
{
	if (n == NULL)
		return;
	if (gone)
		view_nodes_gone(v->nodes, n);
	view_nodes_put(v->nodes, n);
}

static void remove_name(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, int flags)
{
	struct view_node *victim;
	struct view_fd dir;
	int r;

	r = open_dir_of(v, parent, name, &dir);
	if (r == 0) {
		victim = find_victim(v, &dir, name);
		if (unlinkat(dir.fd, name, flags) < 0)
			r = -errno;
		put_victim(v, victim, r == 0);
		view_fd_close(v, &dir);
	}
	view_reply_err(req, r);
}

void view_unlink(
    struct view *v, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(v, req, parent, name, 0);
}

void view_rmdir(
    struct view *v, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(v, req, parent, name, AT_REMOVEDIR);
}

/* The node of what is at name now, if there is one, is told so. */
static void note_place(struct view *v, const struct view_fd *dir,
    const char *name, struct view_key *ret_key)
{
	if (view_stat(dir->fd, name, NULL, ret_key) == 0)
		view_nodes_move(v->nodes, ret_key, dir->node, name);
}

static int rename_between(struct view *v, const struct view_fd *from,
    const char *name, const struct view_fd *to, const char *newname,
    unsigned int flags)
{
	struct view_node *victim = find_victim(v, to, newname);
	struct view_key moved = { 0 }, other;
	bool gone = false;
	int r = 0;

	view_nodes_rename_begin(v->nodes);
	if (renameat2(from->fd, name, to->fd, newname, flags) < 0)
		r = -errno;
	if (r == 0) {
		note_place(v, to, newname, &moved);
		if (flags & RENAME_EXCHANGE)
			note_place(v, from, name, &other);
		else
			gone = victim != NULL &&
			       !view_key_equal(view_node_key(victim), &moved);
	}
	view_nodes_rename_end(v->nodes);
	put_victim(v, victim, gone);
	return r;
}

void view_rename(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, fuse_ino_t newparent, const char *newname,
    unsigned int flags)
{
	struct view_fd from, to;
	int r;

	r = open_dir_of(v, parent, name, &from);
	if (r < 0) {
		view_reply_err(req, r);
		return;
	}
	r = open_dir_for(v, newparent, newname, &to);
	if (r == 0) {
		r = rename_between(v, &from, name, &to, newname, flags);
		view_fd_close(v, &to);
	}
	view_fd_close(v, &from);
	view_reply_err(req, r);
}

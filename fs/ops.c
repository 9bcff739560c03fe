/*
 * Dispatch. Runs in FUSE workers. The user data of the session is the struct
 * mount. Every operation that a program may see has a handler: where one were
 * missing the kernel would get ENOSYS, and for flush, fsync and others it would
 * never ask again, a silent lie (design section 8).
 */
#include "ops.h"

#include <errno.h>
#include <poll.h>

#include "announce.h"
#include "ctl_files.h"
#include "outbox.h"
#include "tree.h"

static struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static bool is_ctl(fuse_ino_t ino)
{
	return (ino >= NODE_ID_CTL_FIRST &&
		   ino < NODE_ID_CTL_FIRST + CTL_FILES_COUNT) ||
	       ino & NODE_ID_TEXT;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	/* The page cache is the kernel's to drop suid bits through setattr:
	 * the backing file system may not do it for a root daemon. */
	conn->want &= ~(unsigned)(FUSE_CAP_HANDLE_KILLPRIV |
				  FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_MOVE);
	if (conn->capable & FUSE_CAP_SPLICE_WRITE)
		conn->want |= FUSE_CAP_SPLICE_WRITE;
	conn->max_write = MOUNT_BLKSIZE;
	conn->time_gran = 1;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = mount_of(req);

	if (announce_owns(m->announce, req))
		announce_lookup(m, req, parent, name);
	else if (view_owns(parent))
		view_lookup(m->view, req, parent, name);
	else
		tree_lookup(m, req, parent, name);
}

static void forget_one(struct mount *m, fuse_ino_t ino, uint64_t nlookup)
{
	if (view_owns(ino))
		view_forget(m->view, ino, nlookup);
	else
		tree_forget(m, ino, nlookup);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget_one(mount_of(req), ino, nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(
    fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	size_t i;

	for (i = 0; i < count; i++)
		forget_one(mount_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(
    fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_getattr(m->view, req, ino, fi);
	else
		tree_getattr(m, req, ino);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
    int to_set, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino)) {
		view_setattr(m->view, req, ino, attr, to_set, fi);
		return;
	}
	if (fi && to_set & FUSE_SET_ATTR_SIZE && !is_ctl(ino))
		outbox_note_truncate(fi);
	tree_setattr(m, req, ino, attr, to_set);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_readlink(m->view, req, ino);
	else
		tree_readlink(m, req, ino);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
    mode_t mode, dev_t rdev)
{
	if (view_owns(parent))
		view_mknod(mount_of(req)->view, req, parent, name, mode, rdev);
	else
		fuse_reply_err(req, EPERM);
}

static void op_mkdir(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mount *m = mount_of(req);

	if (announce_owns(m->announce, req))
		announce_mkdir(m, req, parent, name);
	else if (view_owns(parent))
		view_mkdir(m->view, req, parent, name, mode);
	else
		tree_mkdir(m, req, parent, name, mode);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = mount_of(req);

	if (view_owns(parent))
		view_unlink(m->view, req, parent, name);
	else
		tree_remove(m, req, parent, name, false);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = mount_of(req);

	if (view_owns(parent))
		view_rmdir(m->view, req, parent, name);
	else
		tree_remove(m, req, parent, name, true);
}

static void op_symlink(
    fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	struct mount *m = mount_of(req);

	if (view_owns(parent))
		view_symlink(m->view, req, link, parent, name);
	else
		tree_symlink(m, req, link, parent, name);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
    fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct mount *m = mount_of(req);

	if (announce_owns(m->announce, req))
		announce_rename(m, req, parent, name);
	else if (view_owns(parent) != view_owns(newparent))
		fuse_reply_err(req, EXDEV);
	else if (view_owns(parent))
		view_rename(
		    m->view, req, parent, name, newparent, newname, flags);
	else
		tree_rename(m, req, parent, name, newparent, newname, flags);
}

static void op_link(
    fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	if (view_owns(ino) != view_owns(newparent))
		fuse_reply_err(req, EXDEV);
	else if (view_owns(ino))
		view_link(mount_of(req)->view, req, ino, newparent, newname);
	else
		fuse_reply_err(req, EPERM);
}

/* --- files ---------------------------------------------------------------- */

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
    mode_t mode, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(parent))
		view_create(m->view, req, parent, name, mode, fi);
	else
		outbox_create(m, req, parent, name, mode, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_open(m->view, req, ino, fi);
	else if (is_ctl(ino))
		ctl_files_open(m, req, ino, fi);
	else
		outbox_open(m, req, ino, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_read(m->view, req, ino, size, off, fi);
	else if (is_ctl(ino))
		ctl_files_read(m, req, size, off, fi);
	else
		outbox_read(m, req, size, off, fi);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
    size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_write(m->view, req, ino, buf, size, off, fi);
	else if (is_ctl(ino))
		ctl_files_write(m, req, buf, size, fi);
	else
		outbox_write(m, req, buf, size, off, fi);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_flush(m->view, req, ino, fi);
	else if (is_ctl(ino))
		fuse_reply_err(req, 0);
	else
		outbox_flush(m, req, fi);
}

static void op_release(
    fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_release(m->view, req, ino, fi);
	else if (is_ctl(ino))
		ctl_files_release(m, req, fi);
	else
		outbox_release(m, req, fi);
}

static void op_fsync(
    fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_fsync(m->view, req, ino, datasync, fi);
	else if (is_ctl(ino))
		fuse_reply_err(req, 0);
	else
		outbox_fsync(m, req, fi);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
    off_t length, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_fallocate(m->view, req, ino, mode, offset, length, fi);
	else if (is_ctl(ino))
		fuse_reply_err(req, EOPNOTSUPP);
	else
		outbox_fallocate(m, req, mode, offset, length, fi);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph)
{
	if (is_ctl(ino)) {
		ctl_files_poll(mount_of(req), req, fi, ph);
		return;
	}
	if (ph)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
    struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_lseek(m->view, req, ino, off, whence, fi);
	else if (is_ctl(ino))
		fuse_reply_err(req, EINVAL);
	else
		outbox_lseek(m, req, off, whence, fi);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
    struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
    struct fuse_file_info *fi_out, size_t len, int flags)
{
	/* To a peer: the caller falls back to read and write. */
	if (view_owns(ino_in) && view_owns(ino_out))
		view_copy_file_range(mount_of(req)->view, req, ino_in, off_in,
		    fi_in, ino_out, off_out, fi_out, len, flags);
	else
		fuse_reply_err(req, EOPNOTSUPP);
}

/* --- directories ------------------------------------------------------------
 */

static void op_opendir(
    fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_opendir(m->view, req, ino, fi);
	else
		tree_opendir(m, req, ino, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_readdir(m->view, req, ino, size, off, fi);
	else
		tree_readdir(m, req, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_readdirplus(m->view, req, ino, size, off, fi);
	else
		tree_readdir(m, req, size, off, fi, true);
}

static void op_releasedir(
    fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_releasedir(m->view, req, ino, fi);
	else
		tree_releasedir(m, req, fi);
}

static void op_fsyncdir(
    fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	if (view_owns(ino))
		view_fsyncdir(mount_of(req)->view, req, ino, datasync, fi);
	else
		fuse_reply_err(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_statfs(m->view, req, ino);
	else
		tree_statfs(m, req, ino);
}

/* --- extended attributes
 * ------------------------------------------------------ */

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
    const char *value, size_t size, int flags)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_setxattr(m->view, req, ino, name, value, size, flags);
	else
		tree_setxattr(m, req, ino, name, value, size, flags);
}

static void op_getxattr(
    fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_getxattr(m->view, req, ino, name, size);
	else
		tree_getxattr(m, req, ino, name, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_listxattr(m->view, req, ino, size);
	else
		tree_listxattr(m, req, ino, size);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mount *m = mount_of(req);

	if (view_owns(ino))
		view_removexattr(m->view, req, ino, name);
	else
		tree_removexattr(m, req, ino, name);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.poll = op_poll,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
};

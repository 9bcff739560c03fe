/*
 * inbox/ in the mounted tree: a view of the backing directory through the
 * low-level FUSE API, as libfuse's passthrough_ll or better. The spool
 * directory (VIEW_SPOOL_NAME at the top) is neither listed nor resolved.
 *
 * Nodes hold no descriptor: each is a (parent, name) and the identity (device,
 * inode, birth time) of what was found there, and every operation opens what it
 * needs beneath the backing directory with openat2(RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV). Timeouts are
 * 0: what is changed behind the mount is seen by the next call.
 *
 * The operations have the signatures of struct fuse_lowlevel_ops with the view
 * in front, run in FUSE worker threads, and reply before they return; slow ones
 * (fsync, fallocate, copies) reply later from the view's own thread so that no
 * worker waits for a disk flush.
 *
 * The caller has called umask(0) (modes arrive masked by the kernel) and mounts
 * with default_permissions; /proc is there. fi->direct_io (but for descriptors
 * that only append) and fi->keep_cache stay 0, so that the page cache serves
 * mmap(2) and each open sees what was changed behind the mount. Large reads are
 * spliced where the caller asks for FUSE_CAP_SPLICE_WRITE. Locks are the
 * kernel's own.
 *
 * st_ino is that of the backing file: other files of the mount need numbers
 * that no file system gives, or find(1) takes equal ones for a loop.
 */
#ifndef VIEW_H
#define VIEW_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>

#define VIEW_SPOOL_NAME ".gtfs-spool"

/* Node ids of the view have this bit; all others do not. */
#define VIEW_NODE_BIT (UINT64_C(1) << 62)
#define VIEW_ROOT     (VIEW_NODE_BIT | 1)

static inline bool view_owns(fuse_ino_t ino)
{
	return (ino & VIEW_NODE_BIT) != 0;
}

struct view;

/*
 * dirfd is the backing directory (borrowed, must outlive the view); any open of
 * a directory but one with O_PATH. Starts no thread. Returns 0 or -errno.
 */
int view_new(int dirfd, struct view **ret);
/* After the FUSE workers ended, before fuse_session_destroy(). */
void view_free(struct view *v);

/* The attributes of the top directory as the mount shows them. 0 or -errno. */
int view_root_attr(struct view *v, struct stat *ret);

void view_lookup(
    struct view *v, fuse_req_t req, fuse_ino_t parent, const char *name);
/* The same for a path below the top, not "". */
void view_lookup_path(struct view *v, fuse_req_t req, const char *path);
/* Answers nothing: for forget and each of forget_multi. */
void view_forget(struct view *v, fuse_ino_t ino, uint64_t nlookup);
void view_getattr(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void view_setattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    struct stat *attr, int to_set, struct fuse_file_info *fi);
void view_readlink(struct view *v, fuse_req_t req, fuse_ino_t ino);
void view_mknod(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, dev_t rdev);
void view_mkdir(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode);
void view_unlink(
    struct view *v, fuse_req_t req, fuse_ino_t parent, const char *name);
void view_rmdir(
    struct view *v, fuse_req_t req, fuse_ino_t parent, const char *name);
void view_symlink(struct view *v, fuse_req_t req, const char *link,
    fuse_ino_t parent, const char *name);
void view_rename(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, fuse_ino_t newparent, const char *newname,
    unsigned int flags);
void view_link(struct view *v, fuse_req_t req, fuse_ino_t ino,
    fuse_ino_t newparent, const char *newname);
void view_open(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void view_create(struct view *v, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, struct fuse_file_info *fi);
void view_read(struct view *v, fuse_req_t req, fuse_ino_t ino, size_t size,
    off_t off, struct fuse_file_info *fi);
void view_write(struct view *v, fuse_req_t req, fuse_ino_t ino, const char *buf,
    size_t size, off_t off, struct fuse_file_info *fi);
void view_flush(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void view_release(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void view_fsync(struct view *v, fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi);
void view_opendir(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void view_readdir(struct view *v, fuse_req_t req, fuse_ino_t ino, size_t size,
    off_t off, struct fuse_file_info *fi);
void view_readdirplus(struct view *v, fuse_req_t req, fuse_ino_t ino,
    size_t size, off_t off, struct fuse_file_info *fi);
void view_releasedir(
    struct view *v, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void view_fsyncdir(struct view *v, fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi);
void view_statfs(struct view *v, fuse_req_t req, fuse_ino_t ino);
void view_setxattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    const char *name, const char *value, size_t size, int flags);
void view_getxattr(struct view *v, fuse_req_t req, fuse_ino_t ino,
    const char *name, size_t size);
void view_listxattr(
    struct view *v, fuse_req_t req, fuse_ino_t ino, size_t size);
void view_removexattr(
    struct view *v, fuse_req_t req, fuse_ino_t ino, const char *name);
void view_fallocate(struct view *v, fuse_req_t req, fuse_ino_t ino, int mode,
    off_t offset, off_t length, struct fuse_file_info *fi);
void view_lseek(struct view *v, fuse_req_t req, fuse_ino_t ino, off_t off,
    int whence, struct fuse_file_info *fi);
void view_copy_file_range(struct view *v, fuse_req_t req, fuse_ino_t ino_in,
    off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
    off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);

#endif

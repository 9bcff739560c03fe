/*
 * From a node of the view to a descriptor of what it stands for, and back from
 * a name to its node: what every operation of the view begins and ends with.
 *
 * FUSE workers and the view's slow thread; blocks as open(2) does.
 */
#ifndef VIEW_FD_H
#define VIEW_FD_H

#include <stdbool.h>
#include <sys/stat.h>

#include "view.h"
#include "view_node.h"

struct view_slow;

struct view {
	int dirfd; /* borrowed */
	struct view_nodes *nodes;
	struct view_slow *slow;
};

/* A node and a descriptor of it, both kept until view_fd_close(). */
struct view_fd {
	struct view_node *node;
	struct view_handle *handle; /* what fd belongs to, or NULL */
	int fd;                     /* often O_PATH */
	bool own;
};

/*
 * The descriptor is that of fi, else any that is open on the node (so that what
 * is open works on when its name is gone), else a new one with O_PATH, whose
 * identity was compared with the node's. Returns 0, -ESTALE (the name leads to
 * something else or to nothing: the kernel resolves it again, once), or what
 * open(2) said.
 */
int view_fd_open(struct view *v, fuse_ino_t ino, struct fuse_file_info *fi,
    struct view_fd *ret);
/* The same for the directory of a name; -ENOENT where it is gone. */
int view_fd_open_parent(struct view *v, fuse_ino_t ino, struct view_fd *ret);
void view_fd_close(struct view *v, struct view_fd *f);

/*
 * Opens what f stands for anew with flags; the caller has seen that it is no
 * FIFO or device. Returns a descriptor or -errno.
 */
int view_fd_reopen(const struct view_fd *f, int flags);

/* A path that leads to fd's file itself, a link included, for calls without a
 * form for descriptors opened with O_PATH. */
#define VIEW_PROC_MAX 32
void view_proc_path(int fd, char buf[VIEW_PROC_MAX]);

/*
 * Attributes and identity of name in the directory at, or of at itself if name
 * is "". Either result may be NULL. Returns 0 or -errno.
 */
int view_stat(
    int at, const char *name, struct stat *ret, struct view_key *ret_key);

/*
 * Counts a lookup of name in the directory and fills in *ret; made as in
 * view_nodes_seen(). Returns 0 or -errno; an entry that cannot be replied is
 * given back with view_nodes_forget().
 */
int view_entry(struct view *v, struct view_fd *dir, const char *name, bool made,
    struct fuse_entry_param *ret);
/* Answers with the entry, or with r if that is an error. */
void view_reply_entry(
    struct view *v, fuse_req_t req, int r, const struct fuse_entry_param *e);

/*
 * Answers 0 or -errno. Never ENOSYS, which would switch the call off for the
 * whole mount for ever (fuse_lowlevel.h).
 */
void view_reply_err(fuse_req_t req, int r);

/* The hidden name, in any case: the backing directory may fold cases. */
bool view_is_spool(const struct view_node *dir, const char *name);

#endif

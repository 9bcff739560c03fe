/*
 * FUSE operations on everything but the inbox: names, attributes, directories.
 * All are answered from memory before they return; none waits (design section
 * 1, "What may wait"). File contents are fs/outbox (peers) and fs/ctl_files.
 *
 * Signatures are those of struct fuse_lowlevel_ops with the mount in front.
 */
#ifndef TREE_H
#define TREE_H

#include "mount.h"

/* Lists the fixed nodes. 0 or -ENOMEM. */
int tree_init(struct mount *m);

/* A peer's folder is gone: its node and all below leave the tree. */
void tree_peer_gone(struct mount *m, uint64_t serial);

void tree_lookup(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name);
void tree_forget(struct mount *m, fuse_ino_t ino, uint64_t nlookup);
void tree_getattr(struct mount *m, fuse_req_t req, fuse_ino_t ino);
void tree_setattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const struct stat *attr, int to_set);
void tree_mkdir(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode);
/*
 * unlink and rmdir: in flight cancels; what its writer removes within five
 * seconds of its commit is taken back, also what it removes later under a name
 * that is in use (fs/inuse.h), and what is held; else it is only forgotten
 * here.
 */
void tree_remove(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, bool directory);
/*
 * In flight: at once. Delivered or held: the peer is asked, for 2 s at most
 * (then ETIMEDOUT). Between peers EXDEV: another machine's disk.
 */
void tree_rename(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, fuse_ino_t newparent, const char *newname,
    unsigned int flags);
/* EPERM where the target is absolute or leaves the topmost directory sent. */
void tree_symlink(struct mount *m, fuse_req_t req, const char *target,
    fuse_ino_t parent, const char *name);
void tree_readlink(struct mount *m, fuse_req_t req, fuse_ino_t ino);
/* user.* is sent; ACLs and security.* are taken without effect. Reading:
 * user.gtfs.state and user.gtfs.progress. */
void tree_setxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const char *name, const char *value, size_t size, int flags);
void tree_getxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const char *name, size_t size);
void tree_listxattr(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size);
void tree_removexattr(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name);
void tree_opendir(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void tree_readdir(struct mount *m, fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi, bool plus);
void tree_releasedir(
    struct mount *m, fuse_req_t req, struct fuse_file_info *fi);
void tree_statfs(struct mount *m, fuse_req_t req, fuse_ino_t ino);

/* Can things be sent into dir (NULL: there is none) under this name? 0,
 * -ESTALE, -EPERM, -ENAMETOOLONG. */
int tree_place_error_locked(const struct node *dir, const char *name);

/* The node's attributes; its transfer's size where it has one. */
void tree_attr_locked(
    const struct mount *m, const struct node *n, struct stat *ret);
/* An entry for fuse_reply_entry/create; counts one lookup. */
void tree_entry_locked(
    const struct mount *m, struct node *n, struct fuse_entry_param *ret);

#endif

/*
 * Files under peers/<name>/: open files, their writes, and the commit rule of
 * design section 2. What waits for the network is parked: the request is kept
 * and answered by the transfer's thread; no FUSE worker ever waits.
 *
 * Signatures are those of struct fuse_lowlevel_ops with the mount in front.
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "mount.h"

void outbox_create(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, struct fuse_file_info *fi);
void outbox_open(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void outbox_write(struct mount *m, fuse_req_t req, const char *buf, size_t size,
    off_t off, struct fuse_file_info *fi);
void outbox_flush(struct mount *m, fuse_req_t req, struct fuse_file_info *fi);
void outbox_fsync(struct mount *m, fuse_req_t req, struct fuse_file_info *fi);
void outbox_fallocate(struct mount *m, fuse_req_t req, int mode, off_t offset,
    off_t length, struct fuse_file_info *fi);
void outbox_release(struct mount *m, fuse_req_t req, struct fuse_file_info *fi);

#endif

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
/* From the peer's spool; -EACCES where nothing is uncommitted. */
void outbox_read(struct mount *m, fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi);
void outbox_lseek(struct mount *m, fuse_req_t req, off_t off, int whence,
    struct fuse_file_info *fi);
void outbox_flush(struct mount *m, fuse_req_t req, struct fuse_file_info *fi);
/* The descriptor cuts the file: its close commits, as after a write. */
void outbox_note_truncate(const struct fuse_file_info *fi);
void outbox_fsync(struct mount *m, fuse_req_t req, struct fuse_file_info *fi);
void outbox_fallocate(struct mount *m, fuse_req_t req, int mode, off_t offset,
    off_t length, struct fuse_file_info *fi);
void outbox_release(struct mount *m, fuse_req_t req, struct fuse_file_info *fi);

/*
 * The size of n, a file, by whatever name or descriptor. Of a delivered one
 * that no program has open for writing, the version that begins commits by
 * itself. Never waits. 0 or -errno.
 */
int outbox_truncate_locked(struct mount *m, struct node *n, uint64_t size);

#endif

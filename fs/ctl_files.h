/*
 * The files of .gtfs/ as FUSE sees them: opened (made anew), read, polled, and
 * control and requests/ written. What they say is fs/ctl, fs/events and
 * fs/texts, what control does fs/control.
 *
 * control is a conversation: whatever the offset, a read gets what it has not
 * got yet of the answer to the last command written on the same descriptor.
 */
#ifndef CTL_FILES_H
#define CTL_FILES_H

#include "mount.h"

enum {
	CTL_FILES_SELF,
	CTL_FILES_PEERS,
	CTL_FILES_TRANSFERS,
	CTL_FILES_EVENTS,
	CTL_FILES_CONTROL,
	CTL_FILES_COUNT,
	CTL_FILES_TEXT = CTL_FILES_COUNT, /* of requests/ and why/ */
};

const char *ctl_files_name(unsigned file);
off_t ctl_files_size(const struct mount *m, unsigned file);

void ctl_files_open(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ctl_files_read(struct mount *m, fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi);
void ctl_files_write(struct mount *m, fuse_req_t req, const char *buf,
    size_t size, struct fuse_file_info *fi);
void ctl_files_poll(struct mount *m, fuse_req_t req, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph);
void ctl_files_release(
    struct mount *m, fuse_req_t req, struct fuse_file_info *fi);

struct pollers *pollers_new(void);
void pollers_free(struct pollers *p);
/* events has grown: wakes whoever polls it. ctx: the struct mount. */
void ctl_files_events_grew(void *ctx);

#endif

/*
 * One mounted gtfs: what all FUSE operations share. Made by main.c before the
 * mount exists and unchanged while it does; the parts have locks of their own.
 */
#ifndef MOUNT_H
#define MOUNT_H

#include <sys/types.h>

#include "ctl.h"
#include "events.h"
#include "helper.h"
#include "inbox.h"
#include "network.h"
#include "node.h"
#include "view.h"

struct fuse_session;

struct mount {
	struct network *network;
	struct nodes *nodes;
	struct view *view;
	struct inbox *inbox;
	struct events *events;
	struct ctl_config ctl;
	struct fuse_session *session; /* NULL before and after the mount */
	dev_t dev;                    /* of the mount; 0 before it is there */
	uid_t uid;
	gid_t gid;
	struct pollers *pollers;     /* fs/ctl_files.c */
	struct parked_watch *watch;  /* fs/parked.c */
	struct deadlines *deadlines; /* fs/deadline.h: renames that wait */
	struct unshown *unshown;     /* fs/unshown.c */
	struct helper helper;
	struct announce *announce; /* fs/announce.c */
	size_t late_bytes;         /* fs/tree_change.c, under the nodes' lock */
	LIST_HEAD(, open_file) open_files; /* under the nodes' lock */
};

/* The default block size under peers/: cp and cat then write 1 MiB at once. */
#define MOUNT_BLKSIZE (1024 * 1024)

#endif

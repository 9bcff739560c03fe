/*
 * The disk side of receiving, as net sees it. net/incoming checks messages,
 * order and trust and then calls these; fs/inbox implements them on the real
 * inbox, tests by one that fails at call N.
 *
 * All functions block on the disk and return 0 or -errno. A sink_file belongs
 * to one thread at a time; the functions that take the sink itself may be
 * called by several threads at once. Names have passed wire_name_ok.
 */
#ifndef SINK_H
#define SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "wire.h"

struct sink_offer {
	uint8_t sender[IDENTITY_KEY_BYTES];
	const char *peer; /* the sender's folder name, for provenance; or "" */
	const struct wire_offer *offer;
	uint64_t quota_bytes, quota_files; /* its own; 0: the default */
	/* Does nobody wait for this any more? Any time; or NULL. */
	bool (*is_over)(void *ctx);
	void *ctx;
};

struct sink_space {
	uint64_t free_bytes, total_bytes; /* of the file system */
	uint64_t free_files, total_files;
};

struct sink_file {
	const struct sink_ops *ops;
};

struct sink {
	const struct sink_ops *ops;
};

#define SINK_RECEIVED 1

/* Has this sender a connection to us now? */
typedef bool sink_here(void *ctx, const uint8_t key[IDENTITY_KEY_BYTES]);

struct sink_ops {
	/*
	 * A new spool file that nobody sees. *ret is ended by abort, or by
	 * close after a commit. With offer->base it begins as a copy of that
	 * file, its attributes included. -ESTALE: the parent is not a directory
	 * that this sender made here (or it was moved away), or base is none
	 * of its files, or somebody has touched that. -EDQUOT: the sender's
	 * quota, and -ENOSPC: the disk's floor; so may write, truncate,
	 * reserve, set_xattr, checkpoint, commit and requests say.
	 */
	int (*open)(
	    struct sink *s, const struct sink_offer *o, struct sink_file **ret);

	int (*write)(struct sink_file *f, const void *bytes, size_t len,
	    uint64_t offset);
	int (*truncate)(struct sink_file *f, uint64_t size);
	int (*reserve)(struct sink_file *f, uint64_t offset, uint64_t len,
	    enum wire_reserve how);
	int (*set_meta)(struct sink_file *f, const struct wire_meta *m);
	/* An attribute that this disk cannot keep is none: 0. */
	int (*set_xattr)(struct sink_file *f, const struct wire_xattr *x);
	/* The name that the commit gives it; base stays what is replaced. */
	int (*move)(struct sink_file *f, const uint8_t parent[WIRE_ID_BYTES],
	    const char *name);
	/* Up to len bytes; *ret_len is less only where the file ends. */
	int (*read)(struct sink_file *f, void *ret, size_t len, uint64_t offset,
	    size_t *ret_len);

	/* The spool's length now. */
	int (*size)(struct sink_file *f, uint64_t *ret);

	/* fsync of the spool file. A failure is final: never call it again. */
	int (*checkpoint)(struct sink_file *f);

	/*
	 * fsync, rename into the inbox, fsync of the directory. Replaces
	 * nothing but what this same sender has sent under that name (or as
	 * base) and nobody has touched since. ret_name: the name it got there.
	 * hold: makes it durable as one that is not shown yet, *ret_name "".
	 * Returns 0; SINK_RECEIVED (the same without the fsyncs, as the
	 * receiver's owner chose); or -errno: nothing of it is visible in the
	 * inbox, and only abort may follow. -ESTALE: base was touched;
	 * -ECANCELED: withdrawn meanwhile, on another connection.
	 */
	int (*commit)(
	    struct sink_file *f, bool hold, char ret_name[WIRE_NAME_MAX + 1]);

	/* Drops the spool and frees f. NULL is fine. */
	void (*abort)(struct sink_file *f);
	/* Frees f after commit succeeded. */
	void (*close)(struct sink_file *f);

	/*
	 * MKDIR, SYMLINK, PATCH, SETXATTR, RENAME, SHOW or WITHDRAW, as
	 * gtfs-protocol(7) has them; durable on return. Only what this sender
	 * made here can be meant: -ENOENT, no such id of it; -ESTALE, touched
	 * or gone. A MKDIR or SYMLINK whose id is there, a SHOW of what is
	 * shown: 0, done before.
	 */
	int (*request)(struct sink *s, const struct sink_offer *from,
	    const struct wire_msg *m);

	/*
	 * Once a second or so. Shows what is held for senders that have not
	 * been here (asked by here) for some seconds.
	 */
	void (*tick)(struct sink *s, sink_here *here, void *ctx);

	/* Answered from a recent statvfs: never blocks for long. */
	int (*space)(struct sink *s, struct sink_space *ret);
};

#endif

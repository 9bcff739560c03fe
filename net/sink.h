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

#include <stdint.h>

#include "identity.h"
#include "wire.h"

struct sink_offer {
	uint8_t sender[IDENTITY_KEY_BYTES];
	const char *peer; /* the sender's folder name, for provenance; or "" */
	const struct wire_offer *offer;
};

struct sink_space {
	uint64_t free_bytes, total_bytes;
	uint64_t free_files, total_files;
};

struct sink_file {
	const struct sink_ops *ops;
};

struct sink {
	const struct sink_ops *ops;
};

#define SINK_RECEIVED 1

struct sink_ops {
	/*
	 * A new spool file that nobody sees. *ret is ended by abort, or by
	 * close after a commit. -ESTALE: the parent is not a directory that
	 * this sender made here (or it was moved away).
	 */
	int (*open)(
	    struct sink *s, const struct sink_offer *o, struct sink_file **ret);

	int (*write)(struct sink_file *f, const void *bytes, size_t len,
	    uint64_t offset);
	int (*truncate)(struct sink_file *f, uint64_t size);
	int (*reserve)(
	    struct sink_file *f, uint64_t offset, uint64_t len, int keep_size);
	int (*set_meta)(struct sink_file *f, const struct wire_meta *m);

	/* The spool's length now. */
	int (*size)(struct sink_file *f, uint64_t *ret);

	/* fsync of the spool file. A failure is final: never call it again. */
	int (*checkpoint)(struct sink_file *f);

	/*
	 * fsync, rename into the inbox without replacing anything, fsync of the
	 * directory. ret_name: the name it got there. Returns 0; SINK_RECEIVED
	 * (the same without the fsyncs, as the receiver's owner chose); or
	 * -errno: nothing of it is visible in the inbox, and only abort may
	 * follow.
	 */
	int (*commit)(struct sink_file *f, char ret_name[WIRE_NAME_MAX + 1]);

	/* Drops the spool and frees f. NULL is fine. */
	void (*abort)(struct sink_file *f);
	/* Frees f after commit succeeded. */
	void (*close)(struct sink_file *f);

	/*
	 * Makes a directory for this sender and remembers its id; durable on
	 * return. The same (sender, id) again does nothing and returns 0.
	 */
	int (*mkdir)(struct sink *s, const struct sink_offer *from,
	    const struct wire_mkdir *m);

	/*
	 * Mode or times of something that this sender delivered (a file or a
	 * directory) and that nobody has touched since. -ESTALE: touched or
	 * gone; -ENOENT: no such id of this sender.
	 */
	int (*patch)(struct sink *s, const uint8_t sender[IDENTITY_KEY_BYTES],
	    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m);

	/* Answered from a recent statvfs: never blocks for long. */
	int (*space)(struct sink *s, struct sink_space *ret);
};

#endif

/*
 * The inbox on disk: the sink of net/sink.h over a real directory. Spool files
 * live in SPOOL_NAME (0700) inside it, on the same file system, and reach a
 * visible name only by one renameat2(2) that replaces nothing but what its
 * sender has sent before and nobody has touched since. Held ones stay there,
 * whole, until they are shown.
 *
 * Everything is resolved beneath the directory's descriptor with openat2 and
 * never through a link. Any thread, as net/sink.h says.
 */
#ifndef INBOX_H
#define INBOX_H

#include <stdbool.h>

#include "sink.h"
#include "usage.h"

#define INBOX_SPOOL_NAME ".gtfs-spool"

struct inbox;

/* Called after each publication (no lock held): path below the inbox. */
typedef void inbox_arrived(
    void *ctx, const char *path, const char *peer, uint64_t size);

struct inbox_config {
	bool durable;           /* false: --ack received, no fsyncs */
	inbox_arrived *arrived; /* or NULL */
	/* A directory was made; the same. Or NULL. */
	void (*made)(void *ctx, const char *path);
	void *ctx;
};

/*
 * Opens path as the inbox: makes it (0700) and its spool if missing, takes an
 * exclusive lock on the spool (flock; -EBUSY: another gtfs has it), shows
 * what a former life held (arrived is called for it), removes its orphan spool
 * files. config is copied. Returns 0 or -errno.
 */
int inbox_open(
    const char *path, const struct inbox_config *config, struct inbox **ret);
/*
 * After the last fork: what is there is counted for the quotas (fs/usage.h) in
 * a thread of its own. 0 or -errno.
 */
int inbox_start(struct inbox *in);
void inbox_close(struct inbox *in);

struct sink *inbox_sink(struct inbox *in);
/* As usage_share. */
int inbox_share(struct inbox *in, const uint8_t peer[IDENTITY_KEY_BYTES],
    const struct usage_limits *limits, struct usage_share *ret);

/* The directory's descriptor (owned by the inbox). */
int inbox_dirfd(const struct inbox *in);

#endif

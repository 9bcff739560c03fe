/*
 * The FUSE session: mounting, the workers that answer the kernel, and the way
 * out.
 */
#ifndef SESSION_H
#define SESSION_H

#include "mount.h"

/* Each has a buffer of one request, 1 MiB. */
#define SESSION_WORKERS 3

struct session;

/*
 * Makes mountpoint ready: created if it is missing (0700), healed if a dead
 * gtfs mount is on it. 0, or -errno (-EBUSY: a live one is).
 */
int session_prepare(const char *mountpoint);

/*
 * Mounts m there. options: for libfuse, comma separated, or "". Sets
 * m->session and m->dev. Nothing is answered before session_start. libfuse
 * says on stderr why it cannot. 0 or -EIO, -ENOMEM.
 */
int session_mount(struct mount *m, const char *mountpoint, const char *options,
    struct session **ret);

/*
 * Starts the workers. ended is called once, in a worker, when the mount was
 * taken away from outside. 0 or -errno.
 */
int session_start(struct session *s, void (*ended)(void *ctx), void *ctx);

/* Ends the workers: no operation runs any more. */
void session_stop(struct session *s);

/*
 * After session_stop, and when nobody will reply to a request any more: ends
 * the connection, then the mount (only our own: a newer one at the same place
 * is left alone). Frees s. NULL is fine.
 */
void session_end(struct session *s);

#endif

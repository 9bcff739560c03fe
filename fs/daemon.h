/*
 * Being a daemon: one fork before any thread exists, the terminal kept until
 * the mount is ready, signals, and the decision to end.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct mount;

struct daemon {
	int ready_fd; /* the parent waits at its other end; -1: foreground */
	int wake_fd;  /* eventfd: why main stops waiting */
	_Atomic bool asked, ended;
};

#define DAEMON_INIT                           \
	{                                     \
		.ready_fd = -1, .wake_fd = -1 \
	}

#define DAEMON_PARENT_DONE 1 /* in the parent, when the child is ready */

/*
 * First of all in main: a standard descriptor that is closed becomes /dev/null,
 * or a file, socket or mount opened later would take its number and get our
 * words. Returns 0 or -errno.
 */
int daemon_standard_files(void);

/*
 * Forks unless foreground; blocks the signals that daemon_wait waits for.
 * Returns 0 (go on: in the child, or in front), DAEMON_PARENT_DONE, or -errno
 * in the parent when the child failed (it has said why on stderr).
 */
int daemon_begin(struct daemon *d, bool foreground, bool debug);

/* The mount answers: the parent may go, the terminal is let go. */
void daemon_ready(struct daemon *d);

/*
 * Until SIGTERM, SIGINT or SIGHUP, daemon_ask_stop, or daemon_mount_ended.
 * After daemon_ask_stop first has the peers show what they hold for m, and
 * waits, at most drain_s seconds, until its network has nothing under way; a
 * signal ends that. A further signal ends the process at once; mountpoint
 * (kept) is then taken away first.
 */
void daemon_wait(struct daemon *d, struct mount *m, unsigned drain_s,
    const char *mountpoint);

/* gtfs stop (ctx is the struct daemon). Any thread. */
void daemon_ask_stop(void *ctx);
/* The mount was taken away. Any thread. */
void daemon_mount_ended(void *ctx);

void daemon_fini(struct daemon *d);

#endif

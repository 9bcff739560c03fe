/*
 * A process of gtfs's own that touches the mount from outside, so that those
 * who watch it with inotify(7) see what happens: the kernel fires events for
 * operations that come through the mount, and for nothing else.
 *
 * A process and not a thread: a thread of the daemon inside its own mount would
 * survive kill -9 there and keep the mount hung. It holds no descriptor but its
 * end of a socket pair, and ends when that is closed.
 */
#ifndef HELPER_H
#define HELPER_H

#include <stdbool.h>
#include <sys/types.h>

struct helper {
	pid_t pid;
	int fd; /* our end; -1: there is none */
};

#define HELPER_INIT                \
	{                          \
		.pid = 0, .fd = -1 \
	}

enum helper_work {
	HELPER_RENAME = 'r', /* from into dir under name */
	HELPER_MKDIR = 'm',  /* name in dir; from is looked up before */
};

/*
 * Forks it. Before the first thread and before the mount is there. mountpoint:
 * absolute. Without it (a negative errno) only the events are missing.
 */
int helper_start(struct helper *h, const char *mountpoint);

/*
 * Asks for one operation; all paths are below the mount. Never blocks; false:
 * it was not asked (the helper is busy or gone, or the paths are too long).
 */
bool helper_ask(struct helper *h, enum helper_work work, const char *from,
    const char *dir, const char *name);

/* Ends it. When the mount is gone, so that it cannot wait in there. */
void helper_stop(struct helper *h);

#endif

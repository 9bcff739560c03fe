/*
 * The list of callers, for listener.c (who serves them) and listener_limits.c
 * (who is let in, who has to go, and what that costs) alone.
 */
#ifndef LISTENER_INTERNAL_H
#define LISTENER_INTERNAL_H

#include <sys/queue.h>

#include "listener.h"
#include "sync.h"

struct caller {
	LIST_ENTRY(caller) entry;
	struct listener *listener;
	pthread_t thread;
	struct sockaddr_storage address;
	int fd;            /* until conn owns it */
	struct conn *conn; /* NULL before the key is proven */
	bool known;        /* pre-handshake, from a live pinned peer's host */
	bool victim;       /* was told to go */
	struct incoming_watch watch;
};
LIST_HEAD(caller_list, caller);

struct listener {
	struct listener_config config;
	int fd, stop_fd;
	uint16_t port;
	unsigned all_max;
	pthread_t thread;
	bool started;
	struct mutex lock;
	struct cond gone;
	struct caller_list callers GUARDED_BY(lock);
	struct caller_list finished GUARDED_BY(lock);
	unsigned n GUARDED_BY(lock);
	bool stopping GUARDED_BY(lock);
};

struct sockaddr *listener_address(struct caller *c);

/* Does a pinned peer, not refused, have a live session from this host? */
bool listener_known_locked(struct listener *l, const struct caller *c)
    REQUIRES(l->lock);

/* Is nothing taken from there now? What is known of our peers is, always. */
bool listener_shuns_locked(struct listener *l, struct caller *c)
    REQUIRES(l->lock);

/* Makes room for one more handshake. False: not even then. */
bool listener_room_locked(struct listener *l, struct caller *c)
    REQUIRES(l->lock);

/* After the handshake: not too many of this key, and of strangers. */
bool listener_admits_locked(struct listener *l, struct conn *conn,
    struct incoming_watch *watch) REQUIRES(l->lock);

/* r: of conn_accept, and no key was proven. */
void listener_punish_caller(struct listener *l, struct caller *c, int r);
/* r: of incoming_serve. Keys of ours may have bugs; others are cheap. */
void listener_punish_stranger(struct listener *l, struct caller *c, int r);

#endif

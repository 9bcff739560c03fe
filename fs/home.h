/*
 * Where gtfs keeps things: the state directory with its lock and the identity,
 * and the inbox. What is wrong with them is said in one line.
 */
#ifndef HOME_H
#define HOME_H

#include "identity.h"
#include "inbox.h"
#include "options.h"

struct home {
	int state_fd; /* 0700, ours, locked */
	int lock_fd;
	struct identity identity;
};

#define HOME_INIT                             \
	{                                     \
		.state_fd = -1, .lock_fd = -1 \
	}

/* Makes the state directory if missing. 0, or -errno after one line. */
int home_open(const struct options *o, struct home *ret);
void home_close(struct home *h);

/* The inbox, likewise. */
int home_open_inbox(const struct options *o, const struct inbox_config *config,
    struct inbox **ret);

/* The address to listen on, any or as asked, with its port. */
void home_listen_address(const struct options *o, struct sockaddr_storage *ret);

#endif

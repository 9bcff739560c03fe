/*
 * Who has cost us handshakes for nothing is not listened to for a while: a
 * penalty an address, which adds up, as sshd(8)'s PerSourcePenalties. Who has
 * an IPv6 network of 64 bits has as many addresses as they like, but so has
 * each of many machines on one LAN: the network pays as well, and is listened
 * to for much longer. Not on disk: a restart forgives.
 *
 * Any thread; the lock is a leaf, nothing blocks.
 */
#ifndef PENALTY_H
#define PENALTY_H

#include <stdbool.h>
#include <sys/socket.h>

enum {
	PENALTY_TABLE = 1024,
	PENALTY_LEAST_MS = 10 * 1000, /* less than this has no effect yet */
	PENALTY_NET_LEAST_MS = 20 * PENALTY_LEAST_MS, /* of a network */
	PENALTY_MOST_MS = 600 * 1000,
};

/* What it is for, and what it costs in ms. */
enum penalty_reason {
	PENALTY_NO_HANDSHAKE = 1000, /* hung up, too slow, or not gtfs */
	PENALTY_FORGED = 2000,       /* a message that did not open */
	PENALTY_PROTOCOL = 5000,     /* proved a key, then broke the protocol */
	/* A wrong code: three slips, as many as a code allows, are free. */
	PENALTY_GUESS = 3000,
};

struct penalty;

/* NULL: out of memory. */
struct penalty *penalty_new(void);
void penalty_free(struct penalty *p);

void penalty_add(
    struct penalty *p, const struct sockaddr *from, enum penalty_reason reason);
/* Is nothing to be taken from there now? */
bool penalty_stands(struct penalty *p, const struct sockaddr *from);
/* It has proven to be one of ours. Its network goes on paying. */
void penalty_forgive(struct penalty *p, const struct sockaddr *from);

#endif

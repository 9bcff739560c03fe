/*
 * Where other machines dial in: accepts, bounds what strangers can cost
 * (design: limits), and runs one thread ("in") for each connection, which does
 * the handshake and then net/incoming.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "conn.h"
#include "incoming.h"

enum {
	LISTENER_HANDSHAKES_MAX = 16, /* before the key is proven */
	LISTENER_PER_ADDRESS_MAX = 4,
	LISTENER_PER_KEY_MAX = 20,
	LISTENER_STRANGERS_MAX = 64, /* proven, not pinned: then one goes */
	/* Who is not accepted has one connection, and a second one on which it
	 * can pair and no more. One that asks stays, or that has spoken within
	 * this time; another makes room for the new one. */
	LISTENER_SILENT_MS = 6000,
	LISTENER_ALL_MAX = 1024,
};

struct listener_config {
	struct sockaddr_storage address; /* AF_INET6 any: both families */
	bool exact;                      /* the port, or nothing */
	const struct conn_self *self;
	struct incoming_config incoming;
	/* A key was proven by a caller; it listens at that port itself. */
	void (*caller)(void *ctx, const struct sockaddr *from, uint16_t port);
	void *ctx;
};

/*
 * Addresses that cost us handshakes for nothing, or break the protocol with
 * keys that nobody knows, are not listened to for a while (net/penalty.h),
 * except where somebody whom we know has a connection from there.
 */
struct listener;

/* Binds; a port that is taken becomes another one unless exact. 0 or -errno. */
int listener_new(const struct listener_config *config, struct listener **ret);
uint16_t listener_port(const struct listener *l);

/* Starts accepting. config.self's hello is complete now. 0 or -errno. */
int listener_start(struct listener *l);

/*
 * From the keeper thread, every second: peers whose bytes are being written
 * to a slow disk hear that we live; ended threads are joined.
 */
void listener_tick(struct listener *l);

/*
 * Our policy for a key has changed: its connections are told. turned_away: it
 * was refused or forgotten, and so its transfers under way fail with EACCES, at
 * their next message at the latest.
 */
void listener_policy_changed(
    struct listener *l, const uint8_t *key, bool turned_away);

/* Has this key a connection to us now? */
bool listener_here(struct listener *l, const uint8_t *key);

/* Connections that have a transfer under way. */
unsigned listener_busy(struct listener *l);

/*
 * Ends: nothing new is accepted, BYE is said, threads are joined. What remains
 * answers listener_port and the like. NULL, or once more: fine.
 */
void listener_stop(struct listener *l);
/* Stops it, if need be. NULL is fine. */
void listener_free(struct listener *l);

#endif

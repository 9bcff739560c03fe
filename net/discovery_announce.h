/*
 * Our own service, registered with the avahi daemon: the entry group, its name
 * and what happens when somebody else has that name (RFC 6762 section 9).
 * Everything here runs on the discovery thread and may wait for the daemon's
 * answer over D-Bus.
 */
#ifndef DISCOVERY_ANNOUNCE_H
#define DISCOVERY_ANNOUNCE_H

#include <avahi-client/client.h>
#include <avahi-client/publish.h>
#include <stdbool.h>
#include <stdint.h>

#include "discovery.h"

struct announce {
	char name[DISCOVERY_INSTANCE_MAX + 1]; /* " #2" and so on included */
	char id[DISCOVERY_ID_CHARS + 1];
	uint16_t port;
	AvahiEntryGroup *group; /* NULL: the client has none */
	AvahiEntryGroupState state;
	bool wanted;    /* the daemon runs, so we should be registered */
	int64_t due_ms; /* when to register; meaningful if pending */
	bool pending;
	unsigned collisions; /* since the name last held */
};

/* Copies what it needs of config. */
void announce_init(struct announce *a, const struct discovery_config *config);

/* The daemon runs and its host name is settled: register soon. */
void announce_wanted(struct announce *a);

/* The daemon's host name is in flux: our records hang on it, withdraw them. */
void announce_unwanted(struct announce *a);

/*
 * Does what is due. Returns 0, or -EIO: the connection to the daemon is not
 * usable, make a new client.
 */
int announce_run(struct announce *a, AvahiClient *client, int64_t now);

/* When announce_run has something to do (now_ms), INT64_MAX for never. */
int64_t announce_due(const struct announce *a);

/* Frees the group: the daemon sends a goodbye. */
void announce_withdraw(struct announce *a);

/* The client is about to be freed, and the group with it. */
void announce_detach(struct announce *a);

#endif

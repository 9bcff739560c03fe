/*
 * The services of others: browsing for them, resolving each on every interface
 * and protocol that it is seen on, and counting, so that an instance is lost
 * only when the last of these is gone. Everything here runs on the discovery
 * thread and may wait for the daemon's answer over D-Bus.
 *
 * Why a burst asks for a subtype (RFC 6763 section 7.1): the daemon goes on
 * with the question of a browser that was freed, back-off and all, if the same
 * question is asked again before its next turn, so a browser made anew sends
 * no query (avahi 0.8, avahi-core/querier.c; seen on the wire). A second
 * question that is asked only for a moment at a time has no such past.
 */
#ifndef DISCOVERY_BROWSE_H
#define DISCOVERY_BROWSE_H

#include <avahi-client/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "discovery.h"

struct browse;

/* events and ctx are borrowed; state is not used. NULL: no memory. */
struct browse *browse_new(
    const char *own_id, const struct discovery_events *events, void *ctx);

void browse_free(struct browse *b);

/* Starts browsing with a client whose daemon runs. Returns 0 or -EIO. */
int browse_attach(struct browse *b, AvahiClient *client);

/*
 * The client is about to be freed. What is known stays known: the end of the
 * daemon says nothing about other machines. What has not been heard again soon
 * after the next browse_attach is lost.
 */
void browse_detach(struct browse *b);

/* Asks again as soon as the daemon would really send the question. */
void browse_burst(struct browse *b);

/* Does what is due. Returns 0, or -EIO: make a new client. */
int browse_run(struct browse *b, int64_t now);

/* When browse_run has something to do (now_ms), INT64_MAX for never. */
int64_t browse_due(const struct browse *b);

/* Is this AVAHI_ERR_* one of the connection, not of the one request? */
bool browse_error_is_fatal(int avahi_error);

#endif

/*
 * Finding machines by DNS-SD over multicast DNS (RFC 6762, RFC 6763) through
 * the avahi daemon: our own service registered, others browsed and resolved on
 * every interface, IPv4 and IPv6.
 *
 * What is found is a hint, "look here", and nothing more: anybody on the link
 * can say anything. net/peers decides what to dial.
 *
 * Runs one thread of its own ("discovery"), which calls the callbacks; they
 * must not block and must not call discovery_stop.
 */
#ifndef DISCOVERY_H
#define DISCOVERY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define DISCOVERY_SERVICE_TYPE "_gtfs._tcp"
/* What everyone is registered under too, and what a burst asks for. */
#define DISCOVERY_SERVICE_SUBTYPE "_here._sub." DISCOVERY_SERVICE_TYPE
#define DISCOVERY_INSTANCE_MAX    63
#define DISCOVERY_ID_CHARS        16 /* hexadecimal digits */

/* A validated record: gtfs's TXT keys are v (major version) and id. */
struct discovery_hint {
	int ifindex; /* the interface it was heard on, > 0 */
	/* Port set; link-local IPv6 with its scope; never loopback,
	 * multicast, broadcast, unspecified, or a port below 1024. */
	struct sockaddr_storage address;
	char instance[DISCOVERY_INSTANCE_MAX + 1]; /* UTF-8, as heard */
	char id[DISCOVERY_ID_CHARS + 1]; /* of the other gtfs process */
	unsigned version;                /* its major protocol version */
};

enum discovery_state {
	DISCOVERY_STARTING,
	DISCOVERY_RUNNING,
	DISCOVERY_FAILED, /* no daemon now; it is retried with back-off */
};

struct discovery_events {
	/*
	 * A service was resolved, or resolved again (addresses change), or
	 * heard again after discovery_burst. Once for each interface and
	 * protocol, so several times for one machine.
	 */
	void (*found)(void *ctx, const struct discovery_hint *hint);
	/*
	 * An instance was withdrawn (goodbye, or expiry) from the last
	 * interface and protocol on which it was known. A hint too.
	 */
	void (*lost)(void *ctx, const char *id);
	/*
	 * Changes only; it begins as DISCOVERY_STARTING. why: a sentence for
	 * people, NULL unless failed; valid during the call.
	 */
	void (*state)(void *ctx, enum discovery_state state, const char *why);
};

struct discovery_config {
	const char *name; /* our instance name; a clash gets " #2" appended */
	uint16_t port;
	/* Random for each start: own records are known by it, whatever the
	 * host or instance name. */
	char id[DISCOVERY_ID_CHARS + 1];
};

struct discovery;

/*
 * Starts discovering. A missing daemon is no failure: it is reported through
 * state and retried for ever. config is copied, events and ctx are borrowed.
 * Returns 0, -ENOMEM, or -errno of the thread.
 */
int discovery_start(const struct discovery_config *config,
    const struct discovery_events *events, void *ctx, struct discovery **ret);

/*
 * Asks again (the daemon's own queries back off to an hour): three queries in
 * 3 s, at once, or up to 7.5 s later if the last burst was just now; wishes in
 * between are one. For link changes and for when a peer is missing. Any
 * thread, does not block.
 */
void discovery_burst(struct discovery *d);

/*
 * Withdraws our service (a goodbye is sent) and ends the thread, in at most 1 s
 * even if the daemon hangs. No callback comes after it. NULL: fine.
 */
void discovery_stop(struct discovery *d);

#endif

/*
 * All of net put together: identity, peers, discovery, listener and the
 * keeper's clock. What fs (or a command without a mount) starts and stops.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "discovery.h"
#include "identity.h"
#include "ledger.h"
#include "peers.h"
#include "sink.h"
#include "trust.h"

struct network;

struct network_config {
	const struct identity *identity; /* borrowed */
	const char *name;
	struct sockaddr_storage listen;
	bool listen_exact;
	bool discovery; /* through avahi */
	enum trust_default accept;
	int state_fd; /* borrowed: the state directory */
	int patience_ms;
	struct sink *sink; /* borrowed */
	/* No lock is held; must not block for long. */
	void (*peer_changed)(
	    void *ctx, enum peer_change change, const struct peer_info *info);
	ledger_changed *transfer_changed;
	void *ctx;
};

/*
 * Binds, reads the pins, lists pinned peers; nothing runs yet. 0, -EADDRINUSE
 * and the like, or -errno of the state directory.
 */
int network_new(const struct network_config *config, struct network **ret);

/*
 * Starts all threads: peers come and go, files arrive from now on. (After
 * daemon's fork.) 0 or -errno.
 */
int network_start(struct network *n);

/* --peer NAME=HOST[:PORT]. 0 or -ENOMEM. */
int network_add_peer(
    struct network *n, const char *name, const char *host, uint16_t port);

struct peers *network_peers(struct network *n);
struct ledger *network_ledger(struct network *n);
uint16_t network_port(const struct network *n);
/* A sentence about discovery for people. */
void network_discovery_state(struct network *n, char *ret, size_t cap);

/* gtfs accept / refuse / forget. 0, -ENOENT or -errno. */
int network_set_policy(
    struct network *n, const char *name, enum trust_policy policy);
int network_forget(struct network *n, const char *name);

/* Transfers under way, in and out. */
unsigned network_busy(struct network *n);

/*
 * Says goodbye by multicast and to every connection, ends all transfers that
 * are left and all threads. Blocks for a few seconds at most.
 */
void network_stop(struct network *n);
/* After network_stop, when nobody holds a peer or a transfer any more. */
void network_free(struct network *n);

#endif

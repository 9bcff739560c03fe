/*
 * Looks where hints point: dials addresses that discovery, the user, a peer
 * that called us, or a lost connection named, and hands what proves a key to
 * the peers table. gtfs is no scanner: at most PROBER_THREADS dials at once and
 * PROBER_PER_SECOND in all, growing pauses between tries of one address, and
 * only message 1 of the handshake before an answer.
 *
 * Any thread may hint; nothing blocks.
 */
#ifndef PROBER_H
#define PROBER_H

#include <stdint.h>
#include <sys/socket.h>

#include "conn.h"
#include "discovery.h"
#include "pairer.h"
#include "peers.h"

enum {
	PROBER_THREADS = 4,
	PROBER_PER_SECOND = 10,
	PROBER_CANDIDATES_MAX = 1024,
	PROBER_PAUSE_MIN_MS = 500,
	PROBER_PAUSE_MAX_MS = 300 * 1000,
	PROBER_NAMED_PAUSE_MAX_MS = 5 * 1000, /* for what the user named */
	PROBER_FLAP_PAUSE_MAX_MS = 15 * 1000, /* after what did not last */
	PROBER_THERE_PAUSE_MS = 60 * 1000,    /* where a peer is already */
	PROBER_GIVE_UP_MS = 600 * 1000,       /* after the last hint */
};

struct prober;

/*
 * Begins with where accepted peers were last. 0 or -errno. peers, pairer and
 * self are borrowed. pairer: greets the machines that are found, before
 * anything else is said to them; or NULL.
 */
int prober_start(struct peers *peers, struct pairer *pairer,
    const struct conn_self *self, struct prober **ret);
/* Ends dials in progress and joins the threads. NULL is fine. */
void prober_stop(struct prober *p);

/* By multicast: only an address on a subnet of the interface is dialled. */
void prober_hint(struct prober *p, const struct discovery_hint *hint);

/*
 * By the user (--peer NAME=HOST[:PORT]): tried for ever; host is resolved at
 * each try. 0 or -ENOMEM.
 */
int prober_named(
    struct prober *p, const char *name, const char *host, uint16_t port);

/* A machine that has dialled us, at the address it came from and the port
 * it says it listens on. If the user named that host, that is tried at once. */
void prober_caller(
    struct prober *p, const struct sockaddr *from, uint16_t port);

/* A peer has lost its last connection: its addresses, at once (where that did
 * not last: after a growing pause), and if it is pinned until it is connected
 * again, whoever is there meanwhile. */
void prober_lost(struct prober *p, const struct peer_info *info);

#endif

/*
 * All of net put together: identity, peers, discovery, listener and the
 * keeper's clock. What fs (or a command without a mount) starts and stops.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "consent.h"
#include "discovery.h"
#include "identity.h"
#include "ledger.h"
#include "peers.h"
#include "sink.h"
#include "trust.h"
#include "words.h"

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
	int ask_timeout_ms; /* 0: CONSENT_TIMEOUT_MS */
	struct sink *sink;  /* borrowed */
	/* No lock is held; must not block for long. */
	void (*peer_changed)(
	    void *ctx, enum peer_change change, const struct peer_info *info);
	ledger_changed *transfer_changed;
	consent_changed *asked;
	/* By a code or a group: both sides trust each other now. name: its
	 * folder's. No lock is held; must not block. */
	void (*paired)(void *ctx, const char *name);
	/* At the start: this pin was damaged, and nobody has decided about it
	 * (see net/trust.h). name may be "". Likewise. */
	void (*damaged)(void *ctx, const char *fingerprint, const char *name);
	void *ctx; /* of all of these */
	/* The passphrase of a group: borrowed, a secret. 0: in no group. */
	const char *group;
	size_t group_len;
};

/*
 * Reads the pins, lists pinned peers, binds; nothing runs yet. 0 or -errno: of
 * binding where *ret_port (or NULL) is true then, else of the state directory.
 */
int network_new(
    const struct network_config *config, struct network **ret, bool *ret_port);

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
/* The questions of strangers: to be looked at; network_decide answers. */
struct consent *network_consent(struct network *n);
uint16_t network_port(const struct network *n);
/* A sentence about discovery for people. */
void network_discovery_state(struct network *n, char *ret, size_t cap);

/* gtfs accept / refuse / forget. 0, -ENOENT or -errno; network_forget -ENODATA:
 * it is listed, but not pinned (it may ask again now, if it was declined). */
int network_set_policy(
    struct network *n, const char *name, enum trust_policy policy);
int network_forget(struct network *n, const char *name);

/*
 * requests/NAME: answers this question, if it is open, and no other of its
 * name. No pins nothing. 0, -ENOENT, or -errno of the pin (the question stays
 * open).
 */
int network_answer(struct network *n, uint64_t serial, bool accept);
/*
 * gtfs accept / refuse NAME: answers the open question of that name, else sets
 * the policy of that peer, or lets in whose question of that name was declined
 * lately. 0, -ENOENT, or -errno, as network_answer.
 */
int network_decide(struct network *n, const char *name, bool accept);
/* What of that peer's files may be in the inbox; 0: the default. 0, -ENOENT
 * (it is not pinned) or -errno. */
int network_set_quota(
    struct network *n, const char *name, uint64_t bytes, uint64_t files);
/* Its words were compared. 0, -ENOENT (it is not pinned), -ENODATA (there are
 * no words yet) or -errno. */
int network_set_verified(struct network *n, const char *name);

/*
 * gtfs pair: a new one-time code, for 10 minutes and 3 guesses, in place of
 * the one before. It is a secret: whoever holds the text wipes it. 0 or
 * -ENOMEM.
 */
int network_pair_begin(struct network *n, char ret_code[WORDS_CODE_MAX]);

/*
 * gtfs pair NAME: proves the code (as a person typed it) to that peer. done is
 * called once, from a thread of its own, no lock held, with
 *
 * - 0: both sides have pinned and verified each other
 * - -EKEYREJECTED: another code, or not the machine that showed it
 * - -EACCES: no code is open there (any more), or one of the two refuses the
 *   other
 * - -EBUSY: another pairing with it is under way
 * - -EHOSTUNREACH: it is not there
 * - -ETIMEDOUT: it did not answer in time (15 s in all)
 * - -ECANCELED: network_pair_cancel, or the network ends
 *
 * or -errno of the pin. Returns 0 with a number that network_pair_cancel knows
 * until done was called; -EINVAL (typed is no code: no guess is spent), -ENOENT
 * (no such peer), -EBUSY (several run), or -ENOMEM; done is not called then.
 * Does not block.
 */
int network_pair(struct network *n, const char *name, const char *typed,
    void (*done)(void *ctx, int result), void *ctx, uint64_t *ret_serial);
/* done is called soon; a serial that is over is fine. Does not block. */
void network_pair_cancel(struct network *n, uint64_t serial);

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

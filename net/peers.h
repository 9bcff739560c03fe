/*
 * The machines that this one knows of: a table by key. A peer is in the table
 * once a completed handshake has proved its key, or because it is pinned.
 *
 * A folder belongs to a key: each peer has a folder name, its pin's or its own
 * made safe and unique ("laptop (2)"), which stays for as long as the peer is
 * in the table. Names are given here alone: no two keys have the same one, be
 * it as a folder, as a pin (a pin is called like its folder), as a host of the
 * user's (--peer), or as a question that a person may be about to answer
 * (net/consent).
 *
 * One lock over the table (see sync.h for the order). Peers are counted: a
 * pointer is good until peer_put.
 */
#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "identity.h"
#include "sink.h"
#include "trust.h"
#include "wire.h"

#define PEER_ADDRESSES 8

enum peer_state {
	PEER_OFFLINE, /* pinned, or a transfer waits for it */
	PEER_ONLINE,
};

/* What is known of a peer at one moment; a plain copy. */
struct peer_info {
	uint64_t serial; /* of this entry; never used twice */
	uint8_t key[IDENTITY_KEY_BYTES];
	char fingerprint[FINGERPRINT_CHARS];
	char name[WIRE_PEER_NAME_MAX + 1];       /* the folder's */
	char heard_name[WIRE_PEER_NAME_MAX + 1]; /* as the peer says it */
	enum peer_state state;
	bool pinned;
	bool damaged; /* the pin was: refused, until our owner decides */
	enum trust_policy pin_policy;
	/* What its offers meet here; of a copy alone. */
	enum wire_policy here;
	bool verified; /* its words were compared */
	/* The pin's; 0: the default. */
	uint64_t quota_bytes, quota_files;
	/* Our ASK waits for its owner's answer. */
	bool asking;
	/* The pin's words; while asking, those that both screens show. */
	bool has_words;
	uint8_t words[TRUST_WORDS_BYTES];
	/* What it does with our offers: 0 until it has said so. */
	enum wire_policy policy;
	struct sockaddr_storage addresses[PEER_ADDRESSES];
	unsigned n_addresses;
	struct sink_space space; /* all 0 until it has said so */
	int64_t seen_ms;         /* now_ms() of the last word from it */
	/* A pinned key is not there and another one has proven its name or
	 * its last address: writing gives -EKEYREJECTED. */
	bool key_rejected;
	uint64_t rejected_by; /* the serial of that one's entry, or 0 */
};

struct conn;
struct conn_self;
struct consent;
struct ledger;
struct peer;
struct peers;
struct pool;

enum peer_change {
	PEER_APPEARED, /* its folder comes */
	PEER_WENT,     /* its folder goes */
	PEER_CAME_ONLINE,
	PEER_WENT_OFFLINE,
	PEER_CHANGED, /* pin, policy or name */
	PEER_ASKING,  /* an ASK has gone out; the words are known */
	PEER_LET_IN,  /* it has let us in, and was let in here for that */
};

struct peers_config {
	const struct conn_self *self; /* borrowed, as all pointers here */
	struct trust *trust;
	struct consent *consent; /* or NULL: nobody asks */
	struct ledger *ledger;
	struct pool *pool;
	int patience_ms; /* how long a transfer waits for a stalled peer */
	/* Told of each change; no lock is held; must not block. */
	void (*changed)(
	    void *ctx, enum peer_change change, const struct peer_info *info);
	/* A peer has no connection left: look for it at these addresses. */
	void (*lost)(void *ctx, const struct peer_info *info);
	void *ctx;
};

/* Lists all pins as offline peers. 0 or -errno. */
int peers_new(const struct peers_config *config, struct peers **ret);

/*
 * Ends: transfers in flight fail with -ECANCELED, connections say BYE, their
 * threads are joined. Blocks for about a second at most.
 */
void peers_stop(struct peers *t);
/* After peers_stop, when nobody holds a peer any more. */
void peers_free(struct peers *t);

/*
 * Once a second or so, from the keeper thread: peers that stay away become
 * offline, transfers that wait too long fail.
 */
void peers_tick(struct peers *t);

/* A reference, or NULL. */
struct peer *peers_find_name(struct peers *t, const char *name);
struct peer *peers_find_key(
    struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES]);
struct peer *peer_get(struct peer *p);
void peer_put(struct peer *p);
void peer_info(struct peer *p, struct peer_info *ret);
struct peers *peer_table(struct peer *p);

/* Copies of all, sorted by name. The count, *ret to be freed, or -ENOMEM. */
int peers_snapshot(struct peers *t, struct peer_info **ret);
/* Grows with every appearance and departure of a folder. */
uint64_t peers_generation(struct peers *t);

/*
 * Is a connected peer there: by a connection of now, or proven a short time
 * ago? With name (--peer): and would another proof get it no name?
 */
bool peers_has_address(
    struct peers *t, const struct sockaddr *a, const char *name);
/* Is this key pinned, and not connected? */
bool peers_misses(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES]);

/*
 * A connection that we dialled and that has proven its key: the peer enters
 * the table if it is new (under wanted_name, or the name it says), and the
 * connection becomes its first link: it is online before anybody sees it. A
 * peer that has one already only learns the address, and conn is closed. Takes
 * conn.
 *
 * There is room for PEERS_UNPINNED_MAX strangers, beside those that the user
 * named (wanted_name); after that one of the host that has most, the newcomer
 * counted, makes room, unless something is on its way to it, or somebody is
 * asked about it.
 */
void peers_adopt(struct peers *t, struct conn *conn, const char *wanted_name);

/*
 * By the user (--peer NAME=HOST): the name is nobody's but of the key that is
 * proven at that address (NULL: not known yet; again for each one that the host
 * has, at any time), or who has it already. A key has one such name, the first
 * that it gets. Only a connection that we have dialled proves it. 0 or -ENOMEM.
 */
int peers_reserve(
    struct peers *t, const char *name, const struct sockaddr *address);
/* We have dialled conn (for --peer name, or NULL), and its key is proven: who
 * gets a name from now on may count on it. */
void peers_claim(struct peers *t, const struct conn *conn, const char *name);
/*
 * A caller is about to get a name: waits a moment for our own proof, if it may
 * be one whom the user named, by what it says.
 */
void peers_await_claim(struct peers *t, const struct conn *conn);

/*
 * Pins key as decided, under the name of its folder, which it gets now if it
 * has none (as wanted, if nobody else has that name). Durable on return.
 * ret_name (or NULL): the folder's. 0, or -errno of trust_decide.
 */
int peers_pin(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *wanted, const struct trust_decision *d,
    char ret_name[WIRE_PEER_NAME_MAX + 1]);

/* The same, under that name and no other: it was shown to a person. -ESTALE:
 * the folder is called otherwise by now. */
int peers_pin_as(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, const struct trust_decision *d);

/*
 * A consent_crossing: two that ask each other show the words of the connection
 * that the lesser key has begun, and keep them. peers: a struct peers.
 */
bool peers_crossing(void *peers, const uint8_t key[IDENTITY_KEY_BYTES],
    uint8_t ret_words[TRUST_WORDS_BYTES]);

/*
 * The folder that key has, or would get: kept for its question from now on (see
 * net/consent). 0, or -EACCES: not now.
 */
int peers_hold_name(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *wanted, char ret[WIRE_PEER_NAME_MAX + 1]);

/* gtfs accept / refuse / forget NAME. 0, -ENOENT, or -errno of the pin;
 * peers_forget -ENODATA: it is listed, and was not pinned (ret_key is set). */
int peers_set_policy(struct peers *t, const char *name,
    enum trust_policy policy, uint8_t ret_key[IDENTITY_KEY_BYTES]);
int peers_forget(
    struct peers *t, const char *name, uint8_t ret_key[IDENTITY_KEY_BYTES]);

/*
 * The pin of a key was changed elsewhere: the table takes what trust knows of
 * it now.
 */
void peers_pinned(struct peers *t, const uint8_t key[IDENTITY_KEY_BYTES]);

/* Transfers and directory operations that are not finished. */
unsigned peers_busy(struct peers *t);

#endif

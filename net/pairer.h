/*
 * Machines that prove to each other that they know the same secret, and trust
 * each other from then on: the one-time code that a person carried over, or
 * the passphrase of a group. The proof is crypto/pairing.h's, the messages are
 * gtfs-protocol(7)'s, section PAIRING; this counts the guesses, and pins.
 *
 * Who is proven is pinned, durably, as accepted and verified, with the words of
 * that connection: the responder before it writes step 4, the initiator when it
 * has read it. A key that our user refuses is not paired with.
 *
 * Codes are counted in net/pair_code.h, a group's guesses in net/guess.h: by
 * either side before the guess can tell anybody anything. No guess of a group
 * is free, a pinned key's neither; but what is pinned needs none.
 */
#ifndef PAIRER_H
#define PAIRER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <stdint.h>

#include "conn.h"
#include "peers.h"
#include "trust.h"
#include "words.h"

enum {
	PAIRER_EXCHANGE_MS = 10 * 1000, /* from step 1 to step 4 */
	PAIRER_DIAL_MS = 15 * 1000,     /* all of pairer_dial */
	PAIRER_DIALS_MAX = 4,
};

struct pairer_config {
	const struct conn_self *self; /* borrowed, as all pointers here */
	struct trust *trust;
	struct peers *peers;
	int state_fd;      /* of the state directory */
	const char *group; /* the passphrase, a secret */
	size_t group_len;  /* 0: in no group */
	/* That key is pinned and verified now, as name. No lock is held. */
	void (*paired)(void *ctx, const uint8_t *key, const char *name);
	void *ctx;
};

struct pairer;

/* 0 or -errno. */
int pairer_new(const struct pairer_config *config, struct pairer **ret);
/* Ends what pairer_dial began, and joins its threads; nothing new begins. */
void pairer_stop(struct pairer *p);
/* Stops it, if need be. NULL is fine. */
void pairer_free(struct pairer *p);

/* Opens a new code, in place of the one before. */
void pairer_open_code(struct pairer *p, char ret_code[WORDS_CODE_MAX]);

/*
 * A caller has sent PAIR, on a connection without a transfer under way: all
 * four steps, in the connection's thread. Blocks for PAIRER_EXCHANGE_MS at
 * most. name: the folder that the caller has or would get. Returns 0 (it has
 * been answered, and the connection goes on; *ret_wrong: it has made a guess,
 * which was wrong), or why the connection has to end.
 */
int pairer_serve(struct pairer *p, struct conn *conn,
    const struct wire_msg *first, const char *name, bool *ret_wrong);

/*
 * We have dialled a machine, and it has proven its key: where both are in a
 * group, and it is not pinned, it is asked for the passphrase, before anything
 * else is said on that connection. Blocks for PAIRER_EXCHANGE_MS at most, or
 * until wake_fd is readable. wanted: the folder it shall have, or NULL. Returns
 * 0 (the connection can be used, whether they are of one group or not),
 * -EAGAIN (the same, but no guess may be made now: another connection, later),
 * or why the connection has to end.
 */
int pairer_greet(
    struct pairer *p, struct conn *conn, const char *wanted, int wake_fd);

/* How long a guess at that address's passphrase has to wait now, in ms; or 0.
 */
int64_t pairer_wait(struct pairer *p, const struct sockaddr *to);

/* network_pair and network_pair_cancel of net/network.h. */
int pairer_dial(struct pairer *p, const char *name, const char *typed,
    void (*done)(void *ctx, int result), void *ctx, uint64_t *ret_serial);
void pairer_cancel(struct pairer *p, uint64_t serial);

#endif

/*
 * The questions that strangers' ASKs put to our owner: one a key, one an
 * address, bounded in number and rate. What is open is listed; what was
 * declined, or found nobody at home, is quiet for a while, so that asking again
 * and again gets nobody anything.
 *
 * Addresses of an IPv6 network of 64 bits cost nothing, but a whole LAN may be
 * one: so an address has one place, and its network half of them. Where none is
 * left for an address, the last question of the network that has most of them
 * goes, and is taken for withdrawn; one that is alone in its network (an IPv4
 * address is one by itself) stays.
 *
 * Any thread; the lock is a leaf, nothing blocks.
 */
#ifndef CONSENT_H
#define CONSENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "identity.h"
#include "wire.h"

enum {
	CONSENT_OPEN_MAX = 16,
	CONSENT_OPEN_NET_MAX = CONSENT_OPEN_MAX / 2,
	/* Within a minute, of one network, and of all; after CONSENT_PER_MINUTE
	 * of all, only of networks that have put none. */
	CONSENT_PER_MINUTE_NET = 30,
	CONSENT_PER_MINUTE = 45,
	CONSENT_PER_MINUTE_MAX = 60,
	CONSENT_DECLINED_MS = 600 * 1000, /* quiet for this key */
	/* Quiet for key and address after the second question without a yes,
	 * within an hour; doubled each time, up to CONSENT_DECLINED_MS. Of
	 * those that were withdrawn, two count as one. */
	CONSENT_PAUSE_MS = 5000,
	CONSENT_TIMEOUT_MS = 30000, /* the default of ask_timeout */
	/* Who was read about under a name keeps it for so long after that. */
	CONSENT_NAME_MS = 600 * 1000,
};

struct consent_question {
	uint64_t serial; /* of this question; given by consent_ask */
	uint8_t key[IDENTITY_KEY_BYTES];
	/* The folder that it has, or would get; nobody else's, see below. */
	char name[WIRE_PEER_NAME_MAX + 1];
	/* handshake_words of the connection it came on; see consent_crosses. */
	uint8_t words[32];
	char file[WIRE_NAME_MAX + 1];
	uint64_t size; /* or WIRE_SIZE_UNKNOWN */
	struct sockaddr_storage address;
	int64_t asked_ms, deadline_ms; /* now_ms(); given by consent_ask */
};

enum consent_change {
	CONSENT_ASKED,
	CONSENT_ACCEPTED,
	CONSENT_DECLINED,
	CONSENT_EXPIRED,   /* nobody answered in time */
	CONSENT_WITHDRAWN, /* the sender gave up, its connection broke, or it
			    * has lost its place */
};

struct consent;

/* Told of each change, no lock held; must not block. */
typedef void consent_changed(void *ctx, enum consent_change change,
    const struct consent_question *question);

/* NULL: out of memory. changed may be NULL. */
struct consent *consent_new(
    int timeout_ms, consent_changed *changed, void *ctx);

/*
 * Where two machines ask each other at once, both screens show the words of one
 * of the two questions: true, with *ret_words, where that is our own, which
 * asks this key. No lock is held.
 */
typedef bool consent_crossing(
    void *ctx, const uint8_t key[IDENTITY_KEY_BYTES], uint8_t ret_words[32]);
/* Before the first question. What is shown (changed, consent_find,
 * consent_find_serial, consent_snapshot) has the words by that. */
void consent_crosses(struct consent *c, consent_crossing *crossing, void *ctx);
/* NULL is fine. */
void consent_free(struct consent *c);

/*
 * Opens a question (a copy; serial, asked_ms and deadline_ms are set here, and
 * the name made unique). wake_fd, an eventfd that is borrowed until the end of
 * it, becomes readable when it was answered. 0 with *ret_serial, or -EACCES:
 * none may be put now.
 */
int consent_ask(struct consent *c, const struct consent_question *question,
    int wake_fd, uint64_t *ret_serial);

/*
 * What became of it: -EINPROGRESS, or, once, 0 (accepted) or -EACCES; after
 * that, and after consent_withdraw, wake_fd is the caller's again.
 */
int consent_answer(struct consent *c, uint64_t serial);
/* The caller waits no longer; an unknown one is fine. */
void consent_withdraw(struct consent *c, uint64_t serial);

/*
 * Names of questions. A person reads a name with its words, and answers by the
 * name: so it stays its key's for CONSENT_NAME_MS after the question, whatever
 * becomes of that. net/peers gives names (peers_hold_name), and no folder one
 * that is taken here.
 */

/* Is this the name of another key's question, or was it lately? */
bool consent_name_taken(
    struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES], const char *name);
/* The name that this key asked by last, if it still has it. 0 or -ENOENT. */
int consent_name(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    char ret[WIRE_PEER_NAME_MAX + 1]);
/* Keeps a name that is not taken until consent_ask. 0, or -EACCES: too many
 * are kept. */
int consent_hold_name(
    struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES], const char *name);

/* The open question of this name or number. 0 or -ENOENT. */
int consent_find(
    struct consent *c, const char *name, struct consent_question *ret);
int consent_find_serial(
    struct consent *c, uint64_t serial, struct consent_question *ret);
/* Of this key, with the words of its own connection. Under any lock. */
int consent_find_key(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    struct consent_question *ret);
/* Whose question of this name was declined last, while it has the name. */
int consent_find_declined(
    struct consent *c, const char *name, uint8_t ret_key[IDENTITY_KEY_BYTES]);
/* Answers it. 0, or -ENOENT: it is not open any more. */
int consent_settle(struct consent *c, uint64_t serial, bool accepted);

/* Is this key, or whoever is at this address (or NULL), not to ask now? */
bool consent_quiet(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr_storage *address);
/* Its owner has changed his mind (accept, forget): no quiet for it, nor for the
 * addresses that were hushed for it. */
void consent_forgive(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES]);

/* Every second or so: questions that nobody answers end. */
void consent_tick(struct consent *c);

/* Copies of the open ones, oldest first. The count, *ret to be freed, or
 * -ENOMEM. */
int consent_snapshot(struct consent *c, struct consent_question **ret);

#endif

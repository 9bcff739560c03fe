/*
 * The questions that strangers' ASKs put to our owner: one a key, one an
 * address, bounded in number and rate. What is open is listed; what was
 * declined, or found nobody at home, is quiet for a while, so that asking again
 * and again gets nobody anything.
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
	CONSENT_PER_MINUTE = 30,
	CONSENT_DECLINED_MS = 600 * 1000, /* quiet for this key */
	/* Quiet for key and address after the second question without a yes,
	 * within an hour; doubled each time, up to CONSENT_DECLINED_MS. */
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
	uint8_t words[32]; /* handshake_words of the connection it came on */
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
	CONSENT_WITHDRAWN, /* the sender gave up, or its connection broke */
};

struct consent;

/* Told of each change, no lock held; must not block. */
typedef void consent_changed(void *ctx, enum consent_change change,
    const struct consent_question *question);

/* NULL: out of memory. changed may be NULL. */
struct consent *consent_new(
    int timeout_ms, consent_changed *changed, void *ctx);
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

/* The open question of this name, key or number. 0 or -ENOENT. */
int consent_find(
    struct consent *c, const char *name, struct consent_question *ret);
int consent_find_key(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES],
    struct consent_question *ret);
int consent_find_serial(
    struct consent *c, uint64_t serial, struct consent_question *ret);
/* Answers it. 0, or -ENOENT: it is not open any more. */
int consent_settle(struct consent *c, uint64_t serial, bool accepted);

/* Is this key not to ask now? */
bool consent_quiet(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES]);
/* Its owner has changed his mind (accept, forget): no quiet for it. */
void consent_forgive(struct consent *c, const uint8_t key[IDENTITY_KEY_BYTES]);

/* Every second or so: questions that nobody answers end. */
void consent_tick(struct consent *c);

/* Copies of the open ones, oldest first. The count, *ret to be freed, or
 * -ENOMEM. */
int consent_snapshot(struct consent *c, struct consent_question **ret);

#endif

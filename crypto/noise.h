/*
 * The Noise Protocol Framework over 25519, for the patterns of the table
 * below: CipherState, SymmetricState and HandshakeState in one object.
 * Bytes in, bytes out; payloads are the caller's.
 *
 * Any thread, one at a time; no blocking, no allocation.
 *
 * Source: Noise rev 34, section 5 (processing rules), 7.5 (XX), 9 (psk).
 */
#ifndef NOISE_H
#define NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "suite.h"

#define NOISE_MESSAGE_MAX 65535
#define NOISE_MESSAGES    3
#define NOISE_TOKENS      5

enum noise_token {
	NOISE_END = 0,
	NOISE_E,
	NOISE_S,
	NOISE_EE,
	NOISE_ES,
	NOISE_SE,
	NOISE_PSK
};

struct noise_pattern {
	const char *name;
	bool psk;
	/* Messages alternate; the first is the initiator's. */
	enum noise_token messages[NOISE_MESSAGES][NOISE_TOKENS];
};

extern const struct noise_pattern noise_xx;
extern const struct noise_pattern noise_xxpsk3;

/* All pointers are read by noise_init() only. */
struct noise_config {
	const struct noise_pattern *pattern;
	const struct suite_cipher *cipher; /* tag of SUITE_TAG_BYTES */
	const struct suite_hash *hash;
	bool initiator;
	const void *prologue;
	size_t prologue_len;
	const uint8_t *static_secret;
	const uint8_t *static_public;
	const uint8_t *psk; /* 32 bytes where the pattern has one */
	/*
	 * Test vectors only: the ephemeral secret. NULL makes a fresh one,
	 * without which nothing that follows is safe.
	 */
	const uint8_t *fixed_ephemeral;
};

/* Fields are noise.c's; the struct is open so that it can be embedded. */
struct noise {
	const struct noise_pattern *pattern;
	const struct suite_cipher *cipher;
	const struct suite_hash *hash;
	bool initiator;
	bool failed;
	bool split;
	unsigned next; /* message to come, NOISE_MESSAGES when complete */

	/* CipherState */
	bool has_key;
	uint8_t key[SUITE_KEY_BYTES];
	uint64_t counter;

	/* SymmetricState */
	uint8_t chaining_key[SUITE_HASH_MAX];
	uint8_t h[SUITE_HASH_MAX];

	/* HandshakeState */
	uint8_t s_secret[SUITE_DH_BYTES];
	uint8_t s_public[SUITE_DH_BYTES];
	uint8_t e_secret[SUITE_DH_BYTES];
	uint8_t e_public[SUITE_DH_BYTES];
	uint8_t remote_s[SUITE_DH_BYTES];
	uint8_t remote_e[SUITE_DH_BYTES];
	uint8_t psk[32];
};

void noise_init(struct noise *n, const struct noise_config *config);

/* Wipes everything. A zeroed object is fine too. */
void noise_fini(struct noise *n);

/* What the next message takes beyond its payload. */
size_t noise_overhead(const struct noise *n);

/*
 * WriteMessage(). Returns 0, -EMSGSIZE (nothing happened), -EPROTO (not our
 * turn, complete or failed), or -EBADMSG (the other's public key, read
 * earlier, turns out to be of low order: failed for good).
 */
int noise_write(struct noise *n, const void *payload, size_t payload_len,
    uint8_t *out, size_t out_cap, size_t *ret_len);

/*
 * ReadMessage(). payload_cap must have room for len - noise_overhead() bytes;
 * msg and ret_payload do not overlap. Returns 0, -EBADMSG (failed for good),
 * -EMSGSIZE (payload_cap; nothing happened), or -EPROTO (as above).
 */
int noise_read(struct noise *n, const uint8_t *msg, size_t len,
    uint8_t *ret_payload, size_t payload_cap, size_t *ret_len);

/* Whether the next message is ours to write (or, false, to read). */
bool noise_turn(const struct noise *n, bool writing);

bool noise_complete(const struct noise *n);

/*
 * Split(), once, when complete: the key of the initiator's direction and the
 * responder's; wipes all other secrets. Returns 0 or -EPROTO.
 */
int noise_split(struct noise *n, uint8_t ret_initiator[SUITE_KEY_BYTES],
    uint8_t ret_responder[SUITE_KEY_BYTES]);

#endif

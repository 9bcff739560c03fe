/*
 * gtfs's three messages on top of noise.c: the commitment, the nonces, the
 * ciphers offered, and what is derived when all three have passed. Runs on the
 * connection's thread; who talks to whom, and whether the key that shows is
 * trusted, is net's.
 */
#include "handshake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "locked.h"
#include "noise.h"

#define NONCE_BYTES      32
#define COMMITMENT_BYTES 32
#define MASK_BYTES       2
/* What messages 2 and 3 carry before app. */
#define PAYLOAD_HEAD      (NONCE_BYTES + MASK_BYTES)
#define PAYLOAD_MAX       (PAYLOAD_HEAD + HANDSHAKE_APP_MAX)

#define COMMITMENT_DOMAIN "gtfs commitment v1"
#define WORDS_DOMAIN      "gtfs words v1"
#define CHANNEL_DOMAIN    "gtfs channel v1"

/* Of Noise, and after message 2 as after message 3. */
#define HASH_BYTES crypto_hash_sha256_BYTES

_Static_assert(IDENTITY_KEY_BYTES == SUITE_DH_BYTES, "X25519 keys");

struct handshake {
	struct noise noise;
	bool initiator;
	uint8_t initiator_nonce[NONCE_BYTES];
	uint8_t responder_nonce[NONCE_BYTES];
	uint8_t commitment[COMMITMENT_BYTES]; /* the responder's copy */
	uint8_t hash_before_3[HASH_BYTES];    /* the handshake's */
	unsigned our_ciphers;
	unsigned their_ciphers;
};

struct handshake *handshake_new(enum handshake_role role,
    const struct identity *identity, const void *prologue, size_t prologue_len)
{
	const struct noise_config config = {
		.pattern = &noise_xx,
		.cipher = &suite_chacha_poly,
		.hash = &suite_sha256,
		.initiator = role == HANDSHAKE_INITIATOR,
		.prologue = prologue,
		.prologue_len = prologue_len,
		.static_secret = identity->secret,
		.static_public = identity->public,
	};
	struct handshake *h;

	if (sodium_init() < 0)
		return NULL;
	h = locked_alloc(sizeof(*h));
	if (!h)
		return NULL;
	h->initiator = role == HANDSHAKE_INITIATOR;
	h->our_ciphers = record_ciphers();
	randombytes_buf(h->initiator ? h->initiator_nonce : h->responder_nonce,
	    NONCE_BYTES);
	noise_init(&h->noise, &config);
	return h;
}

void handshake_free(struct handshake *h)
{
	if (!h)
		return;
	noise_fini(&h->noise);
	locked_free(h, sizeof(*h));
}

void handshake_set_ciphers(struct handshake *h, unsigned mask)
{
	assert(h->noise.next == 0);
	h->our_ciphers = mask & record_ciphers();
}

/* Nothing works any more, and no secret is left to be found. */
static int fail(struct handshake *h, int r)
{
	noise_fini(&h->noise);
	return r;
}

/* The initiator's nonce and its key. */
static void commit_to(const uint8_t nonce[NONCE_BYTES],
    const uint8_t key[IDENTITY_KEY_BYTES], uint8_t ret[COMMITMENT_BYTES])
{
	uint8_t both[NONCE_BYTES + IDENTITY_KEY_BYTES];

	memcpy(both, nonce, NONCE_BYTES);
	memcpy(both + NONCE_BYTES, key, IDENTITY_KEY_BYTES);
	suite_digest(COMMITMENT_DOMAIN, both, sizeof(both), ret);
	sodium_memzero(both, sizeof(both));
}

/* After each message: keeps the hash that the words are made from. */
static void note_hash(struct handshake *h)
{
	if (h->noise.next == 2)
		memcpy(h->hash_before_3, h->noise.h, HASH_BYTES);
}

int handshake_write(struct handshake *h, const void *app, size_t app_len,
    uint8_t *out, size_t out_cap, size_t *ret_len)
{
	uint8_t payload[PAYLOAD_MAX];
	size_t len;
	int r;

	if (!noise_turn(&h->noise, true))
		return -EPROTO;
	if (app_len > (h->noise.next == 0 ? 0 : HANDSHAKE_APP_MAX))
		return -EMSGSIZE;
	if (h->noise.next == 0) {
		commit_to(h->initiator_nonce, h->noise.s_public, payload);
		len = COMMITMENT_BYTES;
	} else {
		memcpy(payload,
		    h->initiator ? h->initiator_nonce : h->responder_nonce,
		    NONCE_BYTES);
		put_be16(payload + NONCE_BYTES, (uint16_t)h->our_ciphers);
		if (app_len)
			memcpy(payload + PAYLOAD_HEAD, app, app_len);
		len = PAYLOAD_HEAD + app_len;
	}
	r = noise_write(&h->noise, payload, len, out, out_cap, ret_len);
	sodium_memzero(payload, sizeof(payload));
	if (r == 0)
		note_hash(h);
	return r;
}

/* Message 2 or 3, opened: takes the nonce and the mask, checks what 1 said. */
static int read_head(struct handshake *h, const uint8_t *payload, size_t len)
{
	uint8_t commitment[COMMITMENT_BYTES];

	if (len < PAYLOAD_HEAD || len > PAYLOAD_MAX)
		return -EBADMSG;
	h->their_ciphers = get_be16(payload + NONCE_BYTES);
	if (h->initiator) {
		memcpy(h->responder_nonce, payload, NONCE_BYTES);
		return 0;
	}
	memcpy(h->initiator_nonce, payload, NONCE_BYTES);
	commit_to(h->initiator_nonce, h->noise.remote_s, commitment);
	if (sodium_memcmp(commitment, h->commitment, COMMITMENT_BYTES) != 0)
		return -EBADMSG;
	return 0;
}

int handshake_read(struct handshake *h, const uint8_t *msg, size_t len,
    uint8_t *ret_app, size_t app_cap, size_t *ret_app_len)
{
	uint8_t payload[HANDSHAKE_MESSAGE_MAX];
	bool first = h->noise.next == 0;
	size_t payload_len;
	size_t app_len = 0;
	int r;

	r = noise_read(
	    &h->noise, msg, len, payload, sizeof(payload), &payload_len);
	if (r == -EMSGSIZE) /* longer than any message of ours */
		r = fail(h, -EBADMSG);
	if (r < 0)
		return r;
	note_hash(h);

	if (first) {
		if (payload_len != COMMITMENT_BYTES)
			r = -EBADMSG;
		else
			memcpy(h->commitment, payload, COMMITMENT_BYTES);
	} else {
		r = read_head(h, payload, payload_len);
		if (r == 0) {
			app_len = payload_len - PAYLOAD_HEAD;
			if (app_len > app_cap)
				r = -EMSGSIZE;
		}
	}
	if (r < 0) {
		r = fail(h, r);
	} else {
		if (app_len)
			memcpy(ret_app, payload + PAYLOAD_HEAD, app_len);
		*ret_app_len = app_len;
	}
	sodium_memzero(payload, sizeof(payload));
	return r;
}

bool handshake_complete(const struct handshake *h)
{
	return noise_complete(&h->noise);
}

const uint8_t *handshake_remote_key(const struct handshake *h)
{
	return noise_complete(&h->noise) ? h->noise.remote_s : NULL;
}

int handshake_split(struct handshake *h, struct record_key *ret_send,
    struct record_key *ret_receive)
{
	uint8_t initiator[SUITE_KEY_BYTES];
	uint8_t responder[SUITE_KEY_BYTES];
	enum record_cipher cipher;
	int r;

	if (!noise_complete(&h->noise))
		return -EPROTO;
	r = record_cipher_choose(h->our_ciphers, h->their_ciphers, &cipher);
	if (r < 0)
		return r;
	r = noise_split(&h->noise, initiator, responder);
	if (r < 0)
		return r;
	record_key_init(ret_send, h->initiator ? initiator : responder, cipher);
	record_key_init(
	    ret_receive, h->initiator ? responder : initiator, cipher);
	sodium_memzero(initiator, sizeof(initiator));
	sodium_memzero(responder, sizeof(responder));
	return 0;
}

void handshake_words(
    const struct handshake *h, uint8_t ret_seed[HANDSHAKE_WORDS_BYTES])
{
	uint8_t transcript[HASH_BYTES + 2 * NONCE_BYTES];
	uint8_t *p = transcript;

	assert(noise_complete(&h->noise));
	memcpy(p, h->hash_before_3, HASH_BYTES);
	p += HASH_BYTES;
	memcpy(p, h->initiator_nonce, NONCE_BYTES);
	memcpy(p + NONCE_BYTES, h->responder_nonce, NONCE_BYTES);
	suite_digest(WORDS_DOMAIN, transcript, sizeof(transcript), ret_seed);
}

void handshake_channel(
    const struct handshake *h, uint8_t ret_channel[HANDSHAKE_CHANNEL_BYTES])
{
	assert(noise_complete(&h->noise));
	suite_digest(CHANNEL_DOMAIN, h->noise.h, HASH_BYTES, ret_channel);
}

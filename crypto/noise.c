/*
 * Noise's processing rules (noise.h), token by token. handshake.c decides the
 * protocol and the payloads; the record layer takes over after Split(). Runs
 * on the thread that owns the object.
 */
#include "noise.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hmac.h"

const struct noise_pattern noise_xx = {
	.name = "XX",
	.messages = {
		{ NOISE_E },
		{ NOISE_E, NOISE_EE, NOISE_S, NOISE_ES },
		{ NOISE_S, NOISE_SE },
	},
};

const struct noise_pattern noise_xxpsk3 = {
	.name = "XXpsk3",
	.psk = true,
	.messages = {
		{ NOISE_E },
		{ NOISE_E, NOISE_EE, NOISE_S, NOISE_ES },
		{ NOISE_S, NOISE_SE, NOISE_PSK },
	},
};

static void mix_hash(struct noise *n, const void *data, size_t len)
{
	union suite_hash_state s;

	n->hash->init(&s);
	n->hash->update(&s, n->h, n->hash->hash_bytes);
	n->hash->update(&s, data, len);
	n->hash->final(&s, n->h);
	sodium_memzero(&s, sizeof(s));
}

/* InitializeKey() with the first 32 bytes of an output of the HKDF. */
static void set_key(struct noise *n, const uint8_t *output)
{
	memcpy(n->key, output, SUITE_KEY_BYTES);
	n->counter = 0;
	n->has_key = true;
}

static void mix_key(struct noise *n, const void *input, size_t len)
{
	uint8_t output[SUITE_HASH_MAX];

	hmac_hkdf(n->hash, n->chaining_key, input, len, n->chaining_key, output,
	    NULL);
	set_key(n, output);
	sodium_memzero(output, sizeof(output));
}

static void mix_key_and_hash(struct noise *n, const void *input, size_t len)
{
	uint8_t second[SUITE_HASH_MAX];
	uint8_t third[SUITE_HASH_MAX];

	hmac_hkdf(n->hash, n->chaining_key, input, len, n->chaining_key, second,
	    third);
	mix_hash(n, second, n->hash->hash_bytes);
	set_key(n, third);
	sodium_memzero(second, sizeof(second));
	sodium_memzero(third, sizeof(third));
}

/* What EncryptAndHash() adds to its plaintext now. */
static size_t tag_bytes(const struct noise *n)
{
	return n->has_key ? SUITE_TAG_BYTES : 0;
}

/* Returns the bytes written. */
static size_t encrypt_and_hash(
    struct noise *n, const uint8_t *plain, size_t len, uint8_t *out)
{
	size_t out_len = len + tag_bytes(n);

	if (n->has_key)
		n->cipher->encrypt(n->key, n->counter++, n->h,
		    n->hash->hash_bytes, plain, len, out);
	else if (len)
		memcpy(out, plain, len);
	mix_hash(n, out, out_len);
	return out_len;
}

/* len includes the tag, where there is one. */
static int decrypt_and_hash(
    struct noise *n, const uint8_t *cipher, size_t len, uint8_t *out)
{
	if (n->has_key) {
		if (!n->cipher->decrypt(n->key, n->counter++, n->h,
			n->hash->hash_bytes, cipher, len, out))
			return -EBADMSG;
	} else if (len) {
		memcpy(out, cipher, len);
	}
	mix_hash(n, cipher, len);
	return 0;
}

/* A public key in the clear; patterns with a psk mix it as a key too (9.2). */
static void mix_ephemeral(struct noise *n, const uint8_t *public)
{
	mix_hash(n, public, SUITE_DH_BYTES);
	if (n->pattern->psk)
		mix_key(n, public, SUITE_DH_BYTES);
}

static int mix_dh(
    struct noise *n, const uint8_t *secret, const uint8_t *remote_public)
{
	uint8_t shared[SUITE_DH_BYTES];
	int r = suite_dh(secret, remote_public, shared);

	if (r < 0)
		return r;
	mix_key(n, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return 0;
}

/* The tokens that writer and reader process alike: nothing is on the wire. */
static int mix_token(struct noise *n, enum noise_token token)
{
	switch (token) {
	case NOISE_EE: return mix_dh(n, n->e_secret, n->remote_e);
	case NOISE_ES:
		return n->initiator ? mix_dh(n, n->e_secret, n->remote_s)
				    : mix_dh(n, n->s_secret, n->remote_e);
	case NOISE_SE:
		return n->initiator ? mix_dh(n, n->s_secret, n->remote_e)
				    : mix_dh(n, n->e_secret, n->remote_s);
	case NOISE_PSK: mix_key_and_hash(n, n->psk, sizeof(n->psk)); return 0;
	case NOISE_E:
	case NOISE_S:
	case NOISE_END: break;
	}
	assert(false);
	return -EBADMSG;
}

void noise_init(struct noise *n, const struct noise_config *config)
{
	char name[SUITE_HASH_MAX];
	int len = snprintf(name, sizeof(name), "Noise_%s_25519_%s_%s",
	    config->pattern->name, config->cipher->name, config->hash->name);

	assert(len > 0 && (size_t)len < sizeof(name));
	assert(config->cipher->tag_bytes == SUITE_TAG_BYTES);
	memset(n, 0, sizeof(*n));
	n->pattern = config->pattern;
	n->cipher = config->cipher;
	n->hash = config->hash;
	n->initiator = config->initiator;
	memcpy(n->s_secret, config->static_secret, SUITE_DH_BYTES);
	memcpy(n->s_public, config->static_public, SUITE_DH_BYTES);
	if (config->psk)
		memcpy(n->psk, config->psk, sizeof(n->psk));
	if (config->fixed_ephemeral) {
		memcpy(n->e_secret, config->fixed_ephemeral, SUITE_DH_BYTES);
		suite_dh_public(n->e_secret, n->e_public);
	} else {
		suite_dh_generate(n->e_secret, n->e_public);
	}

	/* InitializeSymmetric(): padded with zeros, or hashed when longer. */
	if ((size_t)len <= n->hash->hash_bytes) {
		memcpy(n->h, name, (size_t)len);
	} else {
		union suite_hash_state s;

		n->hash->init(&s);
		n->hash->update(&s, name, (size_t)len);
		n->hash->final(&s, n->h);
	}
	memcpy(n->chaining_key, n->h, n->hash->hash_bytes);
	mix_hash(n, config->prologue, config->prologue_len);
}

void noise_fini(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
	n->failed = true;
}

bool noise_complete(const struct noise *n)
{
	return !n->failed && n->next == NOISE_MESSAGES;
}

bool noise_turn(const struct noise *n, bool writing)
{
	return !n->failed && n->next < NOISE_MESSAGES &&
	       (n->next % 2 == (n->initiator ? 0 : 1)) == writing;
}

static int fail(struct noise *n, int r)
{
	noise_fini(n);
	return r;
}

size_t noise_overhead(const struct noise *n)
{
	bool keyed = n->has_key;
	size_t len = 0;

	if (n->failed || n->next >= NOISE_MESSAGES)
		return 0;
	for (size_t i = 0; i < NOISE_TOKENS; i++) {
		enum noise_token token = n->pattern->messages[n->next][i];

		if (token == NOISE_END)
			break;
		if (token == NOISE_E)
			len += SUITE_DH_BYTES;
		else if (token == NOISE_S)
			len += SUITE_DH_BYTES + (keyed ? SUITE_TAG_BYTES : 0);
		if (token != NOISE_S && (token != NOISE_E || n->pattern->psk))
			keyed = true;
	}
	return len + (keyed ? SUITE_TAG_BYTES : 0);
}

int noise_write(struct noise *n, const void *payload, size_t payload_len,
    uint8_t *out, size_t out_cap, size_t *ret_len)
{
	size_t overhead = noise_overhead(n);
	uint8_t *p = out;

	if (!noise_turn(n, true))
		return -EPROTO;
	if (payload_len > NOISE_MESSAGE_MAX - overhead ||
	    out_cap < overhead + payload_len)
		return -EMSGSIZE;

	for (size_t i = 0; i < NOISE_TOKENS; i++) {
		enum noise_token token = n->pattern->messages[n->next][i];

		if (token == NOISE_END)
			break;
		if (token == NOISE_E) {
			memcpy(p, n->e_public, SUITE_DH_BYTES);
			p += SUITE_DH_BYTES;
			mix_ephemeral(n, n->e_public);
		} else if (token == NOISE_S) {
			p +=
			    encrypt_and_hash(n, n->s_public, SUITE_DH_BYTES, p);
		} else {
			int r = mix_token(n, token);

			if (r < 0)
				return fail(n, r);
		}
	}
	p += encrypt_and_hash(n, payload, payload_len, p);
	assert((size_t)(p - out) == overhead + payload_len);
	n->next++;
	*ret_len = (size_t)(p - out);
	return 0;
}

int noise_read(struct noise *n, const uint8_t *msg, size_t len,
    uint8_t *ret_payload, size_t payload_cap, size_t *ret_len)
{
	size_t overhead = noise_overhead(n);
	const uint8_t *p = msg;

	if (!noise_turn(n, false))
		return -EPROTO;
	/* The one check of the length: the tokens take overhead, no more. */
	if (len < overhead || len > NOISE_MESSAGE_MAX)
		return fail(n, -EBADMSG);
	if (payload_cap < len - overhead)
		return -EMSGSIZE;

	for (size_t i = 0; i < NOISE_TOKENS; i++) {
		enum noise_token token = n->pattern->messages[n->next][i];
		int r = 0;

		if (token == NOISE_END)
			break;
		if (token == NOISE_E) {
			memcpy(n->remote_e, p, SUITE_DH_BYTES);
			p += SUITE_DH_BYTES;
			mix_ephemeral(n, n->remote_e);
		} else if (token == NOISE_S) {
			size_t s_len = SUITE_DH_BYTES + tag_bytes(n);

			r = decrypt_and_hash(n, p, s_len, n->remote_s);
			p += s_len;
		} else {
			r = mix_token(n, token);
		}
		if (r < 0)
			return fail(n, r);
	}
	if (decrypt_and_hash(n, p, len - (size_t)(p - msg), ret_payload) < 0)
		return fail(n, -EBADMSG);
	n->next++;
	*ret_len = len - overhead;
	return 0;
}

int noise_split(struct noise *n, uint8_t ret_initiator[SUITE_KEY_BYTES],
    uint8_t ret_responder[SUITE_KEY_BYTES])
{
	uint8_t first[SUITE_HASH_MAX];
	uint8_t second[SUITE_HASH_MAX];

	if (!noise_complete(n) || n->split)
		return -EPROTO;
	hmac_hkdf(n->hash, n->chaining_key, NULL, 0, first, second, NULL);
	memcpy(ret_initiator, first, SUITE_KEY_BYTES);
	memcpy(ret_responder, second, SUITE_KEY_BYTES);
	sodium_memzero(first, sizeof(first));
	sodium_memzero(second, sizeof(second));

	n->split = true;
	n->has_key = false;
	sodium_memzero(n->key, sizeof(n->key));
	sodium_memzero(n->chaining_key, sizeof(n->chaining_key));
	sodium_memzero(n->s_secret, sizeof(n->s_secret));
	sodium_memzero(n->e_secret, sizeof(n->e_secret));
	sodium_memzero(n->psk, sizeof(n->psk));
	return 0;
}

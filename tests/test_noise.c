/*
 * Tests of crypto/noise, crypto/suite and crypto/hmac: the published vectors
 * of XX and XXpsk3, and what the framework says must be refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hmac.h"
#include "noise.h"

#define VECTOR_MESSAGES 6
#define BUFFER          256

#define COUNT(a)        (sizeof(a) / sizeof((a)[0]))

/* All hexadecimal but the first three. */
struct noise_vector {
	const char *pattern, *cipher, *hash;
	const char *init_prologue, *init_static, *init_ephemeral;
	const char *resp_prologue, *resp_static, *resp_ephemeral;
	const char *handshake_hash;
	const char *psk;
	struct {
		const char *payload, *ciphertext;
	} messages[VECTOR_MESSAGES];
};

/* Made at build time from vectors/noise-xx-25519.json. */
#include "noise_vectors.h"

static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
	size_t len;

	assert_int_equal(
	    sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

static const struct noise_pattern *pattern_of(const char *name)
{
	return strcmp(name, "XXpsk3") == 0 ? &noise_xxpsk3 : &noise_xx;
}

static const struct suite_cipher *cipher_of(const char *name)
{
	return strcmp(name, "AESGCM") == 0 ? &suite_aes_gcm
					   : &suite_chacha_poly;
}

static const struct suite_hash *hash_of(const char *name)
{
	static const struct suite_hash *const all[] = { &suite_sha256,
		&suite_sha512, &suite_blake2b };

	for (size_t i = 0; i < COUNT(all); i++) {
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	}
	fail_msg("no hash %s", name);
	return NULL;
}

static void init_side(
    struct noise *n, const struct noise_vector *v, bool initiator)
{
	uint8_t prologue[64], secret[32], public[32], ephemeral[32], psk[32];
	struct noise_config config = {
		.pattern = pattern_of(v->pattern),
		.cipher = cipher_of(v->cipher),
		.hash = hash_of(v->hash),
		.initiator = initiator,
		.prologue = prologue,
		.static_secret = secret,
		.static_public = public,
		.fixed_ephemeral = ephemeral,
	};

	config.prologue_len =
	    unhex(initiator ? v->init_prologue : v->resp_prologue, prologue,
		sizeof(prologue));
	unhex(initiator ? v->init_static : v->resp_static, secret, 32);
	unhex(initiator ? v->init_ephemeral : v->resp_ephemeral, ephemeral, 32);
	suite_dh_public(secret, public);
	if (v->psk) {
		unhex(v->psk, psk, 32);
		config.psk = psk;
	}
	noise_init(n, &config);
}

static void check_handshake(
    const struct noise_vector *v, struct noise *writer, struct noise *reader)
{
	uint8_t payload[BUFFER], expected[BUFFER], msg[BUFFER], back[BUFFER];
	size_t payload_len, expected_len, len, back_len;

	for (size_t i = 0; i < NOISE_MESSAGES; i++) {
		struct noise *swap = writer;

		payload_len =
		    unhex(v->messages[i].payload, payload, sizeof(payload));
		expected_len = unhex(
		    v->messages[i].ciphertext, expected, sizeof(expected));
		assert_int_equal(
		    noise_overhead(writer), expected_len - payload_len);
		assert_int_equal(noise_write(writer, payload, payload_len, msg,
				     sizeof(msg), &len),
		    0);
		assert_int_equal(len, expected_len);
		assert_memory_equal(msg, expected, len);
		assert_int_equal(
		    noise_read(reader, msg, len, back, sizeof(back), &back_len),
		    0);
		assert_int_equal(back_len, payload_len);
		assert_memory_equal(back, payload, payload_len);
		writer = reader;
		reader = swap;
	}
}

/* The messages after the handshake, under the keys of Split(). */
static void check_transport(
    const struct noise_vector *v, uint8_t keys[2][SUITE_KEY_BYTES])
{
	const struct suite_cipher *c = cipher_of(v->cipher);
	uint8_t payload[BUFFER], expected[BUFFER], out[BUFFER], back[BUFFER];
	uint64_t counter[2] = { 0, 0 };

	for (size_t i = NOISE_MESSAGES; i < VECTOR_MESSAGES; i++) {
		size_t side = i % 2;
		size_t len =
		    unhex(v->messages[i].payload, payload, sizeof(payload));

		assert_int_equal(unhex(v->messages[i].ciphertext, expected,
				     sizeof(expected)),
		    len + c->tag_bytes);
		c->encrypt(
		    keys[side], counter[side], NULL, 0, payload, len, out);
		assert_memory_equal(out, expected, len + c->tag_bytes);
		assert_true(c->decrypt(keys[side], counter[side]++, NULL, 0,
		    out, len + c->tag_bytes, back));
		assert_memory_equal(back, payload, len);
	}
}

static void check_vector(const struct noise_vector *v)
{
	struct noise initiator, responder;
	uint8_t ours[2][SUITE_KEY_BYTES], theirs[2][SUITE_KEY_BYTES];
	uint8_t hash[SUITE_HASH_MAX];
	size_t hash_len = unhex(v->handshake_hash, hash, sizeof(hash));

	init_side(&initiator, v, true);
	init_side(&responder, v, false);
	check_handshake(v, &initiator, &responder);
	assert_true(noise_complete(&initiator));
	assert_true(noise_complete(&responder));
	assert_int_equal(hash_len, initiator.hash->hash_bytes);
	assert_memory_equal(initiator.h, hash, hash_len);
	assert_memory_equal(responder.h, hash, hash_len);
	assert_memory_equal(initiator.remote_s, responder.s_public, 32);
	assert_memory_equal(responder.remote_s, initiator.s_public, 32);

	assert_int_equal(noise_split(&initiator, ours[0], ours[1]), 0);
	assert_int_equal(noise_split(&responder, theirs[0], theirs[1]), 0);
	assert_memory_equal(ours, theirs, sizeof(ours));
	assert_int_equal(noise_split(&initiator, ours[0], ours[1]), -EPROTO);
	check_transport(v, ours);
	noise_fini(&initiator);
	noise_fini(&responder);
}

static void vectors(const char *cipher)
{
	size_t done = 0;

	for (size_t i = 0; i < COUNT(noise_vectors); i++) {
		if (strcmp(noise_vectors[i].cipher, cipher) == 0) {
			check_vector(&noise_vectors[i]);
			done++;
		}
	}
	/* XX and XXpsk3, three hashes each. */
	assert_int_equal(done, 6);
}

static void vectors_of_chacha_poly(void **state)
{
	vectors("ChaChaPoly");
}

static void vectors_of_aes_gcm(void **state)
{
	if (!suite_aes_gcm.available()) {
		print_message("this processor has no AES instructions\n");
		skip();
	}
	vectors("AESGCM");
}

/* RFC 4231, test cases 1 and 2. */
static void hmac_of_rfc_4231(void **state)
{
	static const struct {
		const char *key, *data, *sha256, *sha512;
	} cases[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
		    "4869205468657265",
		    "b0344c61d8db38535ca8afceaf0bf12b"
		    "881dc200c9833da726e9376c2e32cff7",
		    "87aa7cdea5ef619d4ff0b4241a1d6cb0"
		    "2379f4e2ce4ec2787ad0b30545e17cde"
		    "daa833b7d6b8a702038b274eaea3f4e4"
		    "be9d914eeb61f1702e696c203a126854" },
		{ "4a656665",
		    "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		    "5bdcc146bf60754e6a042426089575c7"
		    "5a003f089d2739839dec58b964ec3843",
		    "164b7a7bfcf819e2e395fbe73b56e0a3"
		    "87bd64222e831fd610270cd7ea250554"
		    "9758bf75c05a994a6d034f65f8f0e6fd"
		    "caeab1a34d4a6b4b636e070a38bce737" },
	};
	uint8_t key[64], data[64], expected[64], mac[64];

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t key_len = unhex(cases[i].key, key, sizeof(key));
		size_t len = unhex(cases[i].data, data, sizeof(data));
		struct hmac m;

		unhex(cases[i].sha256, expected, sizeof(expected));
		hmac_init(&m, &suite_sha256, key, key_len);
		hmac_update(&m, data, len);
		hmac_final(&m, mac);
		assert_memory_equal(mac, expected, 32);
		unhex(cases[i].sha512, expected, sizeof(expected));
		hmac_init(&m, &suite_sha512, key, key_len);
		hmac_update(&m, data, 1);
		hmac_update(&m, data + 1, len - 1);
		hmac_final(&m, mac);
		assert_memory_equal(mac, expected, 64);
	}
}

/* REKEY() against libsodium's own functions: nonce 2^64-1, both layouts. */
static void rekey_is_noise_4_2(void **state)
{
	static const uint8_t nonce[12] = { 0, 0, 0, 0, 255, 255, 255, 255, 255,
		255, 255, 255 };
	static const uint8_t zeros[32];
	uint8_t key[32], again[32], out[32 + 16];

	randombytes_buf(key, sizeof(key));
	memcpy(again, key, sizeof(key));
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    out, NULL, zeros, sizeof(zeros), NULL, 0, NULL, nonce, key);
	suite_rekey(&suite_chacha_poly, again);
	assert_memory_equal(again, out, 32);
	if (!suite_aes_gcm.available())
		return;
	memcpy(again, key, sizeof(key));
	crypto_aead_aes256gcm_encrypt(
	    out, NULL, zeros, sizeof(zeros), NULL, 0, NULL, nonce, key);
	suite_rekey(&suite_aes_gcm, again);
	assert_memory_equal(again, out, 32);
}

/*
 * Points of order 1, 2, 4, 8 on the curve and its twist, with their
 * non-canonical encodings; each also with the unused bit set.
 */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void low_order_points_are_refused(void **state)
{
	uint8_t secret[32], public[32], shared[32], before[32];

	suite_dh_generate(secret, public);
	for (size_t i = 0; i < 2 * COUNT(low_order); i++) {
		unhex(low_order[i / 2], public, sizeof(public));
		if (i % 2)
		public[31] |= 0x80;
		memset(shared, 0x5a, sizeof(shared));
		memcpy(before, shared, sizeof(shared));
		assert_int_equal(suite_dh(secret, public, shared), -EBADMSG);
		assert_memory_equal(shared, before, sizeof(shared));
	}
}

static void pair(struct noise *initiator, struct noise *responder)
{
	init_side(initiator, &noise_vectors[3], true);
	init_side(responder, &noise_vectors[3], false);
}

static void turns_and_sizes_are_kept(void **state)
{
	struct noise initiator, responder;
	uint8_t msg[BUFFER], out[BUFFER];
	size_t len, out_len;

	pair(&initiator, &responder);
	assert_int_equal(
	    noise_write(&responder, NULL, 0, msg, sizeof(msg), &len), -EPROTO);
	assert_int_equal(
	    noise_read(&initiator, msg, 32, out, sizeof(out), &len), -EPROTO);
	assert_int_equal(noise_split(&initiator, msg, out), -EPROTO);

	/* Too little room changes nothing: the same call works with more. */
	assert_int_equal(
	    noise_write(&initiator, "abc", 3, msg, 34, &len), -EMSGSIZE);
	assert_int_equal(noise_write(&initiator, "abc", NOISE_MESSAGE_MAX, msg,
			     sizeof(msg), &len),
	    -EMSGSIZE);
	assert_int_equal(noise_write(&initiator, "abc", 3, msg, 35, &len), 0);
	assert_int_equal(len, 35);
	assert_int_equal(
	    noise_read(&responder, msg, len, out, 2, &out_len), -EMSGSIZE);
	assert_int_equal(noise_read(&responder, msg, len, out, 3, &out_len), 0);
	assert_memory_equal(out, "abc", 3);

	/* A short message fails the side that reads it for good. */
	assert_int_equal(
	    noise_write(&responder, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(len, noise_overhead(&initiator));
	assert_int_equal(
	    noise_read(&initiator, msg, len - 1, out, sizeof(out), &out_len),
	    -EBADMSG);
	assert_int_equal(
	    noise_read(&initiator, msg, len, out, sizeof(out), &out_len),
	    -EPROTO);
	assert_int_equal(noise_overhead(&initiator), 0);
	noise_fini(&initiator);
	noise_fini(&responder);
}

/* The other side learns that the keys differ at the last message. */
static void another_psk_is_refused(void **state)
{
	struct noise_vector v = noise_vectors[COUNT(noise_vectors) - 1];
	struct noise initiator, responder;
	uint8_t msg[BUFFER], out[BUFFER];
	size_t len, out_len;

	assert_string_equal(v.pattern, "XXpsk3");
	init_side(&initiator, &v, true);
	init_side(&responder, &v, false);
	responder.psk[0] ^= 1;
	assert_int_equal(
	    noise_write(&initiator, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    noise_read(&responder, msg, len, out, sizeof(out), &out_len), 0);
	assert_int_equal(
	    noise_write(&responder, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    noise_read(&initiator, msg, len, out, sizeof(out), &out_len), 0);
	assert_int_equal(
	    noise_write(&initiator, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    noise_read(&responder, msg, len, out, sizeof(out), &out_len),
	    -EBADMSG);
	assert_false(noise_complete(&responder));
	noise_fini(&initiator);
	noise_fini(&responder);
}

static void secrets_are_wiped(void **state)
{
	struct noise n, other;

	pair(&n, &other);
	assert_false(sodium_is_zero(n.e_secret, 32));
	noise_fini(&n);
	assert_true(sodium_is_zero(n.s_secret, 32));
	assert_true(sodium_is_zero(n.e_secret, 32));
	assert_true(sodium_is_zero(n.chaining_key, SUITE_HASH_MAX));
	noise_fini(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_chacha_poly),
		cmocka_unit_test(vectors_of_aes_gcm),
		cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(rekey_is_noise_4_2),
		cmocka_unit_test(low_order_points_are_refused),
		cmocka_unit_test(turns_and_sizes_are_kept),
		cmocka_unit_test(another_psk_is_refused),
		cmocka_unit_test(secrets_are_wiped),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

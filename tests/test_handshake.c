/*
 * Tests of crypto/handshake: what completes, and that nothing else does. The
 * attackers are real: they speak Noise through crypto/noise and lie in the
 * payloads.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "handshake.h"
#include "noise.h"

#define PROLOGUE "gtfs test"
#define HEAD     34 /* nonce and mask, before app */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct identity alice, bob;

struct message {
	uint8_t bytes[HANDSHAKE_MESSAGE_MAX];
	size_t len;
};

/* Two sides and what has passed between them. */
struct run {
	struct handshake *sides[2]; /* the initiator is 0 */
	struct message messages[3];
};

static void run_init(struct run *r)
{
	r->sides[0] = handshake_new(
	    HANDSHAKE_INITIATOR, &alice, PROLOGUE, strlen(PROLOGUE));
	r->sides[1] = handshake_new(
	    HANDSHAKE_RESPONDER, &bob, PROLOGUE, strlen(PROLOGUE));
	assert_non_null(r->sides[0]);
	assert_non_null(r->sides[1]);
}

static void run_fini(struct run *r)
{
	handshake_free(r->sides[0]);
	handshake_free(r->sides[1]);
}

static struct handshake *writer_of(struct run *r, int i)
{
	return r->sides[i % 2];
}

static struct handshake *reader_of(struct run *r, int i)
{
	return r->sides[1 - i % 2];
}

static void write_message(struct run *r, int i)
{
	struct message *m = &r->messages[i];

	assert_int_equal(
	    handshake_write(writer_of(r, i), "hello", i == 0 ? 0 : 5, m->bytes,
		sizeof(m->bytes), &m->len),
	    0);
}

static int read_message(struct run *r, int i)
{
	uint8_t app[HANDSHAKE_APP_MAX];
	size_t len;
	int ret = handshake_read(reader_of(r, i), r->messages[i].bytes,
	    r->messages[i].len, app, sizeof(app), &len);

	if (ret == 0) {
		assert_int_equal(len, i == 0 ? 0 : 5);
		assert_memory_equal(app, "hello", len);
	}
	return ret;
}

/* Starts a run and passes the first `messages` messages unharmed. */
static void run_to(struct run *r, int messages)
{
	run_init(r);
	for (int i = 0; i < messages; i++) {
		write_message(r, i);
		assert_int_equal(read_message(r, i), 0);
	}
}

static void both_sides_complete(void **state)
{
	uint8_t words[2][HANDSHAKE_WORDS_BYTES];
	struct run r;

	run_to(&r, 2);
	assert_false(handshake_complete(r.sides[0]));
	assert_false(handshake_complete(r.sides[1]));
	assert_null(handshake_remote_key(r.sides[0]));
	write_message(&r, 2);
	assert_true(handshake_complete(r.sides[0]));
	assert_int_equal(read_message(&r, 2), 0);
	assert_true(handshake_complete(r.sides[1]));
	assert_memory_equal(handshake_remote_key(r.sides[0]), bob.public, 32);
	assert_memory_equal(handshake_remote_key(r.sides[1]), alice.public, 32);
	handshake_words(r.sides[0], words[0]);
	handshake_words(r.sides[1], words[1]);
	assert_memory_equal(words[0], words[1], HANDSHAKE_WORDS_BYTES);
	run_fini(&r);

	run_to(&r, 3);
	handshake_words(r.sides[0], words[1]);
	assert_memory_not_equal(words[0], words[1], HANDSHAKE_WORDS_BYTES);
	run_fini(&r);
	handshake_free(NULL);
}

static void app_parts_of_every_size_arrive(void **state)
{
	uint8_t app[HANDSHAKE_APP_MAX + 1], back[HANDSHAKE_APP_MAX];
	static const size_t sizes[] = { 0, 1, 2, 255, 256, HANDSHAKE_APP_MAX };
	struct message m;
	struct run r;
	size_t len;

	randombytes_buf(app, sizeof(app));
	for (size_t s = 0; s < COUNT(sizes); s++) {
		run_to(&r, 1);
		for (int i = 1; i < 3; i++) {
			assert_int_equal(
			    handshake_write(writer_of(&r, i), app, sizeof(app),
				m.bytes, sizeof(m.bytes), &m.len),
			    -EMSGSIZE);
			assert_int_equal(
			    handshake_write(writer_of(&r, i), app, sizes[s],
				m.bytes, sizeof(m.bytes), &m.len),
			    0);
			assert_int_equal(
			    handshake_read(reader_of(&r, i), m.bytes, m.len,
				back, sizes[s], &len),
			    0);
			assert_int_equal(len, sizes[s]);
			assert_memory_equal(back, app, len);
		}
		assert_true(handshake_complete(r.sides[1]));
		run_fini(&r);
	}
	/* The first message has no room for one. */
	run_init(&r);
	assert_int_equal(handshake_write(r.sides[0], app, 1, m.bytes,
			     sizeof(m.bytes), &m.len),
	    -EMSGSIZE);
	run_fini(&r);
}

static void an_app_part_beyond_the_room_fails(void **state)
{
	uint8_t app[4];
	size_t len;
	struct run r;

	run_to(&r, 1);
	write_message(&r, 1);
	assert_int_equal(handshake_read(r.sides[0], r.messages[1].bytes,
			     r.messages[1].len, app, sizeof(app), &len),
	    -EMSGSIZE);
	assert_int_equal(read_message(&r, 1), -EPROTO);
	assert_false(handshake_complete(r.sides[0]));
	run_fini(&r);
}

static void strict_prefixes_and_trailing_bytes_are_refused(void **state)
{
	for (int i = 0; i < 3; i++) {
		size_t whole = 1;

		for (size_t len = 0; len <= whole + 1; len++) {
			struct run r;

			run_to(&r, i);
			write_message(&r, i);
			whole = r.messages[i].len;
			r.messages[i].bytes[whole] = 0;
			r.messages[i].len = len;
			assert_int_equal(
			    read_message(&r, i), len == whole ? 0 : -EBADMSG);
			if (len != whole)
				assert_int_equal(read_message(&r, i), -EPROTO);
			run_fini(&r);
		}
	}
}

static void a_message_of_any_length_is_refused(void **state)
{
	static uint8_t zeros[NOISE_MESSAGE_MAX + 2];
	static const size_t sizes[] = { HANDSHAKE_MESSAGE_MAX,
		HANDSHAKE_MESSAGE_MAX + 1, HANDSHAKE_MESSAGE_MAX + 200,
		NOISE_MESSAGE_MAX, NOISE_MESSAGE_MAX + 1 };
	uint8_t app[HANDSHAKE_APP_MAX];
	size_t len;

	for (size_t s = 0; s < COUNT(sizes); s++) {
		for (int i = 0; i < 3; i++) {
			struct run r;

			run_to(&r, i);
			write_message(&r, i);
			assert_int_equal(handshake_read(reader_of(&r, i), zeros,
					     sizes[s], app, sizeof(app), &len),
			    -EBADMSG);
			run_fini(&r);
		}
	}
}

/*
 * A flip in message 1 is not seen where it is read (nothing is keyed yet),
 * but message 2 then speaks of another transcript.
 */
static void every_bit_flip_is_refused(void **state)
{
	for (int i = 0; i < 3; i++) {
		size_t bits = 8;

		for (size_t bit = 0; bit < bits; bit++) {
			struct run r;
			int ret;

			run_to(&r, i);
			write_message(&r, i);
			bits = r.messages[i].len * 8;
			r.messages[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ret = read_message(&r, i);
			if (i == 0) {
				assert_int_equal(ret, 0);
				write_message(&r, 1);
				ret = read_message(&r, 1);
			}
			assert_int_equal(ret, -EBADMSG);
			/* It is done when message 3 is out, heard or not. */
			if (i < 2)
				assert_false(handshake_complete(r.sides[0]));
			assert_false(handshake_complete(r.sides[1]));
			run_fini(&r);
		}
	}
}

static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

/* The i-th of 2 * COUNT(low_order) points: as listed, or with the top bit. */
static void low_order_point(size_t i, uint8_t ret[32])
{
	assert_int_equal(
	    sodium_hex2bin(ret, 32, low_order[i / 2], 64, NULL, NULL, NULL), 0);
	if (i % 2)
		ret[31] |= 0x80;
}

/* A peer that keeps Noise's rules, with the static public key it is told. */
static void attacker_init(
    struct noise *n, bool initiator, const uint8_t *static_public)
{
	const struct noise_config config = {
		.pattern = &noise_xx,
		.cipher = &suite_chacha_poly,
		.hash = &suite_sha256,
		.initiator = initiator,
		.prologue = PROLOGUE,
		.prologue_len = strlen(PROLOGUE),
		.static_secret = alice.secret,
		.static_public = static_public,
	};

	noise_init(n, &config);
}

static void commit_to(
    const uint8_t nonce[32], const uint8_t key[32], uint8_t ret[32])
{
	static const char domain[] = "gtfs commitment v1";
	crypto_generichash_state s;

	crypto_generichash_init(&s, NULL, 0, 32);
	crypto_generichash_update(
	    &s, (const uint8_t *)domain, sizeof(domain) - 1);
	crypto_generichash_update(&s, nonce, 32);
	crypto_generichash_update(&s, key, 32);
	crypto_generichash_final(&s, ret, 32);
}

/*
 * The attacker as initiator: commits to nonce with commitment_len bytes, then
 * shows payload. Returns what the responder said in the end.
 */
static int attack_responder(const uint8_t *static_public,
    const uint8_t *commitment, size_t commitment_len, const uint8_t *payload,
    size_t payload_len)
{
	uint8_t msg[1024], out[1024], app[HANDSHAKE_APP_MAX];
	struct handshake *h = handshake_new(
	    HANDSHAKE_RESPONDER, &bob, PROLOGUE, sizeof(PROLOGUE) - 1);
	struct noise n;
	size_t len, out_len;
	int r;

	attacker_init(&n, true, static_public);
	assert_int_equal(
	    noise_write(&n, commitment, commitment_len, msg, sizeof(msg), &len),
	    0);
	r = handshake_read(h, msg, len, app, sizeof(app), &out_len);
	if (r < 0)
		goto cleanup;
	assert_int_equal(
	    handshake_write(h, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    noise_read(&n, msg, len, out, sizeof(out), &out_len), 0);
	assert_int_equal(
	    noise_write(&n, payload, payload_len, msg, sizeof(msg), &len), 0);
	r = handshake_read(h, msg, len, app, sizeof(app), &out_len);
cleanup:
	assert_true(handshake_complete(h) == (r == 0));
	noise_fini(&n);
	handshake_free(h);
	return r;
}

/* The attacker as responder. Returns what the initiator said of message 2. */
static int attack_initiator(const uint8_t *static_public,
    const uint8_t *payload, size_t payload_len, struct handshake **ret_h)
{
	uint8_t msg[1024], out[1024], app[HANDSHAKE_APP_MAX];
	struct handshake *h = handshake_new(
	    HANDSHAKE_INITIATOR, &bob, PROLOGUE, sizeof(PROLOGUE) - 1);
	struct noise n;
	size_t len, out_len;
	int r;

	attacker_init(&n, false, static_public);
	assert_int_equal(
	    handshake_write(h, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    noise_read(&n, msg, len, out, sizeof(out), &out_len), 0);
	assert_int_equal(
	    noise_write(&n, payload, payload_len, msg, sizeof(msg), &len), 0);
	r = handshake_read(h, msg, len, app, sizeof(app), &out_len);
	noise_fini(&n);
	*ret_h = h;
	return r;
}

static void low_order_points_are_refused(void **state)
{
	uint8_t point[32], commitment[32], payload[HEAD] = { 0 };
	struct handshake *h;

	for (size_t i = 0; i < 2 * COUNT(low_order); i++) {
		struct message m;
		struct run r;

		low_order_point(i, point);
		commit_to(payload, point, commitment);
		/* As e of message 1: shows at the first DH. */
		run_init(&r);
		write_message(&r, 0);
		memcpy(r.messages[0].bytes, point, sizeof(point));
		assert_int_equal(read_message(&r, 0), 0);
		assert_int_equal(handshake_write(r.sides[1], NULL, 0, m.bytes,
				     sizeof(m.bytes), &m.len),
		    -EBADMSG);
		assert_int_equal(handshake_write(r.sides[1], NULL, 0, m.bytes,
				     sizeof(m.bytes), &m.len),
		    -EPROTO);
		run_fini(&r);
		/* As e of message 2. */
		run_to(&r, 1);
		write_message(&r, 1);
		memcpy(r.messages[1].bytes, point, sizeof(point));
		assert_int_equal(read_message(&r, 1), -EBADMSG);
		run_fini(&r);
		/* As s of messages 2 and 3, in a valid box. */
		assert_int_equal(
		    attack_initiator(point, payload, HEAD, &h), -EBADMSG);
		handshake_free(h);
		assert_int_equal(attack_responder(point, commitment,
				     sizeof(commitment), payload, HEAD),
		    -EBADMSG);
	}
}

static void a_commitment_not_kept_is_refused(void **state)
{
	uint8_t payload[HEAD] = { 0 }, commitment[32];

	randombytes_buf(payload, 32);
	commit_to(payload, alice.public, commitment);
	assert_int_equal(attack_responder(alice.public, commitment,
			     sizeof(commitment), payload, HEAD),
	    0);
	for (size_t bit = 0; bit < 256; bit += 17) {
		payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(attack_responder(alice.public, commitment,
				     sizeof(commitment), payload, HEAD),
		    -EBADMSG);
		payload[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void authentic_payloads_of_wrong_length_are_refused(void **state)
{
	uint8_t payload[HEAD + HANDSHAKE_APP_MAX + 1] = { 0 }, commitment[33];
	static const size_t refused[] = { 0, 1, 32, HEAD - 1,
		HEAD + HANDSHAKE_APP_MAX + 1 };
	struct handshake *h;

	commit_to(payload, alice.public, commitment);
	commitment[32] = 0;
	for (size_t i = 0; i < COUNT(refused); i++) {
		assert_int_equal(attack_responder(alice.public, commitment, 32,
				     payload, refused[i]),
		    -EBADMSG);
		assert_int_equal(
		    attack_initiator(alice.public, payload, refused[i], &h),
		    -EBADMSG);
		handshake_free(h);
	}
	assert_int_equal(attack_responder(alice.public, commitment, 32, payload,
			     HEAD + HANDSHAKE_APP_MAX),
	    0);
	for (size_t len = 0; len <= 33; len++)
		assert_int_equal(attack_responder(alice.public, commitment, len,
				     payload, HEAD),
		    len == 32 ? 0 : -EBADMSG);
}

static void a_wrong_turn_is_refused(void **state)
{
	struct message m = { .len = 0 };
	struct record_key a, b;
	struct run r;
	size_t len;

	run_init(&r);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(handshake_write(reader_of(&r, i), NULL, 0,
				     m.bytes, sizeof(m.bytes), &m.len),
		    -EPROTO);
		assert_int_equal(handshake_read(writer_of(&r, i), m.bytes, 64,
				     m.bytes, sizeof(m.bytes), &len),
		    -EPROTO);
		assert_int_equal(handshake_split(r.sides[1], &a, &b), -EPROTO);
		write_message(&r, i);
		assert_int_equal(read_message(&r, i), 0);
	}
	for (int side = 0; side < 2; side++) {
		assert_int_equal(handshake_write(r.sides[side], NULL, 0,
				     m.bytes, sizeof(m.bytes), &m.len),
		    -EPROTO);
		assert_int_equal(handshake_read(r.sides[side], m.bytes, 64,
				     m.bytes, sizeof(m.bytes), &len),
		    -EPROTO);
		assert_true(handshake_complete(r.sides[side]));
	}
	run_fini(&r);
}

static void another_prologue_is_refused(void **state)
{
	struct run r;

	run_init(&r);
	handshake_free(r.sides[1]);
	r.sides[1] = handshake_new(HANDSHAKE_RESPONDER, &bob, "gtfs tesT", 9);
	write_message(&r, 0);
	assert_int_equal(read_message(&r, 0), 0);
	write_message(&r, 1);
	assert_int_equal(read_message(&r, 1), -EBADMSG);
	run_fini(&r);
}

/* A record sealed by one and opened by the other. */
static void pass_record(struct record_key *from, struct record_key *to)
{
	uint8_t buf[64], *plain;
	size_t len;

	assert_int_equal(
	    record_seal(from, "ahoy", 4, buf, sizeof(buf), &len), 0);
	assert_int_equal(record_open(to, buf, len, &plain, &len), 0);
	assert_int_equal(len, 4);
	assert_memory_equal(plain, "ahoy", 4);
}

static void the_cipher_is_the_best_of_both(void **state)
{
	unsigned all = record_ciphers();

	for (unsigned ours = 0; ours < 8; ours++) {
		for (unsigned theirs = 0; theirs < 8; theirs++) {
			struct record_key send[2], receive[2];
			enum record_cipher cipher;
			int expected = record_cipher_choose(
			    ours & all, theirs & all, &cipher);
			struct run r;

			run_init(&r);
			handshake_set_ciphers(r.sides[0], ours);
			handshake_set_ciphers(r.sides[1], theirs);
			for (int i = 0; i < 3; i++) {
				write_message(&r, i);
				assert_int_equal(read_message(&r, i), 0);
			}
			for (int s = 0; s < 2; s++)
				assert_int_equal(handshake_split(r.sides[s],
						     &send[s], &receive[s]),
				    expected);
			if (expected == 0) {
				assert_int_equal(send[0].cipher, cipher);
				assert_memory_not_equal(
				    send[0].key, receive[0].key, 32);
				pass_record(&send[0], &receive[1]);
				pass_record(&send[1], &receive[0]);
				assert_int_equal(handshake_split(r.sides[0],
						     &send[0], &receive[0]),
				    -EPROTO);
			}
			run_fini(&r);
		}
	}
}

/* A later version may offer ciphers that this one has never heard of. */
static void unknown_ciphers_are_ignored(void **state)
{
	uint8_t payload[HEAD] = { 0 };
	struct record_key send, receive;
	struct handshake *h;
	struct message m;

	put_be16(payload + 32, 0xfff8 | RECORD_CHACHA20_POLY1305);
	assert_int_equal(attack_initiator(alice.public, payload, HEAD, &h), 0);
	assert_int_equal(
	    handshake_write(h, NULL, 0, m.bytes, sizeof(m.bytes), &m.len), 0);
	assert_int_equal(handshake_split(h, &send, &receive), 0);
	assert_int_equal(send.cipher, RECORD_CHACHA20_POLY1305);
	handshake_free(h);

	put_be16(payload + 32, 0xfff8);
	assert_int_equal(attack_initiator(alice.public, payload, HEAD, &h), 0);
	assert_int_equal(
	    handshake_write(h, NULL, 0, m.bytes, sizeof(m.bytes), &m.len), 0);
	assert_int_equal(handshake_split(h, &send, &receive), -EPROTO);
	handshake_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_complete),
		cmocka_unit_test(app_parts_of_every_size_arrive),
		cmocka_unit_test(an_app_part_beyond_the_room_fails),
		cmocka_unit_test(
		    strict_prefixes_and_trailing_bytes_are_refused),
		cmocka_unit_test(a_message_of_any_length_is_refused),
		cmocka_unit_test(every_bit_flip_is_refused),
		cmocka_unit_test(low_order_points_are_refused),
		cmocka_unit_test(a_commitment_not_kept_is_refused),
		cmocka_unit_test(
		    authentic_payloads_of_wrong_length_are_refused),
		cmocka_unit_test(a_wrong_turn_is_refused),
		cmocka_unit_test(another_prologue_is_refused),
		cmocka_unit_test(the_cipher_is_the_best_of_both),
		cmocka_unit_test(unknown_ciphers_are_ignored),
	};

	if (identity_generate(&alice) < 0 || identity_generate(&bob) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

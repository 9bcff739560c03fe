/*
 * Tests of crypto/pairing: two that know the secret find each other, and
 * whoever lies, guesses, relays or reflects does not.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cpace.h"
#include "pairing.h"

#define CODE     "7-orbit-velvet"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct message {
	unsigned step;
	uint8_t bytes[PAIRING_BYTES_MAX];
	size_t len;
};

/* What a side believes about the connection. */
struct view {
	const char *secret;
	enum pairing_kind kind;
	uint8_t channel[HANDSHAKE_CHANNEL_BYTES];
	uint8_t own[IDENTITY_KEY_BYTES];
	uint8_t remote[IDENTITY_KEY_BYTES];
};

/* Two sides that agree about everything; the initiator is 0. */
static void agree(struct view v[2])
{
	for (int i = 0; i < 2; i++) {
		v[i] = (struct view){ .secret = CODE, .kind = PAIRING_CODE };
		memset(v[i].channel, 'c', sizeof(v[i].channel));
		memset(v[i].own, i == 0 ? 'i' : 'r', sizeof(v[i].own));
		memset(v[i].remote, i == 0 ? 'r' : 'i', sizeof(v[i].remote));
	}
}

static struct pairing *start(const struct view *v, int side)
{
	struct pairing *p = pairing_new(
	    side == 0 ? HANDSHAKE_INITIATOR : HANDSHAKE_RESPONDER, v->kind,
	    v->secret, strlen(v->secret), v->channel, v->own, v->remote);

	assert_non_null(p);
	return p;
}

static void start_both(const struct view v[2], struct pairing *ret[2])
{
	for (int i = 0; i < 2; i++)
		ret[i] = start(&v[i], i);
}

static void free_both(struct pairing *p[2])
{
	pairing_free(p[0]);
	pairing_free(p[1]);
}

static void write_message(struct pairing *p, struct message *ret)
{
	memset(ret, 0, sizeof(*ret));
	assert_int_equal(
	    pairing_write(p, &ret->step, ret->bytes, &ret->len), 0);
}

static int read_message(struct pairing *p, const struct message *m)
{
	return pairing_read(p, PAIRING_CODE, m->step, m->bytes, m->len);
}

/* Nothing more can be done with it. */
static void assert_over(struct pairing *p)
{
	static const uint8_t zeros[PAIRING_BYTES_MAX];
	struct message m;

	assert_int_equal(pairing_write(p, &m.step, m.bytes, &m.len), -EPROTO);
	for (unsigned step = 0; step <= PAIRING_STEPS + 1; step++)
		assert_int_equal(
		    pairing_read(p, PAIRING_CODE, step, zeros,
			step <= 2 ? PAIRING_SHARE_BYTES : PAIRING_TAG_BYTES),
		    -EPROTO);
}

static void assert_failed(struct pairing *p)
{
	assert_false(pairing_proven(p));
	assert_over(p);
}

/* Both sides as far as `steps` messages, unharmed. */
static void run_to(struct pairing *p[2], unsigned steps)
{
	struct view v[2];
	struct message m;

	agree(v);
	start_both(v, p);
	for (unsigned i = 0; i < steps; i++) {
		write_message(p[i % 2], &m);
		assert_int_equal(read_message(p[1 - i % 2], &m), 0);
	}
}

/*
 * Everything is passed on unharmed between two that differ: the responder
 * finds out at step 3, and says nothing any more.
 */
static void assert_rejected(const struct view v[2])
{
	struct pairing *p[2];
	struct message m;

	start_both(v, p);
	for (int i = 0; i < 3; i++) {
		write_message(p[i % 2], &m);
		assert_int_equal(pairing_read(p[1 - i % 2], v[1 - i % 2].kind,
				     m.step, m.bytes, m.len),
		    i < 2 ? 0 : -EKEYREJECTED);
	}
	assert_failed(p[1]);
	assert_false(pairing_proven(p[0]));
	free_both(p);
}

static void who_knows_the_secret_is_convinced(void **state)
{
	static const size_t lens[] = { PAIRING_SHARE_BYTES, PAIRING_SHARE_BYTES,
		PAIRING_TAG_BYTES, PAIRING_TAG_BYTES };
	struct pairing *p[2];
	struct message m[2][PAIRING_STEPS];

	for (int round = 0; round < 2; round++) {
		run_to(p, 0);
		for (unsigned i = 0; i < PAIRING_STEPS; i++) {
			write_message(p[i % 2], &m[round][i]);
			assert_int_equal(m[round][i].step, i + 1);
			assert_int_equal(m[round][i].len, lens[i]);
			assert_int_equal(
			    read_message(p[1 - i % 2], &m[round][i]), 0);
			assert_int_equal(pairing_proven(p[0]), i == 3);
			assert_int_equal(pairing_proven(p[1]), i >= 2);
		}
		assert_over(p[0]);
		assert_over(p[1]);
		assert_true(pairing_proven(p[0]) && pairing_proven(p[1]));
		free_both(p);
	}
	/* Nothing is ever said twice, although nothing differs. */
	for (unsigned i = 0; i < PAIRING_STEPS; i++)
		assert_memory_not_equal(m[0][i].bytes, m[1][i].bytes, lens[i]);
	pairing_free(NULL);
}

static void a_passphrase_of_any_length_will_do(void **state)
{
	static char passphrase[5000];
	static const size_t lens[] = { 1, 92, 93, 127, 128, 4999 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct view v[2];
		struct pairing *p[2];
		struct message m;

		memset(passphrase, 'p', lens[i]);
		passphrase[lens[i]] = '\0';
		agree(v);
		v[0].secret = v[1].secret = passphrase;
		v[0].kind = v[1].kind = PAIRING_GROUP;
		start_both(v, p);
		for (int s = 0; s < PAIRING_STEPS; s++) {
			write_message(p[s % 2], &m);
			assert_int_equal(
			    pairing_read(p[1 - s % 2], PAIRING_GROUP, m.step,
				m.bytes, m.len),
			    0);
		}
		assert_true(pairing_proven(p[0]) && pairing_proven(p[1]));
		free_both(p);
	}
}

static void a_wrong_guess_shows_at_the_responder(void **state)
{
	static const char *const guesses[] = { "7-orbit-velve",
		"7-orbit-velvet ", "8-orbit-velvet", "7-velvet-orbit", "7" };
	struct view v[2];

	for (size_t i = 0; i < COUNT(guesses); i++) {
		agree(v);
		v[0].secret = guesses[i];
		assert_rejected(v);
	}
}

/* The responder answers all the same: its tag is made up. */
static void a_responder_that_does_not_know_is_found_out(void **state)
{
	struct view v[2];
	struct pairing *p[2];
	struct message m;

	agree(v);
	v[1].secret = "7-orbit-violin";
	start_both(v, p);
	write_message(p[0], &m);
	assert_int_equal(read_message(p[1], &m), 0);
	write_message(p[1], &m);
	assert_int_equal(read_message(p[0], &m), 0);
	write_message(p[0], &m);
	m.step = 4;
	randombytes_buf(m.bytes, m.len);
	assert_int_equal(read_message(p[0], &m), -EKEYREJECTED);
	assert_failed(p[0]);
	free_both(p);
}

/* A code is no passphrase, were it spelled like one. */
static void a_proof_holds_for_one_kind(void **state)
{
	struct view v[2];

	agree(v);
	v[1].kind = PAIRING_GROUP;
	assert_rejected(v);
}

static void a_proof_holds_for_one_channel(void **state)
{
	for (int bit = 0; bit < HANDSHAKE_CHANNEL_BYTES * 8; bit += 17) {
		struct view v[2];

		agree(v);
		v[1].channel[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_rejected(v);
	}
}

static void a_proof_holds_for_two_keys(void **state)
{
	struct view v[2];

	for (int side = 0; side < 2; side++) {
		agree(v);
		v[side].remote[31] ^= 1;
		assert_rejected(v);
		agree(v);
		v[side].own[0] ^= 1;
		assert_rejected(v);
	}
	/* Whose is whose matters too. */
	agree(v);
	memcpy(v[1].own, v[0].own, sizeof(v[1].own));
	memcpy(v[1].remote, v[0].remote, sizeof(v[1].remote));
	assert_rejected(v);
}

/* Shares that are flipped show at the latest when tags do not fit. */
static void every_bit_flip_is_refused(void **state)
{
	for (unsigned i = 0; i < PAIRING_STEPS; i++) {
		size_t bits = 8;

		for (size_t bit = 0; bit < bits; bit++) {
			struct pairing *p[2];
			struct message m;
			int r;

			run_to(p, i);
			write_message(p[i % 2], &m);
			bits = m.len * 8;
			m.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			r = read_message(p[1 - i % 2], &m);
			if (i == 0 && r == 0) {
				write_message(p[1], &m);
				r = read_message(p[0], &m);
			}
			if (i < 2 && r == 0) {
				write_message(p[0], &m);
				r = read_message(p[1], &m);
			}
			assert_true(
			    r == -EKEYREJECTED || (i < 2 && r == -EBADMSG));
			assert_false(pairing_proven(p[0]));
			assert_int_equal(pairing_proven(p[1]), i == 3);
			free_both(p);
		}
	}
}

static void every_other_length_is_refused(void **state)
{
	uint8_t longer[PAIRING_BYTES_MAX + 1] = { 0 };

	for (unsigned i = 0; i < PAIRING_STEPS; i++) {
		for (size_t len = 0; len <= sizeof(longer); len++) {
			struct pairing *p[2];
			struct message m;

			run_to(p, i);
			write_message(p[i % 2], &m);
			memcpy(longer, m.bytes, sizeof(m.bytes));
			if (len != m.len) {
				assert_int_equal(
				    pairing_read(p[1 - i % 2], PAIRING_CODE,
					m.step, longer, len),
				    -EBADMSG);
				assert_failed(p[1 - i % 2]);
			}
			free_both(p);
		}
	}
}

static void another_step_or_kind_is_refused(void **state)
{
	for (unsigned i = 0; i < PAIRING_STEPS; i++) {
		for (unsigned step = 0; step <= 257; step++) {
			struct pairing *p[2];
			struct message m;

			run_to(p, i);
			write_message(p[i % 2], &m);
			if (step != m.step) {
				m.step = step;
				assert_int_equal(
				    read_message(p[1 - i % 2], &m), -EBADMSG);
				assert_failed(p[1 - i % 2]);
			}
			free_both(p);
		}
		for (int kind = 0; kind <= 257; kind++) {
			struct pairing *p[2];
			struct message m;

			run_to(p, i);
			write_message(p[i % 2], &m);
			if (kind != PAIRING_CODE) {
				assert_int_equal(pairing_read(p[1 - i % 2],
						     (enum pairing_kind)kind,
						     m.step, m.bytes, m.len),
				    -EBADMSG);
				assert_failed(p[1 - i % 2]);
			}
			free_both(p);
		}
	}
}

/* Whoever speaks out of turn is not heard, and the exchange goes on. */
static void a_wrong_turn_is_refused(void **state)
{
	for (unsigned i = 0; i < PAIRING_STEPS; i++) {
		struct pairing *p[2];
		struct message m, other;

		run_to(p, i);
		assert_int_equal(pairing_write(p[1 - i % 2], &other.step,
				     other.bytes, &other.len),
		    -EPROTO);
		other = (struct message){ .step = i + 1,
			.len =
			    i < 2 ? PAIRING_SHARE_BYTES : PAIRING_TAG_BYTES };
		assert_int_equal(read_message(p[i % 2], &other), -EPROTO);
		write_message(p[i % 2], &m);
		assert_int_equal(read_message(p[1 - i % 2], &m), 0);
		/* Once more: it has had its turn. */
		assert_int_equal(read_message(p[1 - i % 2], &m), -EPROTO);
		free_both(p);
	}
}

/* A mirror knows no secret: the initiator's own words come back. */
static void reflected_messages_prove_nothing(void **state)
{
	struct pairing *p[2];
	struct message m, tag;

	run_to(p, 0);
	write_message(p[0], &m);
	m.step = 2;
	assert_int_equal(read_message(p[0], &m), -EBADMSG);
	assert_failed(p[0]);
	free_both(p);

	/* The share is the responder's, the tag is not. */
	run_to(p, 2);
	write_message(p[0], &tag);
	tag.step = 4;
	assert_int_equal(read_message(p[0], &tag), -EKEYREJECTED);
	assert_failed(p[0]);
	free_both(p);

	/* Two exchanges with the same responder, one fed from the other. */
	run_to(p, 2);
	{
		struct pairing *q[2];

		run_to(q, 2);
		write_message(q[0], &tag);
		assert_int_equal(read_message(p[1], &tag), -EKEYREJECTED);
		free_both(q);
	}
	free_both(p);
}

/* The same key on both ends of a mirror: roles still differ. */
static void a_mirror_of_the_same_key_proves_nothing(void **state)
{
	struct view v[2];

	agree(v);
	memcpy(v[0].remote, v[0].own, sizeof(v[0].own));
	memcpy(v[1].own, v[0].own, sizeof(v[0].own));
	memcpy(v[1].remote, v[0].own, sizeof(v[0].own));
	for (int side = 0; side < 2; side++) {
		struct pairing *p = start(&v[side], side), *peer[2];
		struct message m;

		start_both(v, peer);
		if (side == 1) {
			write_message(peer[0], &m);
			assert_int_equal(read_message(p, &m), 0);
			write_message(p, &m);
			assert_int_equal(m.step, 2);
			m.step = 3;
			m.len = PAIRING_TAG_BYTES;
			assert_int_equal(read_message(p, &m), -EKEYREJECTED);
		} else {
			write_message(p, &m);
			m.step = 2;
			assert_int_equal(read_message(p, &m), -EBADMSG);
		}
		assert_failed(p);
		pairing_free(p);
		free_both(peer);
	}
}

static const char *const no_shares[] = {
	/* the identity */
	"0000000000000000000000000000000000000000000000000000000000000000",
	/* not canonical, negative, no element (RFC 9496, A.3) */
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
	/* of low order on the curves below */
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	/* the draft's */
	"2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c",
};

static void what_is_no_share_is_refused(void **state)
{
	for (size_t i = 0; i < COUNT(no_shares); i++) {
		for (unsigned done = 0; done < 2; done++) {
			struct pairing *p[2];
			struct message m;

			run_to(p, done);
			write_message(p[done], &m);
			assert_int_equal(
			    sodium_hex2bin(m.bytes, 32, no_shares[i], 64, NULL,
				NULL, NULL),
			    0);
			assert_int_equal(
			    read_message(p[1 - done], &m), -EBADMSG);
			assert_failed(p[1 - done]);
			free_both(p);
		}
	}
}

/*
 * In the middle, with a connection to each: all that one says is passed on to
 * the other. Both honest sides know the secret, and each sees the attacker's
 * key, or (were it possible) the other's.
 */
static void a_relay_between_two_channels_is_found_out(void **state)
{
	for (int keys_match = 0; keys_match < 2; keys_match++) {
		struct view v[2];

		agree(v);
		memset(v[1].channel, 'd', sizeof(v[1].channel));
		if (!keys_match) {
			memset(v[0].remote, 'm', sizeof(v[0].remote));
			memset(v[1].remote, 'm', sizeof(v[1].remote));
		}
		assert_rejected(v);
	}
}

/* An initiator has one guess: what it has seen lets it test no second one. */
static void a_guess_fits_one_exchange(void **state)
{
	struct view v[2];
	struct pairing *wrong, *right, *p;
	struct message share, answer, tag;

	agree(v);
	p = start(&v[1], 1);
	right = start(&v[0], 0);
	v[0].secret = "1-wrong-guess";
	wrong = start(&v[0], 0);

	/* The share was made from the wrong guess, the tag from the right. */
	write_message(wrong, &share);
	assert_int_equal(read_message(p, &share), 0);
	write_message(p, &answer);
	write_message(right, &share);
	assert_int_equal(read_message(right, &answer), 0);
	write_message(right, &tag);
	assert_int_equal(read_message(p, &tag), -EKEYREJECTED);
	assert_failed(p);
	pairing_free(wrong);
	pairing_free(right);
	pairing_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_knows_the_secret_is_convinced),
		cmocka_unit_test(a_passphrase_of_any_length_will_do),
		cmocka_unit_test(a_wrong_guess_shows_at_the_responder),
		cmocka_unit_test(a_responder_that_does_not_know_is_found_out),
		cmocka_unit_test(a_proof_holds_for_one_kind),
		cmocka_unit_test(a_proof_holds_for_one_channel),
		cmocka_unit_test(a_proof_holds_for_two_keys),
		cmocka_unit_test(every_bit_flip_is_refused),
		cmocka_unit_test(every_other_length_is_refused),
		cmocka_unit_test(another_step_or_kind_is_refused),
		cmocka_unit_test(a_wrong_turn_is_refused),
		cmocka_unit_test(reflected_messages_prove_nothing),
		cmocka_unit_test(a_mirror_of_the_same_key_proves_nothing),
		cmocka_unit_test(what_is_no_share_is_refused),
		cmocka_unit_test(a_relay_between_two_channels_is_found_out),
		cmocka_unit_test(a_guess_fits_one_exchange),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

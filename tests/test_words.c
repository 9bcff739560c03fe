/*
 * Tests of crypto/words and of the seed that the words are made from: the
 * mapping is BIP-39's, codes are uniform and forgiving to type, and whoever is
 * in the middle of a handshake has nothing to search.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "handshake.h"
#include "noise.h"
#include "words.h"

#define PROLOGUE "gtfs test"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Random numbers that start again, or (0) those of the system. */
static uint64_t replay;

static const char *source_name(void)
{
	return "replay";
}

static void source_fill(void *const buf, const size_t size)
{
	uint8_t seed[randombytes_SEEDBYTES] = { 0 };

	if (replay == 0) {
		randombytes_sysrandom_implementation.buf(buf, size);
	} else {
		replay++;
		memcpy(seed, &replay, sizeof(replay));
		randombytes_buf_deterministic(buf, size, seed);
	}
}

static uint32_t source_word(void)
{
	uint32_t word;

	source_fill(&word, sizeof(word));
	return word;
}

static struct randombytes_implementation source = {
	.implementation_name = source_name,
	.random = source_word,
	.buf = source_fill,
};

static void word(unsigned i, char ret[WORDLIST_WORD_MAX + 1])
{
	const char *row = wordlist_rows[i / WORDLIST_COLUMNS];

	memcpy(ret, row + i % WORDLIST_COLUMNS * WORDLIST_WORD_MAX,
	    WORDLIST_WORD_MAX);
	ret[WORDLIST_WORD_MAX] = '\0';
	ret[strcspn(ret, " ")] = '\0';
}

/* The file english.txt of BIP-39, word for word. */
static void the_list_is_the_published_one(void **state)
{
	static const char published[] =
	    "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda";
	char last[WORDLIST_WORD_MAX + 1] = "", w[WORDLIST_WORD_MAX + 1];
	uint8_t digest[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(digest) + 1];
	crypto_hash_sha256_state h;

	crypto_hash_sha256_init(&h);
	for (unsigned i = 0; i < WORDLIST_WORDS; i++) {
		word(i, w);
		assert_true(strlen(w) >= 3);
		assert_int_equal(
		    strspn(w, "abcdefghijklmnopqrstuvwxyz"), strlen(w));
		assert_true(strcmp(last, w) < 0);
		assert_true(strncmp(last, w, 4) != 0);
		strcpy(last, w);
		crypto_hash_sha256_update(&h, (uint8_t *)w, strlen(w));
		crypto_hash_sha256_update(&h, (const uint8_t *)"\n", 1);
	}
	crypto_hash_sha256_final(&h, digest);
	sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
	assert_string_equal(hex, published);
}

/* The first four words of BIP-39's own test vectors. */
static void bits_become_words_as_in_bip_39(void **state)
{
	static const struct {
		const char *seed, *words;
	} cases[] = {
		{ "000000000000", "abandon abandon abandon abandon" },
		{ "7f7f7f7f7f7f", "legal winner thank year" },
		{ "808080808080", "letter advice cage absurd" },
		{ "ffffffffffff", "zoo zoo zoo zoo" },
		{ "9e885d952ad3", "ozone drill grab fiber" },
		{ "6610b25967cd", "gravity machine north sort" },
		{ "68a79eaca232", "hamster diagram private dutch" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t seed[HANDSHAKE_WORDS_BYTES] = { 0 };
		char text[WORDS_COMPARE_MAX];

		sodium_hex2bin(seed, sizeof(seed), cases[i].seed,
		    strlen(cases[i].seed), NULL, NULL, NULL);
		words_compare(seed, text);
		assert_string_equal(text, cases[i].words);
	}
}

static void every_bit_that_counts_changes_the_words(void **state)
{
	uint8_t seed[HANDSHAKE_WORDS_BYTES];
	char text[WORDS_COMPARE_MAX], other[WORDS_COMPARE_MAX];
	unsigned count = 0;

	randombytes_buf(seed, sizeof(seed));
	words_compare(seed, text);
	for (unsigned bit = 0; bit < 8 * sizeof(seed); bit++) {
		seed[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		words_compare(seed, other);
		count += strcmp(text, other) != 0;
		seed[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	}
	assert_int_equal(count, 44);
	assert_int_equal(count, WORDS_COMPARE_BITS);
	assert_true(count >= 32);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Where a word stands in the list, which is sorted; -1: nowhere. */
static int find(const char *w)
{
	static char all[WORDLIST_WORDS][WORDLIST_WORD_MAX + 1];
	char(*at)[WORDLIST_WORD_MAX + 1];

	if (all[0][0] == '\0')
		for (unsigned i = 0; i < WORDLIST_WORDS; i++)
			word(i, all[i]);
	at = bsearch(w, all, WORDLIST_WORDS, sizeof(all[0]), by_text);
	return at ? (int)(at - all) : -1;
}

#define CODES 20000

static void codes_are_uniform(void **state)
{
	static unsigned digits[10], first[WORDLIST_WORDS];
	static unsigned second[WORDLIST_WORDS];
	unsigned seen[2] = { 0, 0 };

	for (int i = 0; i < CODES; i++) {
		char code[WORDS_CODE_MAX], back[WORDS_CODE_MAX];
		char a[9], b[9], digit;
		int ia, ib;

		words_code(code);
		assert_int_equal(
		    sscanf(code, "%c-%8[a-z]-%8[a-z]", &digit, a, b), 3);
		assert_int_equal(strlen(code), strlen(a) + strlen(b) + 3);
		assert_true(digit >= '1' && digit <= '9');
		ia = find(a);
		ib = find(b);
		assert_true(ia >= 0 && ib >= 0);
		digits[digit - '0']++;
		seen[0] += first[ia]++ == 0;
		seen[1] += second[ib]++ == 0;
		assert_int_equal(words_code_normalise(code, back), 0);
		assert_string_equal(back, code);
	}
	/* 2222 +- 44 of each; 2047.9 words at least once. */
	for (int d = 1; d <= 9; d++)
		assert_in_range(digits[d], CODES / 9 - 400, CODES / 9 + 400);
	assert_in_range(seen[0], 2040, 2048);
	assert_in_range(seen[1], 2040, 2048);
	for (size_t i = 0; i < WORDLIST_WORDS; i++)
		assert_true(first[i] < 60 && second[i] < 60);
}

static void codes_are_forgiving_to_type(void **state)
{
	static const char *const typed[] = { "7-orbit-velvet", "7 orbit velvet",
		"7_orbit_velvet", "7-ORBIT-Velvet", "  7-orbit-velvet\n",
		"\t7 - orbit  --_ velvet \r\n", "7\torbit\tvelvet" };

	for (size_t i = 0; i < COUNT(typed); i++) {
		char code[WORDS_CODE_MAX] = "";

		assert_int_equal(words_code_normalise(typed[i], code), 0);
		assert_string_equal(code, "7-orbit-velvet");
		assert_int_equal(words_code_unknown(typed[i]), 0);
	}
}

static void what_is_no_code_spends_no_guess(void **state)
{
	static const struct {
		const char *typed;
		int unknown;
	} cases[] = { { "", 0 }, { " ", 0 }, { "7", 0 }, { "7-", 0 },
		{ "7-orbit", 0 }, { "7-orbit-", 0 }, { "orbit-velvet", 0 },
		{ "0-orbit-velvet", 0 }, { "10-orbit-velvet", 0 },
		{ "-7-orbit-velvet", 0 }, { "7orbit-velvet", 0 },
		{ "7-orbitvelvet", 0 }, { "7-orbit-velvet-", 0 },
		{ "7-orbit-velvet-zoo", 0 }, { "7-orbit-velvet.", 0 },
		{ "7-orbit-velvet\x80", 0 }, { "7-orb\xc3\xa9t-velvet", 0 },
		{ "7\xe2\x80\x93orbit-velvet", 0 }, { "7-orbit-velv3t", 0 },
		{ "\x1b[31m7-orbit-velvet", 0 }, { "7-orbit-velve", 2 },
		{ "7-orbt-velvet", 1 }, { "7-orbt-velve", 1 },
		{ "7-orbit-velvets", 2 }, { "7-announceannual-velvet", 1 },
		{ "7-a-velvet", 1 }, { "7 orbit announcezz", 2 } };

	for (size_t i = 0; i < COUNT(cases); i++) {
		char code[WORDS_CODE_MAX] = "untouched";

		assert_int_equal(
		    words_code_normalise(cases[i].typed, code), -EINVAL);
		assert_string_equal(code, "untouched");
		assert_int_equal(
		    words_code_unknown(cases[i].typed), cases[i].unknown);
	}
}

static void very_long_input_is_no_code(void **state)
{
	const size_t len = 1 << 20;
	char *typed = malloc(len + 1);
	char code[WORDS_CODE_MAX];

	assert_non_null(typed);
	memset(typed, 'a', len);
	typed[len] = '\0';
	memcpy(typed, "7-", 2);
	assert_int_equal(words_code_normalise(typed, code), -EINVAL);
	typed[5] = '-';
	assert_int_equal(words_code_normalise(typed, code), -EINVAL);
	memset(typed + 1, ' ', len - 1);
	assert_int_equal(words_code_normalise(typed, code), -EINVAL);
	free(typed);
}

/*
 * In the middle: the attacker dials bob, in the place of somebody whose words
 * it knows already, and looks for ways to make bob's the same.
 */

static struct identity alice, bob, mallory, other_mallory;

/* What the attacker sends. */
struct attempt {
	uint8_t committed_nonce[32], shown_nonce[32];
	const struct identity *committed_key, *shown_key;
	uint16_t mask;
	uint8_t app[64];
	size_t app_len;
};

static void attempt_init(struct attempt *a)
{
	memset(a, 0, sizeof(*a));
	memset(a->committed_nonce, 0x5a, sizeof(a->committed_nonce));
	memset(a->shown_nonce, 0x5a, sizeof(a->shown_nonce));
	a->committed_key = a->shown_key = &mallory;
	a->mask = RECORD_CHACHA20_POLY1305;
}

static void commit_to(const struct attempt *a, uint8_t ret[32])
{
	uint8_t both[64];

	memcpy(both, a->committed_nonce, 32);
	memcpy(both + 32, a->committed_key->public, 32);
	suite_digest("gtfs commitment v1", both, sizeof(both), ret);
}

static void attacker_init(
    struct noise *n, bool initiator, const struct identity *key)
{
	static const uint8_t ephemeral[32] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	const struct noise_config config = {
		.pattern = &noise_xx,
		.cipher = &suite_chacha_poly,
		.hash = &suite_sha256,
		.initiator = initiator,
		.prologue = PROLOGUE,
		.prologue_len = strlen(PROLOGUE),
		.static_secret = key->secret,
		.static_public = key->public,
		.fixed_ephemeral = ephemeral,
	};

	noise_init(n, &config);
}

/*
 * Bob's answer to an attempt, and the seed that he has then. He draws the same
 * random numbers every time where again is not 0: what the attacker sees in
 * message 2 is what it saw the last time, as if it could choose message 3
 * afresh.
 */
static int attack(const struct attempt *a, uint64_t again, uint8_t ret_seed[32])
{
	uint8_t msg[1024], payload[128], app[HANDSHAKE_APP_MAX];
	struct handshake *h;
	struct noise n;
	size_t len, out_len;
	int r;

	replay = again;
	h = handshake_new(
	    HANDSHAKE_RESPONDER, &bob, PROLOGUE, strlen(PROLOGUE));
	attacker_init(&n, true, a->shown_key);
	commit_to(a, payload);
	assert_int_equal(
	    noise_write(&n, payload, 32, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    handshake_read(h, msg, len, app, sizeof(app), &out_len), 0);
	assert_int_equal(
	    handshake_write(h, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(
	    noise_read(&n, msg, len, payload, sizeof(payload), &out_len), 0);

	memcpy(payload, a->shown_nonce, 32);
	put_be16(payload + 32, a->mask);
	memcpy(payload + 34, a->app, a->app_len);
	assert_int_equal(
	    noise_write(&n, payload, 34 + a->app_len, msg, sizeof(msg), &len),
	    0);
	r = handshake_read(h, msg, len, app, sizeof(app), &out_len);
	if (r == 0)
		handshake_words(h, ret_seed);
	noise_fini(&n);
	handshake_free(h);
	replay = 0;
	return r;
}

#define TRIES 300

/* All that message 3 has, chosen when message 2 is known. */
static void a_grinder_has_nothing_to_grind(void **state)
{
	uint8_t seed[32], same[32];
	struct attempt a;

	attempt_init(&a);
	assert_int_equal(attack(&a, 1000, seed), 0);
	for (int i = 0; i < TRIES; i++) {
		/* Its name, its port, whatever is added one day. */
		attempt_init(&a);
		a.app_len = 1 + randombytes_uniform(sizeof(a.app));
		randombytes_buf(a.app, a.app_len);
		assert_int_equal(attack(&a, 1000, same), 0);
		assert_memory_equal(seed, same, sizeof(seed));
		/* The ciphers. */
		attempt_init(&a);
		a.mask = (uint16_t)randombytes_uniform(65536);
		assert_int_equal(attack(&a, 1000, same), 0);
		assert_memory_equal(seed, same, sizeof(seed));
		/* Another nonce. */
		attempt_init(&a);
		randombytes_buf(a.shown_nonce, sizeof(a.shown_nonce));
		assert_int_equal(attack(&a, 1000, same), -EBADMSG);
		/* Another key, of which it has the secret. */
		attempt_init(&a);
		assert_int_equal(identity_generate(&other_mallory), 0);
		a.shown_key = &other_mallory;
		assert_int_equal(attack(&a, 1000, same), -EBADMSG);
	}
}

/* What it is committed to does count, and so does all that bob sends. */
static void the_words_cover_what_was_committed(void **state)
{
	uint8_t seed[32], other[32];
	struct attempt a;

	attempt_init(&a);
	assert_int_equal(attack(&a, 1000, seed), 0);
	a.committed_nonce[31] ^= 1;
	a.shown_nonce[31] ^= 1;
	assert_int_equal(attack(&a, 1000, other), 0);
	assert_memory_not_equal(seed, other, sizeof(seed));

	attempt_init(&a);
	assert_int_equal(identity_generate(&other_mallory), 0);
	a.committed_key = a.shown_key = &other_mallory;
	assert_int_equal(attack(&a, 1000, other), 0);
	assert_memory_not_equal(seed, other, sizeof(seed));

	attempt_init(&a);
	assert_int_equal(attack(&a, 2000, other), 0);
	assert_memory_not_equal(seed, other, sizeof(seed));
}

/*
 * An attacker that always sends the same meets other words every time, on
 * either side: one guess a handshake.
 */
static void the_same_attempt_meets_other_words(void **state)
{
	static char texts[2 * TRIES][WORDS_COMPARE_MAX];
	uint8_t msg[1024], out[1024], app[1], seed[32];
	struct attempt a;
	size_t len, out_len;

	for (int i = 0; i < TRIES; i++) {
		struct handshake *h = handshake_new(
		    HANDSHAKE_INITIATOR, &alice, PROLOGUE, strlen(PROLOGUE));
		uint8_t payload[34] = { 0 };
		struct noise n;

		attempt_init(&a);
		assert_int_equal(attack(&a, 0, seed), 0);
		words_compare(seed, texts[2 * i]);

		put_be16(payload + 32, RECORD_CHACHA20_POLY1305);
		attacker_init(&n, false, &mallory);
		assert_int_equal(
		    handshake_write(h, NULL, 0, msg, sizeof(msg), &len), 0);
		assert_int_equal(
		    noise_read(&n, msg, len, out, sizeof(out), &out_len), 0);
		assert_int_equal(noise_write(&n, payload, sizeof(payload), msg,
				     sizeof(msg), &len),
		    0);
		assert_int_equal(
		    handshake_read(h, msg, len, app, sizeof(app), &out_len), 0);
		assert_int_equal(
		    handshake_write(h, NULL, 0, msg, sizeof(msg), &len), 0);
		handshake_words(h, seed);
		words_compare(seed, texts[2 * i + 1]);
		noise_fini(&n);
		handshake_free(h);
	}
	qsort(texts, COUNT(texts), sizeof(texts[0]), by_text);
	for (size_t i = 1; i < COUNT(texts); i++)
		assert_string_not_equal(texts[i - 1], texts[i]);
}

/* The binding is the same on both sides, and another for each handshake. */
static void the_channel_names_one_handshake(void **state)
{
	uint8_t channels[2][2][HANDSHAKE_CHANNEL_BYTES], seed[32];
	uint8_t msg[1024], app[8];
	size_t len, app_len;

	for (int i = 0; i < 2; i++) {
		struct handshake *h[2] = {
			handshake_new(HANDSHAKE_INITIATOR, &alice, "", 0),
			handshake_new(HANDSHAKE_RESPONDER, &bob, "", 0),
		};

		for (int m = 0; m < 3; m++) {
			assert_int_equal(handshake_write(h[m % 2], NULL, 0, msg,
					     sizeof(msg), &len),
			    0);
			assert_int_equal(handshake_read(h[1 - m % 2], msg, len,
					     app, sizeof(app), &app_len),
			    0);
		}
		handshake_channel(h[0], channels[i][0]);
		handshake_channel(h[1], channels[i][1]);
		assert_memory_equal(channels[i][0], channels[i][1], 32);
		handshake_words(h[0], seed);
		assert_memory_not_equal(channels[i][0], seed, 32);
		handshake_free(h[0]);
		handshake_free(h[1]);
	}
	assert_memory_not_equal(channels[0][0], channels[1][0], 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_is_the_published_one),
		cmocka_unit_test(bits_become_words_as_in_bip_39),
		cmocka_unit_test(every_bit_that_counts_changes_the_words),
		cmocka_unit_test(codes_are_uniform),
		cmocka_unit_test(codes_are_forgiving_to_type),
		cmocka_unit_test(what_is_no_code_spends_no_guess),
		cmocka_unit_test(very_long_input_is_no_code),
		cmocka_unit_test(a_grinder_has_nothing_to_grind),
		cmocka_unit_test(the_words_cover_what_was_committed),
		cmocka_unit_test(the_same_attempt_meets_other_words),
		cmocka_unit_test(the_channel_names_one_handshake),
	};

	randombytes_set_implementation(&source);
	if (identity_generate(&alice) < 0 || identity_generate(&bob) < 0 ||
	    identity_generate(&mallory) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

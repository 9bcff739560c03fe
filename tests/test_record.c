/*
 * Tests of crypto/record: what is sealed opens once, in order, on the other
 * side, and nothing else does. Every test runs for each cipher that this
 * machine has.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "record.h"
#include "suite.h"

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define RECORD_MAX (RECORD_PLAIN_MAX + RECORD_OVERHEAD)
#define KIB        1024

static const uint8_t split_key[32] = "thirty-two bytes of split() here";
static const uint8_t other_key[32] = "the other direction has this one";

static uint8_t plain[RECORD_PLAIN_MAX + 1];
static uint8_t sealed[RECORD_MAX + 1];
static uint8_t work[RECORD_MAX + 1];

static const enum record_cipher all_ciphers[] = { RECORD_CHACHA20_POLY1305,
	RECORD_AES_256_GCM, RECORD_AEGIS_256 };

static void for_each_cipher(void (*test)(enum record_cipher))
{
	for (size_t i = 0; i < COUNT(all_ciphers); i++) {
		if (record_ciphers() & all_ciphers[i])
			test(all_ciphers[i]);
	}
}

/* The two ends of one direction. */
struct ends {
	struct record_key sealer, opener;
};

static void ends_init(struct ends *e, enum record_cipher c)
{
	record_key_init(&e->sealer, split_key, c);
	record_key_init(&e->opener, split_key, c);
}

static size_t seal(struct record_key *k, size_t len, uint8_t *out)
{
	size_t out_len;

	assert_int_equal(
	    record_seal(k, plain, len, out, RECORD_MAX, &out_len), 0);
	assert_int_equal(out_len, 3 + len + record_tag_bytes(k->cipher));
	assert_int_equal(get_be24(out), out_len - 3);
	return out_len;
}

/* Opens a copy of what was sealed, and compares. */
static void open_expecting(struct record_key *k, const uint8_t *record,
    size_t record_len, const uint8_t *expected, size_t expected_len)
{
	uint8_t *p;
	size_t len;

	memmove(work, record, record_len);
	assert_int_equal(record_open(k, work, record_len, &p, &len), 0);
	assert_ptr_equal(p, work + RECORD_HEADER_BYTES);
	assert_int_equal(len, expected_len);
	assert_memory_equal(p, expected, len);
}

static int open_copy(
    struct record_key *k, const uint8_t *record, size_t record_len)
{
	uint8_t *copy = malloc(record_len + 1), *p;
	size_t len;
	int r;

	assert_non_null(copy);
	memcpy(copy, record, record_len);
	r = record_open(k, copy, record_len, &p, &len);
	free(copy);
	return r;
}

static void round_trips(enum record_cipher c)
{
	static const size_t sizes[] = { 0, 1, 2, 15, 16, 17, 63, 64, 65, 127,
		128, 129, 255, 256, 1000, 4096, 65535, 65536, 256 * KIB - 1,
		256 * KIB, RECORD_PLAIN_MAX - 1, RECORD_PLAIN_MAX };
	struct ends e;
	size_t len;

	ends_init(&e, c);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		len = seal(&e.sealer, sizes[i], sealed);
		if (sizes[i] >= 16)
			assert_memory_not_equal(sealed + 3, plain, 16);
		open_expecting(&e.opener, sealed, len, plain, sizes[i]);
		assert_int_equal(e.sealer.counter, i + 1);
		assert_int_equal(e.opener.counter, i + 1);
	}
	for (size_t n = 0; n < 600; n++) {
		len = seal(&e.sealer, n, sealed);
		open_expecting(&e.opener, sealed, len, plain, n);
	}
	/* Too large, or no room: nothing is sealed, no counter moves. */
	e.sealer.counter = 7;
	assert_int_equal(record_seal(&e.sealer, plain, RECORD_PLAIN_MAX + 1,
			     sealed, sizeof(sealed), &len),
	    -EMSGSIZE);
	for (size_t cap = 0; cap < 3 + 10 + record_tag_bytes(c); cap++)
		assert_int_equal(
		    record_seal(&e.sealer, plain, 10, sealed, cap, &len),
		    -EMSGSIZE);
	assert_int_equal(e.sealer.counter, 7);
}

static void every_size_comes_back(void **state)
{
	for_each_cipher(round_trips);
}

static void seals_in_place(enum record_cipher c)
{
	struct ends e;
	size_t len;

	for (size_t n = 0; n <= RECORD_PLAIN_MAX; n = n * 3 + 1) {
		ends_init(&e, c);
		memcpy(work + 3, plain, n);
		assert_int_equal(record_seal(&e.sealer, work + 3, n, work,
				     sizeof(work), &len),
		    0);
		ends_init(&e, c);
		seal(&e.sealer, n, sealed);
		assert_memory_equal(work, sealed, len);
		open_expecting(&e.opener, work, len, plain, n);
	}
}

static void sealing_in_place_is_sealing(void **state)
{
	for_each_cipher(seals_in_place);
}

static void refuses_changes(enum record_cipher c)
{
	struct ends e;
	size_t len;

	ends_init(&e, c);
	len = seal(&e.sealer, 40, sealed);
	for (size_t bit = 0; bit < len * 8; bit++) {
		ends_init(&e, c);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_copy(&e.opener, sealed, len), -EBADMSG);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* Failed for good, its key gone: the true one comes too late.
		 */
		assert_int_equal(open_copy(&e.opener, sealed, len), -EBADMSG);
		assert_true(e.opener.failed);
		assert_true(sodium_is_zero(e.opener.key, 32));
		assert_int_equal(record_seal(&e.opener, plain, 1, work,
				     sizeof(work), &(size_t){ 0 }),
		    -ECONNABORTED);
	}
	for (size_t n = 0; n < len + 2; n++) {
		if (n == len)
			continue;
		ends_init(&e, c);
		assert_int_equal(open_copy(&e.opener, sealed, n), -EBADMSG);
		/* The same, with a header that fits what is there. */
		if (n >= 3) {
			ends_init(&e, c);
			memcpy(work, sealed, len + 1);
			put_be24(work, (uint32_t)(n - 3));
			assert_int_equal(
			    open_copy(&e.opener, work, n), -EBADMSG);
		}
	}
	ends_init(&e, c);
	assert_int_equal(open_copy(&e.opener, sealed, len), 0);
}

static void flips_and_prefixes_are_refused(void **state)
{
	for_each_cipher(refuses_changes);
}

static void refuses_other_orders(enum record_cipher c)
{
	uint8_t records[3][64];
	struct record_key back;
	struct ends e;
	size_t len = 0;

	ends_init(&e, c);
	for (size_t i = 0; i < COUNT(records); i++)
		len = seal(&e.sealer, 20, records[i]);

	/* Dropped, or later ones first. */
	for (size_t i = 1; i < COUNT(records); i++) {
		ends_init(&e, c);
		assert_int_equal(
		    open_copy(&e.opener, records[i], len), -EBADMSG);
	}
	/* Twice. */
	ends_init(&e, c);
	assert_int_equal(open_copy(&e.opener, records[0], len), 0);
	assert_int_equal(open_copy(&e.opener, records[0], len), -EBADMSG);
	/* One of the middle left out. */
	ends_init(&e, c);
	assert_int_equal(open_copy(&e.opener, records[0], len), 0);
	assert_int_equal(open_copy(&e.opener, records[2], len), -EBADMSG);
	/* Sent back to its sender, who opens with the other key. */
	record_key_init(&back, other_key, c);
	assert_int_equal(open_copy(&back, records[0], len), -EBADMSG);
	/* Spliced: the head of one, the body of another. */
	ends_init(&e, c);
	memcpy(records[1], records[0], 3 + 10);
	assert_int_equal(open_copy(&e.opener, records[0], len), 0);
	assert_int_equal(open_copy(&e.opener, records[1], len), -EBADMSG);
}

static void another_order_is_refused(void **state)
{
	for_each_cipher(refuses_other_orders);
}

static void reads_headers(enum record_cipher c)
{
	static const size_t bounds[] = { 0, 1, 1000, RECORD_PLAIN_MAX };
	size_t tag = record_tag_bytes(c), len;
	uint8_t header[3];
	struct ends e;

	ends_init(&e, c);
	for (size_t b = 0; b < COUNT(bounds); b++) {
		for (size_t n = 0; n < tag; n++) {
			put_be24(header, (uint32_t)n);
			assert_int_equal(
			    record_header(&e.opener, header, bounds[b], &len),
			    -EBADMSG);
		}
		for (int over = -1; over < 2; over++) {
			size_t n = tag + bounds[b] + (size_t)over;

			put_be24(header, (uint32_t)n);
			len = 0;
			assert_int_equal(
			    record_header(&e.opener, header, bounds[b], &len),
			    n >= tag && over <= 0 ? 0 : -EBADMSG);
			assert_int_equal(len, n >= tag && over <= 0 ? n : 0);
		}
	}
	/* No bound of a caller's goes beyond the protocol's. */
	put_be24(header, (uint32_t)(tag + RECORD_PLAIN_MAX + 1));
	assert_int_equal(
	    record_header(&e.opener, header, SIZE_MAX, &len), -EBADMSG);
	put_be24(header, 0xffffff);
	assert_int_equal(
	    record_header(&e.opener, header, SIZE_MAX, &len), -EBADMSG);
}

static void a_header_is_bounded(void **state)
{
	for_each_cipher(reads_headers);
}

static void refuses_a_used_up_counter(enum record_cipher c)
{
	struct ends e;
	size_t len;

	ends_init(&e, c);
	e.sealer.limit_records = e.opener.limit_records = UINT64_MAX;
	e.sealer.counter = e.opener.counter = UINT64_MAX - 1;
	len = seal(&e.sealer, 5, sealed);
	open_expecting(&e.opener, sealed, len, plain, 5);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(record_seal(&e.sealer, plain, 5, sealed,
				     sizeof(sealed), &len),
		    -EKEYEXPIRED);
		assert_int_equal(
		    open_copy(&e.opener, sealed, 3 + 5 + record_tag_bytes(c)),
		    -EKEYEXPIRED);
		/* Not even lower limits bring it back. */
		record_key_limits(&e.sealer, 1, 1);
	}
	assert_int_equal(e.sealer.counter, UINT64_MAX);
}

static void a_used_up_counter_is_refused(void **state)
{
	for_each_cipher(refuses_a_used_up_counter);
}

/*
 * A second, plain account of what the sealer must do: the key, the counter
 * and the bytes, from the words of record.h alone.
 */
struct account {
	const struct suite_cipher *suite;
	uint8_t key[32];
	uint64_t counter, bytes, rekeys;
};

static void account_init(struct account *a, enum record_cipher c)
{
	crypto_auth_hmacsha256_state s;
	const char *name = record_cipher_name(c);

	memset(a, 0, sizeof(*a));
	a->suite = c == RECORD_AES_256_GCM ? &suite_aes_gcm
		   : c == RECORD_AEGIS_256 ? &suite_aegis_256
					   : &suite_chacha_poly;
	crypto_auth_hmacsha256_init(&s, split_key, sizeof(split_key));
	crypto_auth_hmacsha256_update(
	    &s, (const uint8_t *)"gtfs record v1 ", 15);
	crypto_auth_hmacsha256_update(&s, (const uint8_t *)name, strlen(name));
	crypto_auth_hmacsha256_final(&s, a->key);
}

static size_t account_seal(struct account *a, size_t len, uint64_t limit_bytes,
    uint64_t limit_records, uint8_t *out)
{
	if (a->counter &&
	    (a->bytes + len > limit_bytes || a->counter + 1 > limit_records)) {
		uint8_t block[32 + SUITE_TAG_MAX], zeros[32] = { 0 };

		a->suite->encrypt(
		    a->key, UINT64_MAX, NULL, 0, zeros, 32, block);
		memcpy(a->key, block, 32);
		a->counter = a->bytes = 0;
		a->rekeys++;
	}
	put_be24(out, (uint32_t)(len + a->suite->tag_bytes));
	a->suite->encrypt(a->key, a->counter++, out, 3, plain, len, out + 3);
	a->bytes += len;
	return 3 + len + a->suite->tag_bytes;
}

/*
 * Passes `total` bytes in records of many sizes and compares each with the
 * account, byte for byte.
 */
static uint64_t rekeyed(enum record_cipher c, uint64_t limit_bytes,
    uint64_t limit_records, size_t largest, size_t total)
{
	static uint8_t expected[RECORD_MAX];
	struct account a;
	struct ends e;
	size_t n = 0;

	ends_init(&e, c);
	account_init(&a, c);
	record_key_limits(&e.sealer, limit_bytes, limit_records);
	record_key_limits(&e.opener, limit_bytes, limit_records);
	for (size_t done = 0; done < total; done += n) {
		size_t len = seal(&e.sealer, n, sealed);

		assert_int_equal(
		    account_seal(&a, n, limit_bytes ? limit_bytes : UINT64_MAX,
			limit_records ? limit_records : UINT64_MAX, expected),
		    len);
		assert_memory_equal(sealed, expected, len);
		open_expecting(&e.opener, sealed, len, plain, n);
		assert_memory_equal(e.sealer.key, e.opener.key, 32);
		assert_int_equal(e.sealer.counter, a.counter);
		assert_int_equal(e.opener.bytes, a.bytes);
		n = (n * 7 + 13) % (largest + 1);
	}
	return a.rekeys;
}

static void rekeys(enum record_cipher c)
{
	/* No limit is reached: the numbers are those of one key. */
	assert_int_equal(rekeyed(c, 0, 0, 4096, 256 * KIB), 0);
	assert_true(rekeyed(c, 0, 1, 2000, 512 * KIB) > 200);
	assert_true(rekeyed(c, KIB, 0, 3000, 512 * KIB) > 100);
	assert_true(rekeyed(c, KIB, 3, 300, 128 * KIB) > 100);
	assert_true(
	    rekeyed(c, 256 * KIB, 0, RECORD_PLAIN_MAX, 16384 * KIB) >= 63);
}

static void rekeying_is_exact(void **state)
{
	for_each_cipher(rekeys);
}

static void rekeys_at_the_edge(enum record_cipher c)
{
	struct ends e;

	ends_init(&e, c);
	record_key_limits(&e.sealer, 100, 4);
	record_key_limits(&e.sealer, 1000, 1000); /* never raised */
	record_key_limits(&e.sealer, 0, 0);
	seal(&e.sealer, 60, sealed);
	seal(&e.sealer, 40, sealed); /* exactly at the limit of bytes */
	seal(&e.sealer, 0, sealed);
	assert_int_equal(e.sealer.counter, 3);
	seal(&e.sealer, 1, sealed); /* over it */
	assert_int_equal(e.sealer.counter, 1);
	assert_int_equal(e.sealer.bytes, 1);
	for (int i = 0; i < 3; i++)
		seal(&e.sealer, 0, sealed);
	assert_int_equal(e.sealer.counter, 4); /* at the limit of records */
	seal(&e.sealer, 0, sealed);
	assert_int_equal(e.sealer.counter, 1);
	seal(&e.sealer, 200, sealed); /* over alone: has a key of its own */
	assert_int_equal(e.sealer.counter, 1);
	assert_int_equal(e.sealer.bytes, 200);
	seal(&e.sealer, 0, sealed);
	assert_int_equal(e.sealer.counter, 1);

	/* So too as the very first: the key that it has is fresh. */
	ends_init(&e, c);
	record_key_limits(&e.sealer, 100, 4);
	seal(&e.sealer, 200, sealed);
	assert_memory_equal(e.sealer.key, e.opener.key, 32);
}

static void limits_are_met_exactly(void **state)
{
	for_each_cipher(rekeys_at_the_edge);
}

static void fails_when_limits_differ(enum record_cipher c)
{
	struct ends e;
	size_t len;

	ends_init(&e, c);
	record_key_limits(&e.sealer, 0, 2);
	record_key_limits(&e.opener, 0, 3);
	for (int i = 0; i < 3; i++) {
		len = seal(&e.sealer, 9, sealed);
		assert_int_equal(
		    open_copy(&e.opener, sealed, len), i < 2 ? 0 : -EBADMSG);
	}
}

static void sides_with_different_limits_fail(void **state)
{
	for_each_cipher(fails_when_limits_differ);
}

struct used {
	uint8_t key[32];
	uint64_t counter;
};

static int compare_used(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct used));
}

static void never_repeats(enum record_cipher c)
{
	static struct used used[8192];
	struct ends e;

	ends_init(&e, c);
	record_key_limits(&e.sealer, 2 * KIB, 37);
	for (size_t i = 0; i < COUNT(used); i++) {
		seal(&e.sealer, randombytes_uniform(200), sealed);
		memcpy(used[i].key, e.sealer.key, 32);
		used[i].counter = e.sealer.counter - 1;
	}
	qsort(used, COUNT(used), sizeof(used[0]), compare_used);
	for (size_t i = 1; i < COUNT(used); i++)
		assert_int_not_equal(compare_used(&used[i - 1], &used[i]), 0);
}

static void no_key_and_nonce_are_used_twice(void **state)
{
	for_each_cipher(never_repeats);
}

static void ciphers_are_chosen_by_preference(void **state)
{
	static const struct {
		unsigned ours, theirs;
		int r;
		enum record_cipher cipher;
	} cases[] = {
		{ 7, 7, 0, RECORD_AEGIS_256 },
		{ 7, 3, 0, RECORD_AES_256_GCM },
		{ 3, 7, 0, RECORD_AES_256_GCM },
		{ 5, 3, 0, RECORD_CHACHA20_POLY1305 },
		{ 6, 3, 0, RECORD_AES_256_GCM },
		{ 1, 0xffff, 0, RECORD_CHACHA20_POLY1305 },
		{ 1, 6, -EPROTO, 0 },
		{ 0, 7, -EPROTO, 0 },
		{ 7, 0, -EPROTO, 0 },
		{ 0xfff8, 0xfff8, -EPROTO, 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		enum record_cipher c = 0;

		assert_int_equal(
		    record_cipher_choose(cases[i].ours, cases[i].theirs, &c),
		    cases[i].r);
		assert_int_equal(c, cases[i].cipher);
	}
	assert_true(record_ciphers() & RECORD_CHACHA20_POLY1305);
	assert_string_equal(
	    record_cipher_name(RECORD_AES_256_GCM), "AES-256-GCM");
	assert_string_equal(
	    record_cipher_name(RECORD_CHACHA20_POLY1305), "ChaCha20-Poly1305");
	assert_string_equal(record_cipher_name(RECORD_AEGIS_256), "AEGIS-256");
	assert_int_equal(record_tag_bytes(RECORD_CHACHA20_POLY1305), 16);
	assert_int_equal(record_tag_bytes(RECORD_AES_256_GCM), 16);
	assert_int_equal(record_tag_bytes(RECORD_AEGIS_256), 32);
}

static void a_finished_key_does_nothing(void **state)
{
	struct record_key k;
	size_t len;

	record_key_init(&k, split_key, RECORD_CHACHA20_POLY1305);
	record_key_fini(&k);
	assert_true(sodium_is_zero(k.key, sizeof(k.key)));
	assert_int_equal(
	    record_seal(&k, plain, 1, sealed, sizeof(sealed), &len),
	    -ECONNABORTED);
	assert_int_equal(open_copy(&k, sealed, 20), -EBADMSG);
	memset(&k, 0, sizeof(k)); /* nor one that was never started */
	assert_int_equal(
	    record_seal(&k, plain, 1, sealed, sizeof(sealed), &len),
	    -ECONNABORTED);
	assert_int_equal(open_copy(&k, sealed, 20), -EBADMSG);
	assert_int_equal(record_header(&k, sealed, 100, &len), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_comes_back),
		cmocka_unit_test(sealing_in_place_is_sealing),
		cmocka_unit_test(flips_and_prefixes_are_refused),
		cmocka_unit_test(another_order_is_refused),
		cmocka_unit_test(a_header_is_bounded),
		cmocka_unit_test(a_used_up_counter_is_refused),
		cmocka_unit_test(rekeying_is_exact),
		cmocka_unit_test(limits_are_met_exactly),
		cmocka_unit_test(sides_with_different_limits_fail),
		cmocka_unit_test(no_key_and_nonce_are_used_twice),
		cmocka_unit_test(ciphers_are_chosen_by_preference),
		cmocka_unit_test(a_finished_key_does_nothing),
	};

	if (sodium_init() < 0)
		return 1;
	randombytes_buf(plain, sizeof(plain));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of net/ophash: the page's definition, against one-shot XXH3-128. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "ophash.h"

static void digest_of(const void *bytes, size_t len, uint8_t ret[16])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits(bytes, len));
	memcpy(ret, c.digest, sizeof(c.digest));
}

static struct ophash *new_hash(void)
{
	struct ophash *h = ophash_new();

	assert_non_null(h);
	return h;
}

static void nothing_is_the_hash_of_nothing(void **state)
{
	/* XXH3_128bits of no bytes (xxhash's own test vector). */
	static const uint8_t empty[16] = { 0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47,
		0x98, 0xd8, 0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f };
	struct ophash *h = new_hash();
	uint8_t got[16];

	(void)state;
	ophash_digest(h, got);
	assert_memory_equal(got, empty, sizeof(got));
	ophash_bytes(h, NULL, 0);
	ophash_digest(h, got);
	assert_memory_equal(got, empty, sizeof(got));
	ophash_free(h);
	ophash_free(NULL);
}

static void operations_have_their_trailers(void **state)
{
	static const uint8_t bytes[] = { /* WRITE 1: "abc" at 5 */
		'a', 'b', 'c', 19, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		5, 0, 0, 0, 0, 0, 0, 0, 3,
		/* TRUNCATE 2: to 258 */
		20, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0,
		0, 0, 0, 0,
		/* RESERVE 3: 4096 at 1 */
		21, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
		0, 0, 16, 0,
		/* META 4: mode 0644, mtime -2 */
		22, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 1, 0xa4, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
		/* XATTR 5: user.a is "v" */
		'u', 's', 'e', 'r', '.', 'a', 'v', 27, 0, 0, 0, 0, 0, 0, 0, 5,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
		/* XATTR 6: without user.a */
		'u', 's', 'e', 'r', '.', 'a', 27, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0,
		0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6,
		/* MOVE 7: to "to" in 9...9 */
		9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 't', 'o', 28, 0,
		0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 18
	};
	struct wire_xattr set = {
		.name = "user.a", .bytes = (const uint8_t *)"v", .len = 1
	};
	struct wire_xattr unset = { .name = "user.a", .remove = true };
	const struct wire_meta meta = { .mask =
					    WIRE_META_MODE | WIRE_META_MTIME,
		.mode = 0644,
		.atime = { .sec = 99 },
		.mtime = { .sec = -2, .nsec = 7 } };
	struct ophash *h = new_hash();
	uint8_t expected[16], got[16], parent[WIRE_ID_BYTES];

	(void)state;
	memset(parent, 9, sizeof(parent));
	ophash_bytes(h, "abc", 3);
	ophash_trailer(h, WIRE_WRITE, 1, 5, 3);
	ophash_trailer(h, WIRE_TRUNCATE, 2, 258, 0);
	ophash_trailer(h, WIRE_RESERVE, 3, 1, 4096);
	ophash_meta(h, 4, &meta);
	ophash_xattr(h, 5, &set);
	ophash_xattr(h, 6, &unset);
	ophash_move(h, 7, parent, "to");
	ophash_digest(h, got);
	digest_of(bytes, sizeof(bytes), expected);
	assert_memory_equal(got, expected, sizeof(got));
	ophash_free(h);
}

/* Pieces of any size give one hash, and a digest in between disturbs nothing.
 */
static void pieces_do_not_matter(void **state)
{
	enum { LEN = 300000 };
	uint8_t *bytes = malloc(LEN), expected[16], got[16];
	uint64_t seed = 7;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	digest_of(bytes, LEN, expected);
	for (int round = 0; round < 20; round++) {
		struct ophash *h = new_hash();

		for (size_t at = 0, n; at < LEN; at += n) {
			seed = seed * 6364136223846793005u + 1;
			n = 1 + (size_t)(seed >> 33) % 9000;
			if (n > LEN - at)
				n = LEN - at;
			ophash_bytes(h, bytes + at, n);
			if (round & 1)
				ophash_digest(h, got);
		}
		ophash_digest(h, got);
		assert_memory_equal(got, expected, sizeof(got));
		ophash_free(h);
	}
	free(bytes);
}

/* The slips it is there for: order, place, number, a lost or doubled write. */
static void a_slip_shows(void **state)
{
	static const struct {
		const char *bytes;
		uint64_t seq, offset;
	} runs[][2] = {
		{ { "aa", 1, 0 }, { "bb", 2, 2 } },
		{ { "bb", 1, 0 }, { "aa", 2, 2 } },
		{ { "aa", 1, 2 }, { "bb", 2, 0 } },
		{ { "aa", 1, 0 }, { "bb", 3, 2 } },
		{ { "aa", 1, 0 }, { "aa", 1, 0 } },
		{ { "a", 1, 0 }, { "abb", 2, 1 } },
	};
	enum { N = sizeof(runs) / sizeof(runs[0]) };
	uint8_t got[N][16];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		struct ophash *h = new_hash();

		for (size_t k = 0; k < 2; k++) {
			const char *b = runs[i][k].bytes;

			ophash_bytes(h, b, strlen(b));
			ophash_trailer(h, WIRE_WRITE, runs[i][k].seq,
			    runs[i][k].offset, strlen(b));
		}
		ophash_digest(h, got[i]);
		ophash_free(h);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(got[i], got[k], 16);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_the_hash_of_nothing),
		cmocka_unit_test(operations_have_their_trailers),
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(a_slip_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

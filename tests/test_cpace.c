/*
 * Tests of crypto/cpace: every field of the draft's vectors for
 * CPACE-RISTR255-SHA512, what they leave out (long strings, tags) against a
 * second writing of the draft's formulas, and points that are none.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cpace.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct cpace_vector {
	const char *name, *hex;
};

/* Made at build time from vectors/cpace-ristr255.json. */
#include "cpace_vectors.h"

static bool used[COUNT(cpace_vectors)];

struct bytes {
	uint8_t data[2048];
	size_t len;
};

static struct bytes unhex(const char *hex)
{
	struct bytes b;

	assert_int_equal(sodium_hex2bin(b.data, sizeof(b.data), hex,
			     strlen(hex), NULL, &b.len, NULL),
	    0);
	return b;
}

static struct bytes vector(const char *name)
{
	for (size_t i = 0; i < COUNT(cpace_vectors); i++) {
		if (strcmp(cpace_vectors[i].name, name) == 0) {
			used[i] = true;
			return unhex(cpace_vectors[i].hex);
		}
	}
	fail_msg("no vector %s", name);
	return (struct bytes){ .len = 0 };
}

#define SUITE(field) vector("G_Coffee25519/" field)
#define POINTS(name) vector("G_Coffee25519_points/" name)

static struct cpace_bytes view(const struct bytes *b)
{
	return (struct cpace_bytes){ b->data, b->len };
}

/* The draft's formulas a second time, on whole strings. */

static void cat(struct bytes *to, const void *data, size_t len)
{
	assert_true(to->len + len <= sizeof(to->data));
	memcpy(to->data + to->len, data, len);
	to->len += len;
}

/* lv_cat() of one: enough for lengths below 2^14. */
static void lv(struct bytes *to, const void *data, size_t len)
{
	uint8_t length[2] = { (uint8_t)(len & 0x7f), (uint8_t)(len >> 7) };

	assert_true(len < 1 << 14);
	if (length[1])
		length[0] |= 0x80;
	cat(to, length, length[1] ? 2 : 1);
	cat(to, data, len);
}

static void assert_hash(const struct bytes *of, const struct bytes *is)
{
	uint8_t digest[64];

	assert_int_equal(is->len, sizeof(digest));
	crypto_hash_sha512(digest, of->data, of->len);
	assert_memory_equal(digest, is->data, sizeof(digest));
}

static void the_generator_is_that_of_the_draft(void **state)
{
	const struct bytes prs = SUITE("PRS"), ci = SUITE("CI"),
			   sid = SUITE("sid"), g = SUITE("g");
	uint8_t ret[CPACE_POINT_BYTES];

	cpace_generator(view(&prs), view(&ci), view(&sid), ret);
	assert_int_equal(g.len, sizeof(ret));
	assert_memory_equal(ret, g.data, sizeof(ret));
}

/* Around where a length takes a second byte, and the padding ends. */
static void strings_of_every_length_make_a_generator(void **state)
{
	static const uint8_t zeros[128];
	struct bytes secret = { .len = 0 };

	randombytes_buf(secret.data, 300);
	for (secret.len = 0; secret.len <= 300; secret.len++) {
		uint8_t digest[64], expected[CPACE_POINT_BYTES];
		uint8_t ret[CPACE_POINT_BYTES];
		struct bytes s = { .len = 0 };

		lv(&s, "CPaceRistretto255", 17);
		lv(&s, secret.data, secret.len);
		lv(&s, zeros, s.len + 1 < 128 ? 128 - s.len - 1 : 0);
		assert_true(s.len == 128 || secret.len > 108);
		lv(&s, secret.data, secret.len); /* CI */
		lv(&s, secret.data, secret.len); /* sid */
		crypto_hash_sha512(digest, s.data, s.len);
		crypto_core_ristretto255_from_hash(expected, digest);
		cpace_generator(
		    view(&secret), view(&secret), view(&secret), ret);
		assert_memory_equal(ret, expected, sizeof(ret));
	}
}

static void shares_and_the_shared_point_are_those_of_the_draft(void **state)
{
	const struct bytes g = SUITE("g"), k = SUITE("K");
	const struct bytes ya = SUITE("ya"), big_ya = SUITE("Ya");
	const struct bytes yb = SUITE("yb"), big_yb = SUITE("Yb");
	uint8_t p[CPACE_POINT_BYTES];

	assert_int_equal(cpace_multiply(ya.data, g.data, p), 0);
	assert_memory_equal(p, big_ya.data, sizeof(p));
	assert_int_equal(cpace_multiply(yb.data, g.data, p), 0);
	assert_memory_equal(p, big_yb.data, sizeof(p));
	assert_int_equal(cpace_multiply(ya.data, big_yb.data, p), 0);
	assert_memory_equal(p, k.data, sizeof(p));
	assert_int_equal(cpace_multiply(yb.data, big_ya.data, p), 0);
	assert_memory_equal(p, k.data, sizeof(p));
}

/* What "ISK_SY" and the two session ids show is not used here, but holds. */
static void keys_are_those_of_the_draft(void **state)
{
	const struct bytes sid = SUITE("sid"), k = SUITE("K");
	const struct bytes ya = SUITE("Ya"), yb = SUITE("Yb");
	const struct bytes ada = SUITE("ADa"), adb = SUITE("ADb");
	const struct bytes ir = SUITE("ISK_IR"), sy = SUITE("ISK_SY");
	const struct bytes sid_ir = SUITE("sid_output_ir"),
			   sid_oc = SUITE("sid_output_oc");
	const struct cpace_share a = { ya.data, view(&ada) },
				 b = { yb.data, view(&adb) };
	struct bytes transcript_ir = { .len = 0 }, transcript_oc = { .len = 0 };
	struct bytes s = { .len = 0 };
	uint8_t isk[CPACE_ISK_BYTES];

	cpace_isk(view(&sid), k.data, &a, &b, isk);
	assert_int_equal(ir.len, sizeof(isk));
	assert_memory_equal(isk, ir.data, sizeof(isk));

	lv(&transcript_ir, ya.data, ya.len);
	lv(&transcript_ir, ada.data, ada.len);
	lv(&transcript_ir, yb.data, yb.len);
	lv(&transcript_ir, adb.data, adb.len);
	/* "oc" and then the greater of the two; here that is Ya's. */
	assert_true(memcmp(ya.data, yb.data, ya.len) > 0);
	cat(&transcript_oc, "oc", 2);
	cat(&transcript_oc, transcript_ir.data, transcript_ir.len);

	lv(&s, "CPaceRistretto255_ISK", 21);
	lv(&s, sid.data, sid.len);
	lv(&s, k.data, k.len);
	cat(&s, transcript_oc.data, transcript_oc.len);
	assert_hash(&s, &sy);

	s.len = 0;
	cat(&s, "CPaceSidOutput", 14);
	cat(&s, transcript_ir.data, transcript_ir.len);
	assert_hash(&s, &sid_ir);
	s.len = 14;
	cat(&s, transcript_oc.data, transcript_oc.len);
	assert_hash(&s, &sid_oc);
}

/* 10.4: mac_key = H("CPaceMac" || sid || ISK), Ta = MAC(lv_cat(Ya, ADa)). */
static void tags_follow_the_formula_of_the_draft(void **state)
{
	const struct bytes sid = SUITE("sid"), isk = SUITE("ISK_IR");
	const struct bytes ya = SUITE("Ya"), ada = SUITE("ADa");
	const struct cpace_share a = { ya.data, view(&ada) };
	crypto_auth_hmacsha512_state mac;
	uint8_t key[64], expected[64], tag[CPACE_TAG_BYTES];
	struct bytes s = { .len = 0 };

	cat(&s, "CPaceMac", 8);
	cat(&s, sid.data, sid.len);
	cat(&s, isk.data, isk.len);
	crypto_hash_sha512(key, s.data, s.len);
	s.len = 0;
	lv(&s, ya.data, ya.len);
	lv(&s, ada.data, ada.len);
	crypto_auth_hmacsha512_init(&mac, key, sizeof(key));
	crypto_auth_hmacsha512_update(&mac, s.data, s.len);
	crypto_auth_hmacsha512_final(&mac, expected);
	cpace_tag(view(&sid), isk.data, &a, tag);
	assert_memory_equal(tag, expected, sizeof(tag));
}

static void assert_no_point(const struct bytes *scalar, const uint8_t *point)
{
	uint8_t before[CPACE_POINT_BYTES], ret[CPACE_POINT_BYTES];

	randombytes_buf(ret, sizeof(ret));
	memcpy(before, ret, sizeof(ret));
	assert_int_equal(cpace_multiply(scalar->data, point, ret), -EBADMSG);
	assert_memory_equal(ret, before, sizeof(ret));
}

static void the_points_of_the_draft_are_told_apart(void **state)
{
	const struct bytes s = POINTS("Valid/s"), x = POINTS("Valid/X");
	const struct bytes product = POINTS("Valid/G.scalar_mult(s,decode(X))");
	const struct bytes verified = POINTS("Valid/G.scalar_mult_vfy(s,X)");
	const struct bytes y1 = POINTS("Invalid Y1"), y2 = POINTS("Invalid Y2");
	uint8_t p[CPACE_POINT_BYTES];

	assert_int_equal(cpace_multiply(s.data, x.data, p), 0);
	assert_memory_equal(p, verified.data, sizeof(p));
	assert_memory_equal(p, product.data, sizeof(p));
	assert_no_point(&s, y1.data);
	assert_no_point(&s, y2.data);
}

/* RFC 9496, A.3: not canonical, and negative. */
static const char *const no_points[] = {
	"00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
	"c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
	"c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
	"47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
	"f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
	"87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
};

static void other_encodings_and_the_identity_are_refused(void **state)
{
	/* The order of the group: every product with it is the identity. */
	const struct bytes order = unhex(
	    "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
	const struct bytes s = POINTS("Valid/s"), x = POINTS("Valid/X");
	const struct bytes zero = POINTS("Invalid Y2");

	for (size_t i = 0; i < COUNT(no_points); i++) {
		struct bytes p = unhex(no_points[i]);

		assert_no_point(&s, p.data);
	}
	assert_no_point(&zero, x.data);
	assert_no_point(&order, x.data);
}

static void scalars_are_fresh_and_reduced(void **state)
{
	uint8_t last[CPACE_SCALAR_BYTES] = { 0 };

	for (int i = 0; i < 1000; i++) {
		uint8_t wide[64] = { 0 }, reduced[CPACE_SCALAR_BYTES];

		cpace_scalar(wide);
		assert_memory_not_equal(wide, last, sizeof(last));
		memcpy(last, wide, sizeof(last));
		crypto_core_ristretto255_scalar_reduce(reduced, wide);
		assert_memory_equal(reduced, last, sizeof(last));
	}
}

static void no_field_was_left_out(void **state)
{
	for (size_t i = 0; i < COUNT(cpace_vectors); i++)
		if (!used[i])
			fail_msg("%s is not tested", cpace_vectors[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_generator_is_that_of_the_draft),
		cmocka_unit_test(strings_of_every_length_make_a_generator),
		cmocka_unit_test(
		    shares_and_the_shared_point_are_those_of_the_draft),
		cmocka_unit_test(keys_are_those_of_the_draft),
		cmocka_unit_test(tags_follow_the_formula_of_the_draft),
		cmocka_unit_test(the_points_of_the_draft_are_told_apart),
		cmocka_unit_test(other_encodings_and_the_identity_are_refused),
		cmocka_unit_test(scalars_are_fresh_and_reduced),
		cmocka_unit_test(no_field_was_left_out),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

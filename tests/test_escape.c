/* Tests of net/escape: text of peers, shown and made into names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "escape.h"

/* A literal and its length, NULs inside included. */
#define TEXT(s) (s), sizeof(s) - 1

struct pair {
	const char *in;
	size_t len;
	const char *out;
};

static void utf8_is_recognised(void **state)
{
	static const struct pair good[] = {
		{ TEXT("") },
		{ TEXT("a\0b") },
		{ TEXT("\xc2\x80") },
		{ TEXT("\xdf\xbf") },
		{ TEXT("\xe0\xa0\x80") },
		{ TEXT("\xed\x9f\xbf\xee\x80\x80") },
		{ TEXT("\xf0\x90\x80\x80") },
		{ TEXT("\xf4\x8f\xbf\xbf") },
	};
	static const struct pair bad[] = {
		{ TEXT("\x80") },
		{ TEXT("\xbf") },
		{ TEXT("\xc0\x80") },         /* overlong NUL */
		{ TEXT("\xc1\xbf") },         /* overlong */
		{ TEXT("\xc2") },             /* cut */
		{ TEXT("\xc2 ") },            /* cut */
		{ TEXT("\xe0\x9f\xbf") },     /* overlong */
		{ TEXT("\xe0\x80\xaf") },     /* overlong '/' */
		{ TEXT("\xed\xa0\x80") },     /* surrogate */
		{ TEXT("\xed\xbf\xbf") },     /* surrogate */
		{ TEXT("\xe2\x82") },         /* cut */
		{ TEXT("\xf0\x8f\xbf\xbf") }, /* overlong */
		{ TEXT("\xf4\x90\x80\x80") }, /* above 10ffff */
		{ TEXT("\xf5\x80\x80\x80") },
		{ TEXT("\xf8\x88\x80\x80\x80") },
		{ TEXT("\xff") },
		{ TEXT("abc\xfe") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(escape_is_utf8(good[i].in, good[i].len));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(escape_is_utf8(bad[i].in, bad[i].len));
}

static void hostile_text_is_escaped(void **state)
{
	static const struct pair pairs[] = {
		{ TEXT(""), "" },
		{ TEXT("plain name.txt"), "plain name.txt" },
		{ TEXT("Gr\xc3\xbc\xc3\x9f"
		       "e \xe6\x97\xa5\xf0\x9f\x93\x81"),
		    "Gr\xc3\xbc\xc3\x9f"
		    "e \xe6\x97\xa5\xf0\x9f\x93\x81" },
		{ TEXT("a\nb\tc\\d\re"), "a\\nb\\tc\\\\d\\x0de" },
		{ TEXT("\0"), "\\x00" },
		{ TEXT("\x1b[31m"), "\\x1b[31m" },
		{ TEXT("\x1b]52;c;QQ==\x07"), "\\x1b]52;c;QQ==\\x07" },
		{ TEXT("\x7f"), "\\x7f" },
		{ TEXT("\xc2\x9b"
		       "31m"),
		    "\\u{9b}31m" },
		{ TEXT("\x9b"
		       "31m"),
		    "\\x9b31m" },
		{ TEXT("exe\xe2\x80\xaetxt"), "exe\\u{202e}txt" },
		{ TEXT("\xe2\x81\xa6\xe2\x81\xa9"), "\\u{2066}\\u{2069}" },
		{ TEXT("\xd8\x9c"), "\\u{61c}" },
		{ TEXT("a\xe2\x80\x8b"
		       "b\xef\xbb\xbf"),
		    "a\\u{200b}b\\u{feff}" },
		{ TEXT("\xe2\x80\xa8\xe2\x80\xa9"), "\\u{2028}\\u{2029}" },
		{ TEXT("\xf3\xa0\x81\x81"), "\\u{e0041}" },
		{ TEXT("\xe2\x82"), "\\xe2\\x82" },
		{ TEXT("\xc0\xaf"), "\\xc0\\xaf" },
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		escape_text(pairs[i].in, pairs[i].len, out, sizeof(out));
		assert_string_equal(out, pairs[i].out);
	}
}

static void text_is_cut_at_a_character(void **state)
{
	static const char in[] = "a\nb\xc3\xbc\x1b\xf0\x9f\x93\x81";
	static const char whole[] = "a\\nb\xc3\xbc\\x1b\xf0\x9f\x93\x81";
	/* Lengths at which the text may end. */
	static const size_t ends[] = { 0, 1, 3, 4, 6, 10, 14 };
	char out[32];

	(void)state;
	for (size_t cap = 1; cap < sizeof(out); cap++) {
		size_t expected = 0;

		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			if (ends[i] < cap)
				expected = ends[i];
		memset(out, 'x', sizeof(out));
		escape_text(TEXT(in), out, cap);
		assert_int_equal(strlen(out), expected);
		assert_memory_equal(out, whole, expected);
		if (cap < sizeof(out))
			assert_int_equal(out[cap], 'x');
	}
	out[0] = 'x';
	escape_text(TEXT(in), out, 0);
	assert_int_equal(out[0], 'x');
}

/* Whatever the bytes: the bound holds, and what comes out is harmless. */
static void random_text_is_harmless(void **state)
{
	uint64_t seed = 1;
	char in[64], out[4 * sizeof(in) + 1], again[4 * sizeof(out) + 1];
	char name[64], name2[64];

	(void)state;
	for (int round = 0; round < 100000; round++) {
		size_t len = (size_t)round % (sizeof(in) + 1);

		for (size_t i = 0; i < len; i++) {
			seed = seed * 6364136223846793005u + 1;
			in[i] = (char)(seed >> 56);
			if (seed >> 40 & 1)
				in[i] &= 0x7f;
		}
		escape_text(in, len, out, sizeof(out));
		assert_true(strlen(out) <= 4 * len);
		assert_true(escape_is_utf8(out, strlen(out)));
		for (const char *c = out; *c; c++)
			assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
		/* Only the backslashes are left to be escaped. */
		escape_text(out, strlen(out), again, sizeof(again));
		for (const char *c = out, *d = again; *c; c++, d++) {
			assert_int_equal(*c, *d);
			if (*c == '\\')
				assert_int_equal(*++d, '\\');
		}

		escape_name(in, len, name);
		assert_in_range(strlen(name), 1, 63);
		assert_null(strpbrk(name, "/\\"));
		assert_null(strchr(". -", name[0]));
		assert_true(name[strlen(name) - 1] != ' ');
		assert_true(escape_is_utf8(name, strlen(name)));
		escape_name(name, strlen(name), name2);
		assert_string_equal(name, name2);
	}
}

static void names_are_made_safe(void **state)
{
	static const struct pair pairs[] = {
		{ TEXT("laptop"), "laptop" },
		{ TEXT("Anna's M\xc3\xb6"
		       "bel"),
		    "Anna's M\xc3\xb6"
		    "bel" },
		{ TEXT(""), "peer" },
		{ TEXT("."), "peer" },
		{ TEXT(".."), "peer" },
		{ TEXT("   "), "peer" },
		{ TEXT(". . "), "peer" },
		{ TEXT("../../etc"), "_.._etc" },
		{ TEXT("/etc/passwd"), "_etc_passwd" },
		{ TEXT(".gtfs"), "gtfs" },
		{ TEXT("  a b  "), "a b" },
		{ TEXT("a\0b"), "a_b" },
		{ TEXT("a\nb\\c"), "a_b_c" },
		{ TEXT("a\xff\xfe"), "a__" },
		{ TEXT("a\xe2\x80\xae"
		       "b"),
		    "a_b" },
		{ TEXT("a "), "a" },
		{ TEXT("-rf"), "_rf" },
		{ TEXT("--help"), "_-help" },
		{ TEXT("-"), "_" },
		{ TEXT(" .-rf -"), "_rf -" },
		{ TEXT("a-b"), "a-b" },
	};
	char in[256], out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		escape_name(pairs[i].in, pairs[i].len, out);
		assert_string_equal(out, pairs[i].out);
	}

	memset(in, 'a', sizeof(in));
	escape_name(in, sizeof(in), out);
	assert_int_equal(strlen(out), 63);
	/* 62 bytes, and a character of two. */
	memcpy(in + 62, "\xc3\xbc", 2);
	escape_name(in, sizeof(in), out);
	assert_int_equal(strlen(out), 62);
	/* The cut leaves no blank at the end. */
	memcpy(in + 61, "  b", 3);
	escape_name(in, sizeof(in), out);
	assert_int_equal(strlen(out), 61);
}

static void numbered_names_are_whole(void **state)
{
	char wide[64], ret[64];

	escape_numbered("laptop", 2, ret);
	assert_string_equal(ret, "laptop (2)");
	escape_numbered(ret, 17, ret);
	assert_string_equal(ret, "laptop (2) (17)");
	memset(wide, 'n', 63);
	wide[63] = '\0';
	escape_numbered(wide, 10, ret);
	assert_int_equal(strlen(ret), 63);
	assert_string_equal(ret + 58, " (10)");
	/* 31 characters of two bytes: none is cut. */
	for (unsigned i = 0; i < 31; i++)
		memcpy(wide + 2 * i, "\xc3\xbc", 2);
	wide[62] = '\0';
	escape_numbered(wide, 2, ret);
	assert_true(escape_is_utf8(ret, strlen(ret)));
	assert_int_equal(strlen(ret), 62);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbered_names_are_whole),
		cmocka_unit_test(utf8_is_recognised),
		cmocka_unit_test(hostile_text_is_escaped),
		cmocka_unit_test(text_is_cut_at_a_character),
		cmocka_unit_test(random_text_is_harmless),
		cmocka_unit_test(names_are_made_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

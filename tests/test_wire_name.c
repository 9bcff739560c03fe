/*
 * Tests of net/wire.h, what a peer may call a file, an attribute and the target
 * of a link: by themselves, and in every message that has one.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "wire_fixture.h"

#define BUF_MAX 70000

static char too_long[65535];

static const struct {
	const char *name;
	size_t len;
	bool ok;
} names[] = {
	{ "a", 1, true },
	{ "...", 3, true },
	{ ".hidden", 7, true },
	{ ".gtfs", 5, true },
	{ "a\nb\x1b[m", 6, true },
	{ "\xff\xfe", 2, true },
	{ "..a", 3, true },
	{ "", 0, false },
	{ ".", 1, false },
	{ "..", 2, false },
	{ "/", 1, false },
	{ "/etc/passwd", 11, false },
	{ "../b", 4, false },
	{ "a/../../b", 9, false },
	{ "a//b", 4, false },
	{ "a/", 2, false },
	{ "\0", 1, false },
	{ "a\0b", 3, false },
	{ "a\0", 2, false },
	{ "..\0x", 4, false },
	{ too_long, 255, true },
	{ too_long, 256, false },
	{ too_long, 65535, false },
};

/*
 * A message of this type with "user.x" or "x" where the name under test goes;
 * ret_at: where the length of that name stands.
 */
static size_t named_message(enum wire_type type, uint8_t *buf, size_t *ret_at)
{
	static const uint8_t value[] = { 'v' };
	struct wire_msg m = rnd_message(type, value);
	size_t len;

	switch (type) {
	case WIRE_OFFER: strcpy(m.offer.name, "x"); break;
	case WIRE_MKDIR: strcpy(m.mkdir.name, "x"); break;
	case WIRE_MOVE: strcpy(m.move.name, "x"); break;
	case WIRE_RENAME: strcpy(m.rename.name, "x"); break;
	case WIRE_SYMLINK:
		strcpy(m.symlink.name, "x");
		m.symlink.bytes = value;
		m.symlink.len = 1;
		break;
	case WIRE_XATTR:
	case WIRE_SETXATTR:
		m.xattr.xattr.len = m.setxattr.xattr.len = 0;
		strcpy(type == WIRE_XATTR ? m.xattr.xattr.name
					  : m.setxattr.xattr.name,
		    "user.x");
		break;
	default:
		m.ack.state = WIRE_PUBLISHED;
		m.ack.code = WIRE_OK;
		strcpy(m.ack.name, "x");
	}
	len = encode(&m, buf);
	*ret_at = len - 2 - 1;
	if (type == WIRE_SYMLINK)
		*ret_at = len - 2 - 1 - 1;
	if (type == WIRE_XATTR || type == WIRE_SETXATTR)
		*ret_at = len - 2 - 6;
	return len;
}

/* Puts another name there, behind a length that may lie. */
static size_t rename_message(uint8_t *buf, size_t len, size_t at, size_t old,
    const char *name, size_t n, size_t says)
{
	memmove(buf + at + 2 + n, buf + at + 2 + old, len - at - 2 - old);
	buf[at] = (uint8_t)(says >> 8);
	buf[at + 1] = (uint8_t)says;
	memcpy(buf + at + 2, name, n);
	return len - old + n;
}

static void hostile_names_are_refused(void **state)
{
	static uint8_t buf[BUF_MAX];
	static const enum wire_type named[] = { WIRE_OFFER, WIRE_MKDIR,
		WIRE_ACK, WIRE_MOVE, WIRE_RENAME, WIRE_SYMLINK };
	size_t len, at;

	(void)state;
	memset(too_long, 'n', sizeof(too_long));
	for (size_t i = 0; i < N_OF(names); i++)
		assert_int_equal(
		    wire_name_ok(names[i].name, names[i].len), names[i].ok);
	for (size_t i = 0; i < N_OF(named) * N_OF(names); i++) {
		enum wire_type type = named[i % N_OF(named)];
		size_t k = i / N_OF(named), n = names[k].len;

		len = named_message(type, buf, &at);
		len = rename_message(buf, len, at, 1, names[k].name, n, n);
		if (decodes(buf, len) != names[k].ok)
			fail_msg("%s, name %zu", wire_type_name(type), k);
		/* A length that lies; a target would only begin later. */
		if (type == WIRE_SYMLINK)
			continue;
		len = rename_message(buf, len, at, n, names[k].name, n, n + 1);
		assert_false(decodes(buf, len));
		buf[at] = buf[at + 1] = 255;
		if (n != 65535)
			assert_false(decodes(buf, len));
	}
}

static char too_long_attr[65535] = "user.";

static const struct {
	const char *name;
	size_t len;
	bool ok;
} attrs[] = {
	{ "user.a", 6, true },
	{ "user..", 6, true },
	{ "user.a/b", 8, true },
	{ "user.\xff\n", 7, true },
	{ "user.gtfs", 9, true },
	{ "user.gtfsx", 10, true },
	{ "user.Gtfs.a", 11, true },
	{ "user.gtfs.", 10, false },
	{ "user.gtfs.id", 12, false },
	{ "user.", 5, false },
	{ "user", 4, false },
	{ "User.a", 6, false },
	{ "", 0, false },
	{ "a", 1, false },
	{ "security.capability", 19, false },
	{ "security.selinux", 16, false },
	{ "trusted.a", 9, false },
	{ "system.posix_acl_access", 23, false },
	{ "user.\0", 6, false },
	{ "user.a\0", 7, false },
	{ "user.a\0b", 8, false },
	{ too_long_attr, 255, true },
	{ too_long_attr, 256, false },
	{ too_long_attr, 65535, false },
};

static void other_attributes_are_refused(void **state)
{
	static uint8_t buf[2 * BUF_MAX];
	size_t len, at;

	(void)state;
	memset(too_long_attr + 5, 'n', sizeof(too_long_attr) - 5);
	for (size_t i = 0; i < N_OF(attrs); i++)
		assert_int_equal(
		    wire_xattr_ok(attrs[i].name, attrs[i].len), attrs[i].ok);
	for (size_t i = 0; i < 2 * N_OF(attrs); i++) {
		size_t k = i / 2, n = attrs[k].len;

		len =
		    named_message(i & 1 ? WIRE_SETXATTR : WIRE_XATTR, buf, &at);
		len = rename_message(buf, len, at, 6, attrs[k].name, n, n);
		if (decodes(buf, len) != attrs[k].ok)
			fail_msg("attribute %zu", k);
		/* A length beyond the end. */
		len = rename_message(buf, len, at, n, attrs[k].name, n, n + 1);
		assert_false(decodes(buf, len));
	}
}

static char long_target[WIRE_TARGET_MAX + 1];
static char high_target[WIRE_TARGET_MAX + 1];

#define T(s) s, sizeof(s) - 1

static const struct {
	const char *target;
	size_t len;
	int climb;
} targets[] = {
	{ T("a"), 0 },
	{ T("a/b"), 0 },
	{ T("a/b/"), 0 },
	{ T("a//b"), 0 },
	{ T("."), 0 },
	{ T("./"), 0 },
	{ T("./a/./b"), 0 },
	{ T("..."), 0 },
	{ T("..a"), 0 },
	{ T(".. "), 0 },
	{ T("a\xff\n"), 0 },
	{ T(".."), 1 },
	{ T("../"), 1 },
	{ T("../x"), 1 },
	{ T("./../x"), 1 },
	{ T(".././x"), 1 },
	{ T("..//x"), 1 },
	{ T("../.."), 2 },
	{ T("../..//../x/y"), 3 },
	{ T(".././../x"), 2 },
	{ T(""), -1 },
	{ T("/"), -1 },
	{ T("/etc/passwd"), -1 },
	{ T("//x"), -1 },
	{ T("a/.."), -1 },
	{ T("a/../b"), -1 },
	{ T("../a/.."), -1 },
	{ T("../a/../../x"), -1 },
	{ T("./a/./.."), -1 },
	{ T(".../.."), -1 },
	{ T("\0"), -1 },
	{ T("a\0"), -1 },
	{ T("a\0/../.."), -1 },
	{ long_target, WIRE_TARGET_MAX, 0 },
	{ long_target, WIRE_TARGET_MAX + 1, -1 },
	{ high_target, WIRE_TARGET_MAX, (WIRE_TARGET_MAX + 1) / 3 },
	{ high_target, WIRE_TARGET_MAX + 1, -1 },
};

static void targets_stay_inside(void **state)
{
	static uint8_t buf[BUF_MAX];
	size_t len, at;

	(void)state;
	memset(long_target, 't', sizeof(long_target));
	for (size_t i = 0; i < sizeof(high_target); i++)
		high_target[i] = "../"[i % 3];
	for (size_t i = 0; i < N_OF(targets); i++) {
		const char *t = targets[i].target;
		size_t n = targets[i].len;
		int climb = targets[i].climb;

		if (wire_target_climb(t, n) != climb)
			fail_msg("target %zu", i);
		/* Exactly as deep as it climbs, and one less. */
		assert_int_equal(wire_target_ok(t, n, 1u << 30), climb >= 0);
		assert_int_equal(wire_target_ok(t, n, 0), climb == 0);
		if (climb > 0) {
			assert_true(wire_target_ok(t, n, (unsigned)climb));
			assert_false(wire_target_ok(t, n, (unsigned)climb - 1));
		}
		len = named_message(WIRE_SYMLINK, buf, &at);
		memcpy(buf + len - 1, t, n);
		if (decodes(buf, len - 1 + n) != (climb >= 0))
			fail_msg("message with target %zu", i);
	}
}

/* Made of pieces: what is allowed, seen as a path, never leaves its tree. */
static void random_targets_stay_inside(void **state)
{
	static const char *const pieces[] = { "..", ".", "", "a", "...", "b",
		"..", ".." };
	unsigned allowed = 0;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char target[64] = "";
		int depth = (int)(rnd() % 4), at = depth, least = depth;
		size_t n = 1 + rnd() % 6;

		for (size_t i = 0; i < n; i++) {
			const char *p = pieces[rnd() % N_OF(pieces)];

			if (i)
				strcat(target, "/");
			strcat(target, p);
			if (strcmp(p, "..") == 0)
				at--;
			else if (*p && strcmp(p, ".") != 0)
				at++;
			least = at < least ? at : least;
		}
		if (!wire_target_ok(target, strlen(target), (unsigned)depth))
			continue;
		allowed++;
		assert_true(least >= 0);
		assert_true(target[0] != '/');
	}
	assert_in_range(allowed, 20000, 180000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_names_are_refused),
		cmocka_unit_test(other_attributes_are_refused),
		cmocka_unit_test(targets_stay_inside),
		cmocka_unit_test(random_targets_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

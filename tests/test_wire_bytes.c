/*
 * Tests of net/wire.h: messages are, byte for byte, what gtfs-protocol(7) says
 * in MESSAGES. Those of a plain transfer are in its worked example
 * (test_protocol_example.c).
 */
#include <stdint.h>
#include <string.h>

#include "wire.h"
#include "wire_fixture.h"

/* Numbers of the given width, big-endian, and bytes: an expected message. */
static uint8_t page[512];
static size_t page_len;

static void begin(enum wire_type type)
{
	page[0] = (uint8_t)type;
	page_len = 1;
}

static void number(size_t width, uint64_t v)
{
	for (size_t k = width; k-- > 0; v >>= 8)
		page[page_len + k] = (uint8_t)v;
	page_len += width;
}

static void text(const char *s)
{
	memcpy(page + page_len, s, strlen(s));
	page_len += strlen(s);
}

static void name(const char *s)
{
	number(2, strlen(s));
	text(s);
}

/* An id of one byte, 16 times. */
static void id(uint8_t byte)
{
	memset(page + page_len, byte, WIRE_ID_BYTES);
	page_len += WIRE_ID_BYTES;
}

static void set_id(uint8_t ret[WIRE_ID_BYTES], uint8_t byte)
{
	memset(ret, byte, WIRE_ID_BYTES);
}

static void expect(const struct wire_msg *m)
{
	uint8_t buf[512];

	if (encode(m, buf) != page_len || memcmp(buf, page, page_len) != 0)
		fail_msg("%s is another", wire_type_name(m->type));
}

static void transfers_are_the_page_s(void **state)
{
	struct wire_msg m = { .type = WIRE_OFFER };

	(void)state;
	m.offer.tag = 7;
	set_id(m.offer.id, 1);
	set_id(m.offer.parent, 2);
	set_id(m.offer.base, 3);
	m.offer.mode = 0640;
	m.offer.size = WIRE_SIZE_UNKNOWN;
	strcpy(m.offer.name, "n");
	begin(16), number(4, 7), id(1), id(2), id(3), number(4, 0640);
	number(8, UINT64_MAX), name("n");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_RESERVE };
	m.reserve.seq = 1;
	m.reserve.offset = 2;
	m.reserve.len = 3;
	m.reserve.how = WIRE_RESERVE_PUNCH;
	begin(21), number(8, 1), number(8, 2), number(8, 3), number(1, 3);
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_COMMIT };
	m.commit.seq = 1;
	m.commit.size = 2;
	m.commit.count = 3;
	set_id(m.commit.hash, 4);
	m.commit.hold = true;
	begin(24), number(8, 1), number(8, 2), number(8, 3), id(4);
	number(1, 1);
	expect(&m);
	m.type = WIRE_CHECKPOINT; /* which has no hold */
	m.commit.hold = false;
	page[0] = 23;
	page_len--;
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_ACK };
	m.ack.tag = 7;
	m.ack.seq = 3;
	m.ack.state = WIRE_PUBLISHED;
	strcpy(m.ack.name, "hello.txt");
	begin(25), number(4, 7), number(8, 3), number(1, 3), number(2, 0);
	name("hello.txt");
	expect(&m);
	m.ack.state = WIRE_HELD;
	m.ack.name[0] = '\0';
	begin(25), number(4, 7), number(8, 3), number(1, 5), number(2, 0);
	name("");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_XATTR };
	m.xattr.seq = 6;
	strcpy(m.xattr.xattr.name, "user.a");
	m.xattr.xattr.bytes = (const uint8_t *)"value";
	m.xattr.xattr.len = 5;
	begin(27), number(8, 6), number(1, 0), name("user.a"), text("value");
	expect(&m);
	m.xattr.xattr.remove = true;
	m.xattr.xattr.len = 0;
	begin(27), number(8, 6), number(1, 1), name("user.a");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_MOVE };
	m.move.seq = 5;
	set_id(m.move.parent, 9);
	strcpy(m.move.name, "to");
	begin(28), number(8, 5), id(9), name("to");
	expect(&m);
}

static void reads_are_the_page_s(void **state)
{
	struct wire_msg m = { .type = WIRE_READ };

	(void)state;
	m.read.req = 8;
	m.read.offset = 9;
	m.read.len = 10;
	begin(29), number(8, 8), number(8, 9), number(4, 10);
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_DATA };
	m.data.req = 8;
	m.data.bytes = (const uint8_t *)"bytes";
	m.data.len = 5;
	begin(30), number(8, 8), number(2, 0), text("bytes");
	expect(&m);
	m.data.code = WIRE_EIO;
	m.data.len = 0;
	begin(30), number(8, 8), number(2, 1);
	expect(&m);
}

static void patch_is_the_page_s(void **state)
{
	struct wire_msg m = { .type = WIRE_PATCH };

	(void)state;
	m.patch.req = 5;
	set_id(m.patch.id, 1);
	m.patch.meta.mask = WIRE_META_MTIME | WIRE_META_ATIME;
	m.patch.meta.mode = 0755;
	m.patch.meta.atime = (struct wire_time){ -1, 2 };
	m.patch.meta.mtime = (struct wire_time){ 3, 4 };
	begin(33), number(8, 5), id(1), number(4, 6), number(4, 0755);
	number(8, UINT64_MAX), number(4, 2), number(8, 3), number(4, 4);
	expect(&m);
}

static void requests_are_the_page_s(void **state)
{
	struct wire_msg m = { .type = WIRE_MKDIR };

	(void)state;
	m.mkdir.req = 5;
	set_id(m.mkdir.id, 1);
	set_id(m.mkdir.parent, 2);
	m.mkdir.mode = 0750;
	strcpy(m.mkdir.name, "d");
	begin(32), number(8, 5), id(1), id(2), number(4, 0750), name("d");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_SYMLINK };
	m.symlink.req = 5;
	set_id(m.symlink.id, 1);
	set_id(m.symlink.parent, 2);
	strcpy(m.symlink.name, "l");
	m.symlink.bytes = (const uint8_t *)"../d/f";
	m.symlink.len = 6;
	begin(35), number(8, 5), id(1), id(2), name("l"), text("../d/f");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_SETXATTR };
	m.setxattr.req = 5;
	set_id(m.setxattr.id, 1);
	strcpy(m.setxattr.xattr.name, "user.a");
	m.setxattr.xattr.bytes = (const uint8_t *)"v";
	m.setxattr.xattr.len = 1;
	begin(36), number(8, 5), id(1), number(1, 0), name("user.a"), text("v");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_RENAME };
	m.rename.req = 5;
	set_id(m.rename.id, 1);
	set_id(m.rename.parent, 2);
	m.rename.hold = true;
	strcpy(m.rename.name, "to~");
	begin(37), number(8, 5), id(1), id(2), number(1, 1), name("to~");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_SHOW };
	m.show.req = 5;
	set_id(m.show.id, 1);
	begin(38), number(8, 5), id(1);
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_WITHDRAW };
	m.withdraw.req = 5;
	set_id(m.withdraw.id, 1);
	begin(39), number(8, 5), id(1);
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_RESULT };
	m.result.req = 5;
	m.result.code = WIRE_EXDEV;
	begin(34), number(8, 5), number(2, 20);
	expect(&m);
}

static void questions_are_the_page_s(void **state)
{
	struct wire_msg m = { .type = WIRE_ASK };
	uint8_t share[WIRE_PAIR_SHARE], tag[WIRE_PAIR_TAG];

	(void)state;
	m.ask.size = 5;
	strcpy(m.ask.name, "n");
	begin(4), number(8, 5), name("n");
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_ANSWER };
	m.answer.code = WIRE_EACCES;
	begin(5), number(2, 2);
	expect(&m);

	m = (struct wire_msg){ .type = WIRE_UNASK };
	begin(6);
	expect(&m);

	memset(share, 's', sizeof(share));
	memset(tag, 't', sizeof(tag));
	m = (struct wire_msg){ .type = WIRE_PAIR };
	m.pair.kind = WIRE_PAIR_GROUP;
	m.pair.step = 2;
	m.pair.bytes = share;
	m.pair.len = sizeof(share);
	begin(7), number(1, 2), number(1, 2);
	text("ssssssssssssssssssssssssssssssss");
	expect(&m);
	m.pair.step = 3;
	m.pair.bytes = tag;
	m.pair.len = sizeof(tag);
	begin(7), number(1, 2), number(1, 3);
	text("tttttttttttttttttttttttttttttttt");
	text("tttttttttttttttttttttttttttttttt");
	expect(&m);
	/* Shares and tags are told apart by the step. */
	page[2] = 2;
	assert_false(decodes(page, page_len));
	page[2] = 4;
	assert_true(decodes(page, page_len));
	page[2] = 5;
	assert_false(decodes(page, page_len));

	m = (struct wire_msg){ .type = WIRE_UNPAIRED };
	m.unpaired.code = WIRE_EKEYREJECTED;
	begin(8), number(2, 26);
	expect(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transfers_are_the_page_s),
		cmocka_unit_test(reads_are_the_page_s),
		cmocka_unit_test(patch_is_the_page_s),
		cmocka_unit_test(requests_are_the_page_s),
		cmocka_unit_test(questions_are_the_page_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

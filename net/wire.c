/*
 * The messages of gtfs-protocol(7) as tables: one row a field, in the order of
 * the page, read by one encoder and one decoder. So the two directions of a
 * message cannot drift apart, and a limit stands in one place.
 *
 * Pure functions, any thread. What names, attributes and targets may be is in
 * wire_name.c, what errors are called in wire_code.c, what comes before the
 * records in wire_hello.c. Whether a message may
 * come now, and from this side, is decided by net/incoming and net/outgoing.
 */
#include "wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "escape.h"

#define FILE_MAX   ((uint64_t)INT64_MAX) /* off_t on every platform */
#define MODE_MAX   0777
#define NSEC_MAX   999999999
#define META_KNOWN (WIRE_META_MODE | WIRE_META_MTIME | WIRE_META_ATIME)
#define CODE_LAST  WIRE_EKEYREJECTED

/* How a field is written; see kinds[] for the widths of the numbers. */
enum kind {
	END,
	ENUM8,
	BOOL8,
	CODE16,
	U32,
	U64,
	ID,   /* WIRE_ID_BYTES; min 1: not all zero */
	NAME, /* length (2), bytes; min 0: may be empty */
	ATTR, /* the same, of an extended attribute */
	REST, /* bytes, to the end of the message: struct rest */
};

static const struct {
	uint8_t wire, memory;
} kinds[] = {
	[ENUM8] = { 1, sizeof(enum wire_state) },
	[BOOL8] = { 1, sizeof(bool) },
	[CODE16] = { 2, sizeof(enum wire_code) },
	[U32] = { 4, sizeof(uint32_t) },
	[U64] = { 8, sizeof(uint64_t) },
};

_Static_assert(sizeof(enum wire_code) == 4 && sizeof(enum wire_state) == 4 &&
		   sizeof(enum wire_policy) == 4 && sizeof(bool) == 1,
    "numbers are moved by their size in memory");
_Static_assert(WIRE_ID_BYTES == WIRE_HASH_BYTES, "both are of kind ID");
_Static_assert(WIRE_NAME_MAX == WIRE_XATTR_NAME_MAX, "NAME and ATTR alike");

/* Where a payload is: the two members bytes and len of its message. */
struct rest {
	const uint8_t *bytes;
	size_t len;
};
#define IS_REST(member)                                                      \
	_Static_assert(                                                      \
	    AT(member.len) == AT(member.bytes) + offsetof(struct rest, len), \
	    "not a struct rest")

struct field {
	enum kind kind;
	size_t at; /* in struct wire_msg */
	uint64_t min, max;
};

/* clang-format off */
#define AT(member)        offsetof(struct wire_msg, member)
#define ANY32(member)     { U32, AT(member), 0, UINT32_MAX }
#define ANY64(member)     { U64, AT(member), 0, UINT64_MAX }
#define SIZE(member)      { U64, AT(member), 0, FILE_MAX }
#define MODE(member)      { U32, AT(member), 0, MODE_MAX }
#define ANY_CODE(member)  { CODE16, AT(member), WIRE_OK, CODE_LAST }
#define FAILURE(member)   { CODE16, AT(member), WIRE_OK + 1, CODE_LAST }
#define ANY_ID(member)    { ID, AT(member), 0, 0 }
#define TIME(member) \
	ANY64(member.sec), { U32, AT(member.nsec), 0, NSEC_MAX }
#define META(member) \
	{ U32, AT(member.mask), 0, META_KNOWN }, MODE(member.mode), \
	TIME(member.atime), TIME(member.mtime)
#define XATTR(member) \
	{ BOOL8, AT(member.remove), 0, 1 }, { ATTR, AT(member.name), 0, 0 }, \
	{ REST, AT(member.bytes), 0, WIRE_XATTR_MAX }
#define FIELDS (const struct field[])

static const struct {
	const char *name;
	const struct field *fields; /* up to END */
} layouts[] = {
	[WIRE_PING] = { "PING", FIELDS {
		{ U64, AT(ping.cookie), 1, UINT64_MAX },
		{ END } } },
	[WIRE_PONG] = { "PONG", FIELDS {
		ANY64(pong.cookie),
		ANY64(pong.free_bytes),
		ANY64(pong.total_bytes),
		ANY64(pong.free_files),
		ANY64(pong.total_files),
		{ ENUM8, AT(pong.policy), WIRE_POLICY_ACCEPT,
		    WIRE_POLICY_REFUSE },
		{ END } } },
	[WIRE_BYE] = { "BYE", FIELDS {
		ANY_CODE(bye.code),
		{ END } } },
	[WIRE_ASK] = { "ASK", FIELDS {
		ANY64(ask.size), /* or WIRE_SIZE_UNKNOWN: message_ok */
		{ NAME, AT(ask.name), 1, 0 },
		{ END } } },
	[WIRE_ANSWER] = { "ANSWER", FIELDS {
		ANY_CODE(answer.code),
		{ END } } },
	[WIRE_UNASK] = { "UNASK", FIELDS {
		{ END } } },
	[WIRE_PAIR] = { "PAIR", FIELDS {
		{ ENUM8, AT(pair.kind), WIRE_PAIR_CODE, WIRE_PAIR_GROUP },
		{ ENUM8, AT(pair.step), 1, WIRE_PAIR_STEPS },
		{ REST, AT(pair.bytes), WIRE_PAIR_SHARE, WIRE_PAIR_TAG },
		{ END } } },
	[WIRE_UNPAIRED] = { "UNPAIRED", FIELDS {
		FAILURE(unpaired.code),
		{ END } } },
	[WIRE_OFFER] = { "OFFER", FIELDS {
		ANY32(offer.tag),
		{ ID, AT(offer.id), 1, 0 },
		ANY_ID(offer.parent),
		ANY_ID(offer.base),
		MODE(offer.mode),
		ANY64(offer.size), /* or WIRE_SIZE_UNKNOWN: message_ok */
		{ NAME, AT(offer.name), 1, 0 },
		{ END } } },
	[WIRE_ACCEPT] = { "ACCEPT", FIELDS {
		ANY32(accept.tag),
		ANY64(accept.applied),
		{ U32, AT(accept.max_write), 1, WIRE_WRITE_MAX },
		{ END } } },
	[WIRE_REFUSE] = { "REFUSE", FIELDS {
		ANY32(refuse.tag),
		FAILURE(refuse.code),
		{ END } } },
	[WIRE_WRITE] = { "WRITE", FIELDS {
		ANY64(write.seq),
		SIZE(write.offset),
		{ REST, AT(write.bytes), 1, WIRE_WRITE_MAX },
		{ END } } },
	[WIRE_TRUNCATE] = { "TRUNCATE", FIELDS {
		ANY64(truncate.seq),
		SIZE(truncate.size),
		{ END } } },
	[WIRE_RESERVE] = { "RESERVE", FIELDS {
		ANY64(reserve.seq),
		SIZE(reserve.offset),
		{ U64, AT(reserve.len), 1, FILE_MAX },
		{ ENUM8, AT(reserve.how), WIRE_RESERVE_EXTEND,
		    WIRE_RESERVE_ZERO_KEEP },
		{ END } } },
	[WIRE_META] = { "META", FIELDS {
		ANY64(meta.seq),
		META(meta.meta),
		{ END } } },
	[WIRE_CHECKPOINT] = { "CHECKPOINT", FIELDS {
		ANY64(commit.seq),
		SIZE(commit.size),
		ANY64(commit.count),
		ANY_ID(commit.hash),
		{ END } } },
	[WIRE_COMMIT] = { "COMMIT", FIELDS {
		ANY64(commit.seq),
		SIZE(commit.size),
		ANY64(commit.count),
		ANY_ID(commit.hash),
		{ BOOL8, AT(commit.hold), 0, 1 },
		{ END } } },
	[WIRE_ACK] = { "ACK", FIELDS {
		ANY32(ack.tag),
		ANY64(ack.seq),
		{ ENUM8, AT(ack.state), WIRE_APPLIED, WIRE_HELD },
		ANY_CODE(ack.code),
		{ NAME, AT(ack.name), 0, 0 },
		{ END } } },
	[WIRE_ABORT] = { "ABORT", FIELDS {
		ANY32(abort.tag),
		FAILURE(abort.code),
		{ END } } },
	[WIRE_XATTR] = { "XATTR", FIELDS {
		ANY64(xattr.seq),
		XATTR(xattr.xattr),
		{ END } } },
	[WIRE_MOVE] = { "MOVE", FIELDS {
		ANY64(move.seq),
		ANY_ID(move.parent),
		{ NAME, AT(move.name), 1, 0 },
		{ END } } },
	[WIRE_READ] = { "READ", FIELDS {
		ANY64(read.req),
		SIZE(read.offset),
		{ U32, AT(read.len), 1, WIRE_WRITE_MAX },
		{ END } } },
	[WIRE_DATA] = { "DATA", FIELDS {
		ANY64(data.req),
		ANY_CODE(data.code),
		{ REST, AT(data.bytes), 0, WIRE_WRITE_MAX },
		{ END } } },
	[WIRE_MKDIR] = { "MKDIR", FIELDS {
		ANY64(mkdir.req),
		{ ID, AT(mkdir.id), 1, 0 },
		ANY_ID(mkdir.parent),
		MODE(mkdir.mode),
		{ NAME, AT(mkdir.name), 1, 0 },
		{ END } } },
	[WIRE_PATCH] = { "PATCH", FIELDS {
		ANY64(patch.req),
		{ ID, AT(patch.id), 1, 0 },
		META(patch.meta),
		{ END } } },
	[WIRE_RESULT] = { "RESULT", FIELDS {
		ANY64(result.req),
		ANY_CODE(result.code),
		{ END } } },
	[WIRE_SYMLINK] = { "SYMLINK", FIELDS {
		ANY64(symlink.req),
		{ ID, AT(symlink.id), 1, 0 },
		{ ID, AT(symlink.parent), 1, 0 },
		{ NAME, AT(symlink.name), 1, 0 },
		{ REST, AT(symlink.bytes), 1, WIRE_TARGET_MAX },
		{ END } } },
	[WIRE_SETXATTR] = { "SETXATTR", FIELDS {
		ANY64(setxattr.req),
		{ ID, AT(setxattr.id), 1, 0 },
		XATTR(setxattr.xattr),
		{ END } } },
	[WIRE_RENAME] = { "RENAME", FIELDS {
		ANY64(rename.req),
		{ ID, AT(rename.id), 1, 0 },
		ANY_ID(rename.parent),
		{ BOOL8, AT(rename.hold), 0, 1 },
		{ NAME, AT(rename.name), 1, 0 },
		{ END } } },
	[WIRE_SHOW] = { "SHOW", FIELDS {
		ANY64(show.req),
		{ ID, AT(show.id), 1, 0 },
		{ END } } },
	[WIRE_WITHDRAW] = { "WITHDRAW", FIELDS {
		ANY64(withdraw.req),
		{ ID, AT(withdraw.id), 1, 0 },
		{ END } } },
};
/* clang-format on */

IS_REST(write);
IS_REST(data);
IS_REST(xattr.xattr);
IS_REST(setxattr.xattr);
IS_REST(symlink);
IS_REST(pair);

#define N_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static const struct field *fields_of(unsigned type)
{
	return type < N_LAYOUTS ? layouts[type].fields : NULL;
}

static struct rest rest_of(const struct field *f, const struct wire_msg *m)
{
	struct rest r;

	memcpy(&r, (const uint8_t *)m + f->at, sizeof(r));
	return r;
}

size_t wire_payload(const struct wire_msg *m, const uint8_t **ret)
{
	const struct field *f = fields_of(m->type);
	struct rest r;

	for (; f && f->kind != END; f++)
		if (f->kind == REST) {
			r = rest_of(f, m);
			*ret = r.bytes;
			return r.len;
		}
	return 0;
}

static uint64_t load(const struct field *f, const struct wire_msg *m)
{
	const uint8_t *at = (const uint8_t *)m + f->at;
	uint64_t v64;
	uint32_t v32;

	switch (kinds[f->kind].memory) {
	case 1: return *at;
	case 4: memcpy(&v32, at, sizeof(v32)); return v32;
	default: memcpy(&v64, at, sizeof(v64)); return v64;
	}
}

static void store(const struct field *f, struct wire_msg *m, uint64_t v)
{
	uint8_t *at = (uint8_t *)m + f->at;
	uint32_t v32 = (uint32_t)v;

	switch (kinds[f->kind].memory) {
	case 1: *at = (uint8_t)v; break;
	case 4: memcpy(at, &v32, sizeof(v32)); break;
	default: memcpy(at, &v, sizeof(v));
	}
}

static bool is_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return any == 0;
}

/* Is this field within its row's limits? */
static bool field_ok(const struct field *f, const struct wire_msg *m)
{
	const char *at = (const char *)m + f->at;
	size_t len;

	switch (f->kind) {
	case ID: return !f->min || !is_zero((const uint8_t *)at, WIRE_ID_BYTES);
	case NAME:
		len = strnlen(at, WIRE_NAME_MAX + 1);
		return (len == 0 && !f->min) || wire_name_ok(at, len);
	case ATTR:
		return wire_xattr_ok(at, strnlen(at, WIRE_XATTR_NAME_MAX + 1));
	case REST:
		len = rest_of(f, m).len;
		return len >= f->min && len <= f->max;
	default: return load(f, m) >= f->min && load(f, m) <= f->max;
	}
}

static bool size_ok(uint64_t size)
{
	return size <= FILE_MAX || size == WIRE_SIZE_UNKNOWN;
}

/* What concerns one field, and then what concerns two of them. */
static bool message_ok(const struct wire_msg *m)
{
	const struct field *f = fields_of(m->type);
	bool published;

	if (!f)
		return false;
	for (; f->kind != END; f++)
		if (!field_ok(f, m))
			return false;

	switch (m->type) {
	case WIRE_ASK: return size_ok(m->ask.size);
	case WIRE_PAIR:
		return m->pair.len ==
		       (m->pair.step <= 2 ? WIRE_PAIR_SHARE : WIRE_PAIR_TAG);
	case WIRE_OFFER: return size_ok(m->offer.size);
	case WIRE_WRITE: return m->write.len <= FILE_MAX - m->write.offset;
	case WIRE_RESERVE:
		return m->reserve.len <= FILE_MAX - m->reserve.offset;
	case WIRE_ACK:
		published = (m->ack.state == WIRE_PUBLISHED ||
				m->ack.state == WIRE_RECEIVED) &&
			    m->ack.code == WIRE_OK;
		return published == (m->ack.name[0] != '\0');
	case WIRE_READ: return m->read.len <= FILE_MAX - m->read.offset;
	case WIRE_DATA: return m->data.code == WIRE_OK || !m->data.len;
	case WIRE_XATTR: return !m->xattr.xattr.remove || !m->xattr.xattr.len;
	case WIRE_SETXATTR:
		return !m->setxattr.xattr.remove || !m->setxattr.xattr.len;
	case WIRE_SYMLINK:
		return wire_target_climb(
			   (const char *)m->symlink.bytes, m->symlink.len) >= 0;
	default: return true;
	}
}

static void put_number(uint8_t *out, size_t width, uint64_t v)
{
	switch (width) {
	case 1: out[0] = (uint8_t)v; break;
	case 2: put_be16(out, (uint16_t)v); break;
	case 4: put_be32(out, (uint32_t)v); break;
	default: put_be64(out, v);
	}
}

static uint64_t get_number(const uint8_t *in, size_t width)
{
	switch (width) {
	case 1: return in[0];
	case 2: return get_be16(in);
	case 4: return get_be32(in);
	default: return get_be64(in);
	}
}

/* Returns the bytes written, or -EMSGSIZE. */
static ssize_t encode_field(
    const struct field *f, const struct wire_msg *m, uint8_t *out, size_t cap)
{
	const char *at = (const char *)m + f->at;
	size_t len;

	switch (f->kind) {
	case ID:
		if (cap < WIRE_ID_BYTES)
			return -EMSGSIZE;
		memcpy(out, at, WIRE_ID_BYTES);
		return WIRE_ID_BYTES;
	case NAME:
	case ATTR:
		len = strnlen(at, WIRE_NAME_MAX);
		if (cap < 2 + len)
			return -EMSGSIZE;
		put_be16(out, (uint16_t)len);
		memcpy(out + 2, at, len);
		return 2 + (ssize_t)len;
	case REST: return 0;
	default:
		len = kinds[f->kind].wire;
		if (cap < len)
			return -EMSGSIZE;
		put_number(out, len, load(f, m));
		return (ssize_t)len;
	}
}

/* Returns the bytes taken, or -EBADMSG. Limits are left to message_ok. */
static ssize_t decode_field(
    const struct field *f, const uint8_t *in, size_t left, struct wire_msg *m)
{
	uint8_t *at = (uint8_t *)m + f->at;
	struct rest rest;
	uint64_t v;
	size_t len;

	switch (f->kind) {
	case ID:
		if (left < WIRE_ID_BYTES)
			return -EBADMSG;
		memcpy(at, in, WIRE_ID_BYTES);
		return WIRE_ID_BYTES;
	case NAME:
		if (left < 2)
			return -EBADMSG;
		len = get_be16(in);
		/* Here, not later: a NUL inside would cut what is checked. */
		if (len > left - 2 ||
		    (len && !wire_name_ok((const char *)in + 2, len)))
			return -EBADMSG;
		memcpy(at, in + 2, len);
		at[len] = '\0';
		return 2 + (ssize_t)len;
	case ATTR:
		if (left < 2)
			return -EBADMSG;
		len = get_be16(in);
		if (len > left - 2 || !wire_xattr_ok((const char *)in + 2, len))
			return -EBADMSG;
		memcpy(at, in + 2, len);
		at[len] = '\0';
		return 2 + (ssize_t)len;
	case REST:
		rest = (struct rest){ .bytes = in, .len = left };
		memcpy(at, &rest, sizeof(rest));
		return (ssize_t)left;
	default:
		len = kinds[f->kind].wire;
		if (left < len)
			return -EBADMSG;
		v = get_number(in, len);
		/* A failure of a later version is a failure all the same. */
		if (f->kind == CODE16 && v > CODE_LAST)
			v = WIRE_EIO;
		if (f->kind == BOOL8 && v > 1)
			return -EBADMSG;
		store(f, m, v);
		return (ssize_t)len;
	}
}

int wire_encode(
    const struct wire_msg *m, uint8_t *out, size_t cap, size_t *ret_len)
{
	const struct field *f = fields_of(m->type);
	size_t len = 1;
	ssize_t n;

	assert(message_ok(m));
	if (!f || cap < 1)
		return -EMSGSIZE;
	out[0] = (uint8_t)m->type;
	for (; f->kind != END; f++) {
		n = encode_field(f, m, out + len, cap - len);
		if (n < 0)
			return (int)n;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int wire_decode(const uint8_t *buf, size_t len, struct wire_msg *ret)
{
	const struct field *f;
	struct wire_msg m;
	size_t at = 1;
	ssize_t n;

	if (len < 1 || !(f = fields_of(buf[0])))
		return -EBADMSG;
	memset(&m, 0, sizeof(m));
	m.type = (enum wire_type)buf[0];
	for (; f->kind != END; f++) {
		n = decode_field(f, buf + at, len - at, &m);
		if (n < 0)
			return (int)n;
		at += (size_t)n;
	}
	if (at != len || !message_ok(&m))
		return -EBADMSG;
	*ret = m;
	return 0;
}

const char *wire_type_name(enum wire_type t)
{
	return fields_of(t) ? layouts[t].name : "?";
}

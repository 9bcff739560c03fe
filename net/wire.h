/*
 * The messages of gtfs-protocol(7): encoders and decoders, and nothing else.
 * No I/O, no allocation, no state: bytes in, bytes out. One record carries one
 * message. All integers are big-endian; a decoder checks every length before
 * it reads, refuses trailing bytes, and refuses names that no honest sender
 * can produce (section FILE NAMES of the page).
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_MAJOR 1
#define WIRE_MINOR 0

/* "gtfs", major, minor, two zero bytes: first on the wire, from both sides. */
#define WIRE_PREAMBLE_BYTES 8
#define WIRE_PROLOGUE_LABEL "gtfs-protocol v1"

#define WIRE_ID_BYTES       16
#define WIRE_HASH_BYTES     16
#define WIRE_NAME_MAX       255 /* bytes of one path component */
#define WIRE_PEER_NAME_MAX  63
#define WIRE_WRITE_MAX      (256 * 1024) /* file bytes in one WRITE */
#define WIRE_SIZE_UNKNOWN   UINT64_MAX
#define WIRE_XATTR_NAME_MAX 255         /* linux/limits.h XATTR_NAME_MAX */
#define WIRE_XATTR_MAX      (64 * 1024) /* XATTR_SIZE_MAX */
#define WIRE_TARGET_MAX     4095        /* of a link: PATH_MAX without NUL */
#define WIRE_PAIR_STEPS     4
#define WIRE_PAIR_SHARE     32 /* PAIR steps 1 and 2; see crypto/pairing.h */
#define WIRE_PAIR_TAG       64 /* steps 3 and 4 */
/* Every message fits in this many bytes, its payload (wire_payload) apart. */
#define WIRE_SMALL_MAX 640
/* What a WRITE has before its bytes: type, seq, offset. */
#define WIRE_WRITE_HEADER (1 + 8 + 8)

enum wire_type {
	WIRE_PING = 1,
	WIRE_PONG = 2,
	WIRE_BYE = 3,
	WIRE_ASK = 4,
	WIRE_ANSWER = 5,
	WIRE_UNASK = 6,
	WIRE_PAIR = 7,
	WIRE_UNPAIRED = 8,

	WIRE_OFFER = 16,
	WIRE_ACCEPT = 17,
	WIRE_REFUSE = 18,
	WIRE_WRITE = 19,
	WIRE_TRUNCATE = 20,
	WIRE_RESERVE = 21,
	WIRE_META = 22,
	WIRE_CHECKPOINT = 23,
	WIRE_COMMIT = 24,
	WIRE_ACK = 25,
	WIRE_ABORT = 26,
	WIRE_XATTR = 27,
	WIRE_MOVE = 28,
	WIRE_READ = 29,
	WIRE_DATA = 30,

	WIRE_MKDIR = 32,
	WIRE_PATCH = 33,
	WIRE_RESULT = 34,
	WIRE_SYMLINK = 35,
	WIRE_SETXATTR = 36,
	WIRE_RENAME = 37,
	WIRE_SHOW = 38,
	WIRE_WITHDRAW = 39,
};

/* What a failure is called on the wire; errno numbers differ by platform. */
enum wire_code {
	WIRE_OK = 0,
	WIRE_EIO = 1,
	WIRE_EACCES = 2,
	WIRE_ENOSPC = 3,
	WIRE_EDQUOT = 4,
	WIRE_ECANCELED = 5,
	WIRE_EILSEQ = 6,
	WIRE_ENAMETOOLONG = 7,
	WIRE_ESTALE = 8,
	WIRE_ENOENT = 9,
	WIRE_EEXIST = 10,
	WIRE_ENOTDIR = 11,
	WIRE_EISDIR = 12,
	WIRE_EROFS = 13,
	WIRE_EFBIG = 14,
	WIRE_EMFILE = 15,
	WIRE_ENOMEM = 16,
	WIRE_EOPNOTSUPP = 17,
	WIRE_EINVAL = 18,
	WIRE_EPERM = 19,
	WIRE_EXDEV = 20,
	WIRE_ENOTEMPTY = 21,
	WIRE_EBUSY = 22,
	WIRE_EBADMSG = 23, /* length, count or hash of a COMMIT differ */
	WIRE_ETIMEDOUT = 24,
	WIRE_EPROTO = 25,       /* a message that this state does not allow */
	WIRE_EKEYREJECTED = 26, /* not the code, or not the passphrase */
};

/* What the receiver does with offers of this sender. */
enum wire_policy {
	WIRE_POLICY_ACCEPT = 1,
	WIRE_POLICY_ASK = 2,
	WIRE_POLICY_REFUSE = 3,
};

/* PAIR: what both sides have to know. */
enum wire_pair {
	WIRE_PAIR_CODE = 1,  /* the one-time code of `gtfs pair` */
	WIRE_PAIR_GROUP = 2, /* the passphrase of --group */
};

/* ACK: how far the operations up to seq have come. */
enum wire_state {
	WIRE_APPLIED = 1,   /* handed to the receiver's file system */
	WIRE_DURABLE = 2,   /* CHECKPOINT seq: fsynced in the spool */
	WIRE_PUBLISHED = 3, /* COMMIT seq: whole, durable, in the inbox */
	/* COMMIT seq: whole, in the inbox, but left to the receiver's kernel to
	 * write (--ack received). */
	WIRE_RECEIVED = 4,
	/* COMMIT seq with hold: whole and durable, not shown yet. */
	WIRE_HELD = 5,
};

/* RESERVE: what is done with the range; see fallocate(2). */
enum wire_reserve {
	WIRE_RESERVE_EXTEND = 0, /* allocated; the size grows with it */
	WIRE_RESERVE_KEEP = 1,   /* allocated; the size stays */
	WIRE_RESERVE_CHECK = 2,  /* nothing, but ENOSPC if it would not fit */
	WIRE_RESERVE_PUNCH = 3,  /* a hole; the size stays */
	WIRE_RESERVE_ZERO = 4,   /* zeros; the size grows with it */
	WIRE_RESERVE_ZERO_KEEP = 5,
};

enum {
	WIRE_META_MODE = 1,
	WIRE_META_MTIME = 2,
	WIRE_META_ATIME = 4,
};

struct wire_time {
	int64_t sec;
	uint32_t nsec; /* < 10^9 */
};

struct wire_meta {
	uint32_t mask; /* WIRE_META_*: which of the following count */
	uint32_t mode; /* permission bits only, <= 0777 */
	struct wire_time atime;
	struct wire_time mtime;
};

/*
 * The application part of handshake messages 2 and 3.
 */
struct wire_hello {
	uint8_t minor;
	uint16_t port; /* where the speaker listens; 0: it does not */
	bool group;    /* it is in a group: PAIR may be tried */
	char name[WIRE_PEER_NAME_MAX + 1];
};

struct wire_offer {
	uint32_t tag; /* chosen by the sender; echoed in every answer */
	uint8_t id[WIRE_ID_BYTES];     /* random, not zeros */
	uint8_t parent[WIRE_ID_BYTES]; /* a MKDIR's id; zeros: the top */
	/* A file of this sender, delivered or held, whose next version this is:
	 * it begins as a copy of it, and takes its place. zeros: a new file. */
	uint8_t base[WIRE_ID_BYTES];
	uint32_t mode; /* <= 0777 */
	uint64_t size; /* a hint, or WIRE_SIZE_UNKNOWN */
	char name[WIRE_NAME_MAX + 1];
};

struct wire_mkdir {
	uint64_t req; /* chosen by the sender; echoed in RESULT */
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES];
	uint32_t mode;
	char name[WIRE_NAME_MAX + 1];
};

/*
 * Extended attributes: "user.*" but for "user.gtfs.*". XATTR is one operation
 * of a transfer, SETXATTR the request for what was delivered.
 */
struct wire_xattr {
	bool remove; /* then there is no value */
	char name[WIRE_XATTR_NAME_MAX + 1];
	const uint8_t *bytes; /* the value: into the decoded buffer */
	size_t len;           /* 0 to WIRE_XATTR_MAX */
};

struct wire_symlink {
	uint64_t req;
	uint8_t id[WIRE_ID_BYTES];
	uint8_t parent[WIRE_ID_BYTES]; /* never the top */
	char name[WIRE_NAME_MAX + 1];
	const uint8_t *bytes; /* the target, no NUL: into the decoded buffer */
	size_t len;           /* 1 to WIRE_TARGET_MAX */
};

struct wire_rename {
	uint64_t req;
	uint8_t id[WIRE_ID_BYTES];     /* a file, a directory or a link */
	uint8_t parent[WIRE_ID_BYTES]; /* where it goes; zeros: the top */
	bool hold; /* a file: not shown under this name, but held */
	char name[WIRE_NAME_MAX + 1];
};

struct wire_msg {
	enum wire_type type;
	union {
		struct {
			uint64_t cookie; /* never 0 */
		} ping;
		struct {
			uint64_t cookie; /* the PING's; 0: unasked */
			uint64_t free_bytes;
			uint64_t total_bytes;
			uint64_t free_files;
			uint64_t total_files;
			enum wire_policy policy;
		} pong;
		struct {
			enum wire_code code; /* WIRE_OK: leaving */
		} bye;
		struct {
			uint64_t size; /* a hint, or WIRE_SIZE_UNKNOWN */
			char name[WIRE_NAME_MAX + 1];
		} ask;
		struct {
			enum wire_code code; /* WIRE_OK: send */
		} answer;
		struct {
			enum wire_pair kind;
			unsigned step;        /* 1 to WIRE_PAIR_STEPS */
			const uint8_t *bytes; /* into the decoded buffer */
			size_t len; /* WIRE_PAIR_SHARE or WIRE_PAIR_TAG */
		} pair;
		struct {
			enum wire_code code; /* never WIRE_OK */
		} unpaired;
		struct wire_offer offer;
		struct {
			uint32_t tag;
			uint64_t applied;   /* 0 for a new transfer */
			uint32_t max_write; /* 1 to WIRE_WRITE_MAX */
		} accept;
		struct {
			uint32_t tag;
			enum wire_code code; /* never WIRE_OK */
		} refuse;
		struct {
			uint64_t seq;
			uint64_t offset;      /* offset + len <= INT64_MAX */
			const uint8_t *bytes; /* into the decoded buffer */
			size_t len;           /* 1 to WIRE_WRITE_MAX */
		} write;
		struct {
			uint64_t seq;
			uint64_t size;
		} truncate;
		struct {
			uint64_t seq;
			uint64_t offset;
			uint64_t len; /* from 1; as for WRITE */
			enum wire_reserve how;
		} reserve;
		struct {
			uint64_t seq;
			struct wire_meta meta;
		} meta;
		struct {
			uint64_t seq;  /* of this message */
			uint64_t size; /* of the file now */
			/* operations before this one but CHECKPOINTs */
			uint64_t count;
			uint8_t hash[WIRE_HASH_BYTES];
			bool hold; /* COMMIT: durable, but not shown yet */
		} commit;          /* CHECKPOINT too */
		struct {
			uint64_t seq;
			struct wire_xattr xattr;
		} xattr;
		struct {
			uint64_t seq;
			uint8_t parent[WIRE_ID_BYTES];
			char name[WIRE_NAME_MAX + 1];
		} move;
		struct {
			uint64_t req; /* chosen by the sender, echoed in DATA */
			uint64_t offset;
			uint32_t len; /* 1 to WIRE_WRITE_MAX; see WRITE */
		} read;
		struct {
			uint64_t req;
			enum wire_code code;  /* not OK: no bytes */
			const uint8_t *bytes; /* into the decoded buffer */
			size_t len; /* fewer than asked: the file ends there */
		} data;
		struct {
			uint32_t tag;
			uint64_t seq;
			enum wire_state state;
			enum wire_code code; /* not OK: the transfer failed */
			/* PUBLISHED or RECEIVED, and OK: the name it got;
			 * else empty */
			char name[WIRE_NAME_MAX + 1];
		} ack;
		struct {
			uint32_t tag;
			enum wire_code code; /* never WIRE_OK */
		} abort;
		struct wire_mkdir mkdir;
		struct {
			uint64_t req;
			uint8_t id[WIRE_ID_BYTES];
			struct wire_meta meta;
		} patch;
		struct wire_symlink symlink;
		struct {
			uint64_t req;
			uint8_t id[WIRE_ID_BYTES];
			struct wire_xattr xattr;
		} setxattr;
		struct wire_rename rename;
		struct {
			uint64_t req;
			uint8_t id[WIRE_ID_BYTES];
		} show, withdraw;
		struct {
			uint64_t req;
			enum wire_code code;
		} result;
	};
};

/*
 * Encodes m without its payload (the caller places that behind, see
 * wire_payload). Returns 0, or -EMSGSIZE where out is too small (WIRE_SMALL_MAX
 * is always enough). Asserts that m is one that a decoder accepts.
 */
int wire_encode(
    const struct wire_msg *m, uint8_t *out, size_t cap, size_t *ret_len);

/*
 * What ends a message and is not copied by either direction: the bytes of
 * WRITE, DATA and PAIR, the value of XATTR and SETXATTR, the target of SYMLINK.
 * The length, 0 for all other messages; *ret points to the bytes.
 */
size_t wire_payload(const struct wire_msg *m, const uint8_t **ret);

/*
 * Decodes exactly len bytes. A payload points into buf. Returns 0, or
 * -EBADMSG for anything else than one well-formed message.
 */
int wire_decode(const uint8_t *buf, size_t len, struct wire_msg *ret);

/* A message's name for logs ("OFFER"); "?" where there is none. */
const char *wire_type_name(enum wire_type t);

void wire_preamble_encode(uint8_t out[WIRE_PREAMBLE_BYTES]);
/* 0 and the version, whatever it is; or -EPROTO: not gtfs at all. */
int wire_preamble_decode(const uint8_t in[WIRE_PREAMBLE_BYTES],
    uint8_t *ret_major, uint8_t *ret_minor);

int wire_hello_encode(
    const struct wire_hello *h, uint8_t *out, size_t cap, size_t *ret_len);
/* -EBADMSG: truncated; a name that is empty, too long, not UTF-8, has a NUL. */
int wire_hello_decode(const uint8_t *buf, size_t len, struct wire_hello *ret);

/* A negative or positive errno to its code (unknown ones: WIRE_EIO). */
enum wire_code wire_code_from_errno(int err);
/* A code to a negative errno; WIRE_OK is 0, unknown ones -EIO. */
int wire_code_to_errno(enum wire_code code);

/*
 * Can this be one component of a path? 1 to 255 bytes, not "." or "..", no
 * NUL, no '/'. name is name_len bytes long.
 */
bool wire_name_ok(const char *name, size_t name_len);

/* An attribute that may cross: "user." and more, not "user.gtfs.*", no NUL. */
bool wire_xattr_ok(const char *name, size_t name_len);

/*
 * May a link that lies depth directories below the topmost one that was sent
 * (0: directly in it) have this target: relative, ".." only at its beginning
 * and at most depth times, so that it stays inside? Links on its way are of
 * the same kind, and so do not change that.
 */
bool wire_target_ok(const char *target, size_t len, unsigned depth);
/* How often it climbs: the least depth for it; -1: it is allowed nowhere. */
int wire_target_climb(const char *target, size_t len);

#endif

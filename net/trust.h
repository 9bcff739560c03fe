/*
 * Whom this machine knows: one pin a key, kept as one small text file each in
 * the directory pins/ of the state directory, written atomically (temporary
 * name, fsync, rename, fsync of the directory), validated when read. A file
 * that is damaged, or that others can write, is set aside as NAME.damaged and
 * said in the log; it is never trusted and never dropped without a word: while
 * NAME.damaged is there and NAME is not, this key is refused. Our owner decides
 * (trust_decide, trust_forget), and it becomes NAME.damaged.damaged.
 *
 * A file, named by the fingerprint:
 *     gtfs-pin: 1
 *     name: laptop            (folder name: unique, see net/peers.h)
 *     key: 64 hexadecimal digits
 *     policy: accept | ask | refuse
 *     automatic: yes          (let in by --accept lan, and nobody has said so)
 *     verified: yes           (people compared the words, or a code did)
 *     words: 64 hexadecimal digits (handshake_words of the handshake by which
 *            the two got to know each other: the same on both sides)
 *     quota: 1000000000 5000  (bytes and files; 0: the default)
 *     address: 10.0.0.7:4717  (last proven ones, newest first, at most 4; or
 *            of who has never been dialled where it says that it listens)
 *     check: 16 hexadecimal digits (XXH3-64 of all before this line: it finds
 *            damage; against whoever can write here nothing helps)
 * automatic, verified, words and quota may be missing.
 *
 * Any thread. The table is in memory, its lock a leaf: finding never blocks
 * and may be done under any other lock. Changing calls (pin, forget, note)
 * block on the disk, one at a time.
 */
#ifndef TRUST_H
#define TRUST_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "identity.h"
#include "wire.h"

#define TRUST_ADDRESSES 4
#define TRUST_PINS_MAX  4096
/* Of them automatic: the others are for those that a person lets in. */
#define TRUST_AUTOMATIC_MAX 1024
#define TRUST_WORDS_BYTES   32

enum trust_default { /* --accept: what a stranger gets */
	TRUST_KNOWN, /* refused */
	TRUST_LAN,   /* let in on first use, and pinned */
	TRUST_ASKED, /* let in when our owner says so (net/consent.h) */
};

enum trust_policy { TRUST_ACCEPT, TRUST_ASK, TRUST_REFUSE };

struct trust_pin {
	uint8_t key[IDENTITY_KEY_BYTES];
	/* The folder's. "" where the file was damaged, and it has none yet. */
	char name[WIRE_PEER_NAME_MAX + 1];
	enum trust_policy policy;
	bool automatic; /* --accept lan has let it in, and nobody else */
	bool damaged;   /* its file was: refused, until our owner decides */
	bool verified;
	bool has_words;
	uint8_t words[TRUST_WORDS_BYTES];
	int64_t words_ms; /* now_ms() when it got them; 0: before the start */
	/* What of its files may be in the inbox; 0: the default. */
	uint64_t quota_bytes, quota_files;
	struct sockaddr_storage addresses[TRUST_ADDRESSES];
	unsigned n_addresses;
};

struct trust;

/*
 * state_fd: the state directory (borrowed for the call). Reads all pins. 0,
 * -EPERM (pins/ belongs to someone else, or others can write there) or -errno.
 */
int trust_open(int state_fd, enum trust_default strangers, struct trust **ret);
void trust_close(struct trust *t);

/* 0, or -ENOENT: a stranger. */
int trust_find(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    struct trust_pin *ret);
/* By folder name. 0 or -ENOENT. */
int trust_find_name(struct trust *t, const char *name, struct trust_pin *ret);

/*
 * Calls each for every pin, under no lock (on a copy), until it returns
 * non-zero. Returns what it returned last (0: no pins), or -ENOMEM.
 */
int trust_each(struct trust *t,
    int (*each)(void *ctx, const struct trust_pin *pin), void *ctx);

/*
 * What an offer of this key gets now: its pin's policy, else the default for
 * strangers. An ASK pin is treated as a stranger.
 * A stranger who is accepted is to be pinned (automatic) before its first byte;
 * where there are TRUST_AUTOMATIC_MAX of those, it is refused.
 */
enum wire_policy trust_incoming(
    struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES]);

/* What a pin is to say from now on; all else stays. */
struct trust_decision {
	enum trust_policy policy; /* TRUST_ASK: of a new pin alone */
	/* -EACCES where the pin says TRUST_REFUSE. */
	bool unless_refused;
	bool automatic;       /* a new pin that nobody has asked for */
	bool verified;        /* false: as it is */
	const uint8_t *words; /* TRUST_WORDS_BYTES; NULL: as they are */
	/* Unless it was accepted with other words since then (now_ms()), by
	 * the answer to another question; 0: in any case. */
	int64_t since_ms;
};

/*
 * Pins key under name (made safe, and unique: "laptop (2)"), or changes the pin
 * that is there (its name stays), in one step. Durable on return. ret_name (or
 * NULL): the pin's name. Returns 0, -EACCES, -ENOSPC (TRUST_PINS_MAX, or
 * TRUST_AUTOMATIC_MAX), -ENOMEM, or -errno of the disk: the table has not
 * changed then.
 */
int trust_decide(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, const struct trust_decision *d,
    char ret_name[WIRE_PEER_NAME_MAX + 1]);
/* The policy alone. */
int trust_pin(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const char *name, enum trust_policy policy,
    char ret_name[WIRE_PEER_NAME_MAX + 1]);

/*
 * The i-th pin whose file was damaged and which nobody has decided about; its
 * name may be "". False: there are no more.
 */
bool trust_damaged(struct trust *t, unsigned i,
    char ret_fingerprint[FINGERPRINT_CHARS],
    char ret_name[WIRE_PEER_NAME_MAX + 1]);

/*
 * What was learned of a pinned key, or decided about it. Durable on return.
 * 0, -ENOENT or -errno, as trust_decide.
 */
int trust_set_words(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const uint8_t words[TRUST_WORDS_BYTES]);
int trust_set_verified(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES]);
int trust_set_quota(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    uint64_t bytes, uint64_t files);

/* Is this (but for the port) where a pinned key that is accepted was last? */
bool trust_has_host(struct trust *t, const struct sockaddr *host);

/*
 * Removes the pin. 0, -ENOENT, or -errno: the pin is still there, except that
 * when only the directory's fsync failed it is gone until the next start.
 */
int trust_forget(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES]);

/*
 * Notes a proven address of a pinned key (newest first). Written to disk only
 * when the set changes. 0, -ENOENT or -errno.
 */
int trust_note_address(struct trust *t, const uint8_t key[IDENTITY_KEY_BYTES],
    const struct sockaddr *address);

#endif

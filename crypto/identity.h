/*
 * The long-term identity of a machine: one X25519 key pair, made at first
 * start and kept in the state directory for as long as the machine is known.
 *
 * The file is text:
 *
 *     gtfs identity v1
 *     secret <base64 of the secret key>
 *     public <base64 of the public key>
 *     check <base64 of a digest of the lines above>
 *
 * The digest is BLAKE2b-256("gtfs identity check v1" || the lines above).
 *
 * Source: Noise Protocol Framework rev 34, section 4.1 (25519 functions).
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#define IDENTITY_KEY_BYTES 32
/* 32 characters in 8 groups of 4, hyphens between, NUL. */
#define FINGERPRINT_CHARS 40

struct identity {
	uint8_t secret[IDENTITY_KEY_BYTES];
	uint8_t public[IDENTITY_KEY_BYTES];
};

/*
 * Makes a new key pair in *ret. 0, or -EIO where libsodium cannot start.
 */
int identity_generate(struct identity *ret);

/*
 * Loads the identity from the file `name` in the directory dirfd; makes one
 * there if the file does not exist. dirfd is open for reading (not O_PATH: it
 * is fsynced), and whose directory it is, the caller has checked. The file is
 * created complete and 0600 (a temporary name, fsync, link(2), fsync of the
 * directory) and never written again; when two processes create it at once
 * both get the same one. Blocks on the disk. Symlinks are not followed. The
 * pages of ret->secret are locked, if the system lets us: until identity_fini()
 * it is not moved, and nothing else in these pages is unlocked.
 * Returns 0, -EPERM (the file is readable or writable by others, is not a
 * regular file, or belongs to someone else), -EBADMSG (damaged: nothing was
 * changed), or -errno of the file operations. *ret is untouched on failure.
 */
int identity_load(int dirfd, const char *name, struct identity *ret);

/* Wipes the secret, and lets its memory be swapped again. */
void identity_fini(struct identity *id);

/*
 * The name by which people compare a key: base32 (RFC 4648, lower case) of the
 * first 20 bytes of BLAKE2b-256 keyed with nothing over
 * "gtfs fingerprint v1" || key, in 8 groups of 4 characters.
 */
void identity_fingerprint(
    const uint8_t key[IDENTITY_KEY_BYTES], char ret_text[FINGERPRINT_CHARS]);

#endif

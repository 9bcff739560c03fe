/*
 * One pin on disk (the format is in trust.h): text, and the file that holds
 * it. net/trust alone uses this, one thread at a time; all but encode and
 * decode block on the disk. Functions return 0 or -errno.
 */
#ifndef PINFILE_H
#define PINFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trust.h"

#define PINFILE_TEXT_MAX 1024

/* The text of a pin and its length. */
size_t pinfile_encode(const struct trust_pin *pin, char ret[PINFILE_TEXT_MAX]);

/*
 * -EBADMSG for all that pinfile_encode does not write. An address on an
 * interface that is not here now is left out.
 */
int pinfile_decode(const char *text, size_t len, struct trust_pin *ret);

/*
 * The pin in the file called name, which must be its key's fingerprint.
 * -EBADMSG: damaged, or another key's; -EPERM: no regular file, someone
 * else's, or one that others can write.
 */
int pinfile_read(int dirfd, const char *name, struct trust_pin *ret);

/*
 * What is left in the damaged file of that key, which is set aside: refused, in
 * any case. 0, or -errno: not even the key.
 */
int pinfile_salvage(int dirfd, const char *file,
    const char fingerprint[FINGERPRINT_CHARS], struct trust_pin *ret);

/* Replaces the file of the pin's key in one step; durable on return. */
int pinfile_write(int dirfd, const struct trust_pin *pin);

/* Removes the file of this key; none is fine. *ret_gone even on failure. */
int pinfile_remove(
    int dirfd, const uint8_t key[IDENTITY_KEY_BYTES], bool *ret_gone);

#endif

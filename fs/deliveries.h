/*
 * Files that arrived and what their senders ask about them later: mode, times
 * and attributes, another name, to be shown, to be taken back. All of these are
 * allowed to the sender alone, and only while nobody has touched the file.
 *
 * Any thread; the functions block on the disk, and wait for each other where
 * they mean the same file. Durable on return where the inbox is.
 */
#ifndef DELIVERIES_H
#define DELIVERIES_H

#include <stdbool.h>

#include "identity.h"
#include "wire.h"

struct inbox;

/*
 * 0; -ENOENT (this sender has no file with this id here), -ESTALE (touched,
 * moved or gone), -EINVAL (no times), or -errno.
 */
int deliveries_patch(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m);
/* An attribute that this disk cannot keep is none: 0. */
int deliveries_xattr(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], const struct wire_xattr *x);
/*
 * As the commit of a file with this name there: replaces nothing but this
 * sender's own untouched delivery of that name. Done before: 0. hold: taken out
 * of the inbox (or kept out) until it is shown.
 */
int deliveries_rename(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES], const struct wire_rename *m);
int deliveries_show(struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES]);
/* What is on its way in under this id is withdrawn as well. */
int deliveries_withdraw(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES]);

/*
 * A directory of this sender was renamed: what is held for it, or for one below
 * it, is shown there at the next start.
 */
void deliveries_moved(
    struct inbox *in, const uint8_t sender[IDENTITY_KEY_BYTES]);

#endif

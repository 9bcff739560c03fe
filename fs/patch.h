/*
 * Late changes: mode and times of what is in the inbox already (rsync and
 * install set them after close).
 */
#ifndef PATCH_H
#define PATCH_H

#include "delivered.h"
#include "folders.h"

/*
 * Changes the file or directory that sender delivered under id; of a file only
 * if nobody has touched it since. durable: fsyncs it. Any thread; blocks on
 * the disk and for another change of the same file.
 * Returns 0, -ENOENT (no such id of this sender), -ESTALE (touched, moved or
 * gone), -EINVAL (no times), or -errno.
 */
int patch_apply(struct folders *fo, struct delivered *d, bool durable,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    const struct wire_meta *m);

#endif

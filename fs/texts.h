/*
 * The files of .gtfs/requests/ (one a question that is open) and .gtfs/why/
 * (one a peer): which there are, what they say, and what requests/ takes. Knows
 * no FUSE. Any thread; all but texts_write is answered from memory.
 */
#ifndef TEXTS_H
#define TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

enum { TEXTS_REQUESTS, TEXTS_WHY, TEXTS_FOLDERS };

const char *texts_folder_name(unsigned folder);

/*
 * Is there such a file, and about what? *ret_serial tells one question (or
 * peer) from a later one of the same name. 0 or -ENOENT.
 */
int texts_find(const struct ctl_config *c, unsigned folder, const char *name,
    uint64_t *ret_serial);

/* Calls each for every name until that returns non-zero. Returns what it
 * returned last, or -ENOMEM. */
int texts_each(const struct ctl_config *c, unsigned folder,
    int (*each)(void *ctx, const char *name), void *ctx);

/*
 * The content; *ret to be freed. 0, -ENOENT (it is gone, or another one has
 * the name now) or -ENOMEM.
 *   requests: lines `key: value`: name, fingerprint, words, file, size (bytes
 *     or -), address, asked (whole seconds ago), expires (in whole seconds)
 *   why: sentences (fs/why.h)
 */
int texts_read(const struct ctl_config *c, unsigned folder, const char *name,
    uint64_t serial, char **ret, size_t *ret_len);

/*
 * `accept` or `refuse`, with or without a newline, answers the question. 0,
 * -ENOENT (it is not open any more), -EINVAL (another text), -EPERM (why/), or
 * -errno of the pin. May block on the disk for as long as a small file takes.
 */
int texts_write(const struct ctl_config *c, unsigned folder, const char *name,
    uint64_t serial, const char *buf, size_t len);

#endif

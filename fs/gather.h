/*
 * The folders of a mount's .gtfs as records: a file a record. All of it waits
 * for the mount's daemon. Files that go meanwhile are left out.
 */
#ifndef GATHER_H
#define GATHER_H

#include "mounts.h"
#include "records.h"

/* 0 (requests_columns) or -errno, as ask_read. */
int gather_requests(const struct mount_entry *m, struct records *ret);
/* Of one peer, or with NULL of all. As gather_requests (why_columns); -ENOENT:
 * there is no such peer. */
int gather_why(
    const struct mount_entry *m, const char *name, struct records *ret);

#endif

/*
 * What happens in net, told to the tree and to .gtfs/events.
 */
#ifndef REPORT_H
#define REPORT_H

#include "mount.h"

/* network_config's callbacks; ctx is the struct mount. */
void report_peer(
    void *ctx, enum peer_change change, const struct peer_info *info);
void report_transfer(void *ctx, const struct ledger_entry *e);
void report_question(
    void *ctx, enum consent_change change, const struct consent_question *q);
/* A pin was damaged; name: "" where that is not known. */
void report_damaged(void *ctx, const char *fingerprint, const char *name);
void report_paired(void *ctx, const char *name);
/* inbox_config's. */
void report_arrival(
    void *ctx, const char *path, const char *peer, uint64_t size);
void report_directory(void *ctx, const char *path);

#endif

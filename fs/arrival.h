/*
 * One file on its way in: the sink_file of net/sink.h, from open to close. Only
 * fs/inbox and fs/arrival_commit include this.
 */
#ifndef ARRIVAL_H
#define ARRIVAL_H

#include "inbox_internal.h"

struct arrival {
	struct sink_file file; /* first */
	struct inbox *in;
	struct spool_file spool;
	struct wire_meta meta; /* for the commit */
	uint8_t sender[IDENTITY_KEY_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t base[WIRE_ID_BYTES]; /* zeros: none */
	uint8_t parent[WIRE_ID_BYTES];
	char name[WIRE_NAME_MAX + 1]; /* as sent */
	char peer[WIRE_NAME_MAX + 1];
};

static inline struct arrival *arrival_of(struct sink_file *f)
{
	return (struct arrival *)(void *)f;
}

/* The operations, as net/sink.h has them. */
int arrival_open(
    struct sink *s, const struct sink_offer *o, struct sink_file **ret);
int arrival_write(
    struct sink_file *f, const void *bytes, size_t len, uint64_t offset);
int arrival_truncate(struct sink_file *f, uint64_t size);
int arrival_reserve(
    struct sink_file *f, uint64_t offset, uint64_t len, enum wire_reserve how);
int arrival_set_meta(struct sink_file *f, const struct wire_meta *m);
int arrival_set_xattr(struct sink_file *f, const struct wire_xattr *x);
int arrival_move(
    struct sink_file *f, const uint8_t parent[WIRE_ID_BYTES], const char *name);
int arrival_read(struct sink_file *f, void *ret, size_t len, uint64_t offset,
    size_t *ret_len);
int arrival_size(struct sink_file *f, uint64_t *ret);
int arrival_checkpoint(struct sink_file *f);
void arrival_abort(struct sink_file *f);
void arrival_close(struct sink_file *f);

/* fs/arrival_commit.c */
int arrival_commit(
    struct sink_file *f, bool hold, char ret_name[WIRE_NAME_MAX + 1]);

#endif

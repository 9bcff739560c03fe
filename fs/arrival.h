/*
 * One file on its way in: the sink_file of net/sink.h, from open to close. Only
 * fs/inbox, fs/arrival_commit and fs/deliveries include this.
 */
#ifndef ARRIVAL_H
#define ARRIVAL_H

#include "inbox_internal.h"
#include "usage.h"

struct arrival {
	struct sink_file file; /* first */
	/* Both are guarded by the inbox's lock. */
	LIST_ENTRY(arrival) entry;
	bool withdrawn;
	struct inbox *in;
	struct spool_file spool;
	struct wire_meta meta; /* for the commit */
	struct usage_claim claim;
	uint64_t ahead;  /* claimed, and not written yet */
	uint64_t shared; /* blocks that it has in common with base */
	bool reserved;   /* beyond its end, too */
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

/*
 * What is on its way in under this id never arrives: its commit, which may be
 * under way, fails with ECANCELED, unless it has come so far that
 * delivered_begin finds the file. Any thread; does not block.
 */
void arrival_withdraw(struct inbox *in,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES]);
bool arrival_withdrawn(struct arrival *a);

/*
 * It is going to take so many bytes more of the disk. With 0 what it takes now
 * is looked at, and claim.bytes is that, but for what it shares with its base.
 * 0, or as usage_grow.
 */
int arrival_claim(struct arrival *a, uint64_t more);

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

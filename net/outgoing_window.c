/*
 * The program's side of a window: operations enter it, and callers are parked
 * where they have to wait. Runs in whatever thread calls (FUSE workers,
 * mostly); nothing blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "outgoing_internal.h"
#include "pool.h"
#include "request.h"
#include "treeop.h"

enum {
	SHARE_MAX = 2 * 1024 * 1024,
	OVERSHOOT_MAX = 1024 * 1024, /* one request of the kernel */
	OVERFULL_MORE = 256 * 1024,  /* some writes of the least size */
	/* As long as no more are open: records of 256 KiB, which both sides
	 * need buffers for. */
	FEW_TRANSFERS = 8,
	OPS_MAX = 16384, /* not yet acknowledged; their data are bounded */
	XATTRS_MAX = 2 * WIRE_XATTR_MAX, /* bytes of attributes among them */
};

static struct pool *pool_of(struct outgoing *o)
{
	return o->peer->table->config.pool;
}

size_t outgoing_share(struct outgoing *o)
{
	unsigned n = atomic_load(&o->peer->table->windows);
	size_t share = POOL_LIMIT / 2 / (n ? n : 1);

	if (share > SHARE_MAX)
		share = SHARE_MAX;
	return share < POOL_CHUNK ? POOL_CHUNK : share;
}

void outgoing_op_free_locked(struct outgoing *o, struct op *op)
{
	TAILQ_REMOVE(&o->ops, op, entry);
	o->n_ops--;
	if (op->data) {
		pool_give(pool_of(o), op->data, op->cap);
		o->held -= op->cap;
	}
	if (op->type == WIRE_XATTR)
		o->packed -= op->msg->len;
	if (o->next == op)
		o->next = NULL;
	outdir_put(op->dir);
	free(op->msg);
	free(op);
	if (o->windowed && TAILQ_EMPTY(&o->ops)) {
		o->windowed = false;
		atomic_fetch_sub(&o->peer->table->windows, 1);
	}
}

void outgoing_close_op_locked(struct outgoing *o, struct op *op)
{
	if (!op->open)
		return;
	op->open = false;
	ophash_trailer(o->hash, WIRE_WRITE, op->seq, op->offset, op->len);
}

/* Appends an operation of this type with the next number, not yet hashed. */
static struct op *op_add_locked(struct outgoing *o, enum wire_type type)
    REQUIRES(o->lock)
{
	struct op *last = TAILQ_LAST(&o->ops, op_queue);
	bool full = o->n_ops >= OPS_MAX && type != WIRE_COMMIT;
	struct op *op = full ? NULL : calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	if (last)
		outgoing_close_op_locked(o, last);
	o->n_ops++;
	op->type = type;
	op->seq = ++o->last_seq;
	TAILQ_INSERT_TAIL(&o->ops, op, entry);
	if (!o->next)
		o->next = op;
	o->count += type != WIRE_CHECKPOINT && type != WIRE_COMMIT;
	if (!o->windowed) {
		o->windowed = true;
		atomic_fetch_add(&o->peer->table->windows, 1);
	}
	return op;
}

/* The same for all but WRITE, as m says; its seq is set here. 0 or -ENOMEM. */
static int op_pack_locked(
    struct outgoing *o, struct wire_msg *m, struct op **ret) REQUIRES(o->lock)
{
	struct packed *packed;
	struct op *op;

	/* It stands first in all of them. */
	m->truncate.seq = o->last_seq + 1;
	packed = packed_new(m);
	if (!packed)
		return -ENOMEM;
	op = op_add_locked(o, m->type);
	if (!op) {
		free(packed);
		return -ENOMEM;
	}
	op->msg = packed;
	outgoing_kick_locked(o);
	if (ret)
		*ret = op;
	return 0;
}

/* Whatever the program removed or renamed before, it did for this. */
static void takes_name_locked(struct outgoing *o, struct op *op)
    REQUIRES(o->lock)
{
	op->takes = true;
	op->mark = treeop_mark(o->peer, TREEOP_LEAVES);
}

/* What forbids a new operation, or 0. */
static int refused_locked(struct outgoing *o) REQUIRES(o->lock)
{
	if (o->error)
		return o->error;
	return o->state == OUTGOING_PUBLISHED || o->commit_seq ? -EBUSY : 0;
}

void outgoing_kick_locked(struct outgoing *o)
{
	if (o->link)
		link_wake(o->link);
}

/* Joins bytes to the last WRITE where they follow it; the count taken. */
static size_t join_locked(struct outgoing *o, const uint8_t *bytes, size_t len,
    uint64_t offset) REQUIRES(o->lock)
{
	struct op *op = TAILQ_LAST(&o->ops, op_queue);
	size_t room;

	if (!op || !op->open || op->offset + op->len != offset)
		return 0;
	room = op->cap - op->len;
	if (len > room)
		len = room;
	memcpy(op->data + op->len, bytes, len);
	ophash_bytes(o->hash, bytes, len);
	op->len += len;
	return len;
}

/* Memory for a new WRITE, within the share or the least that is promised. */
static uint8_t *room_locked(struct outgoing *o, size_t want, bool least,
    size_t *ret_cap) REQUIRES(o->lock)
{
	unsigned n = atomic_load(&o->peer->table->n_transfers);
	size_t share = outgoing_share(o);
	size_t over = n > FEW_TRANSFERS       ? 0
		      : share < OVERSHOOT_MAX ? share
					      : OVERSHOOT_MAX;
	size_t max = n > FEW_TRANSFERS ? POOL_CHUNK : POOL_RUN_MAX;
	uint8_t *data = NULL;

	if (want > max)
		want = max;
	if (o->held < share + over)
		data = pool_take(pool_of(o), want, ret_cap);
	if (!data && least) {
		data = pool_take_least(pool_of(o));
		*ret_cap = POOL_CHUNK;
	}
	return data;
}

static size_t append_locked(struct outgoing *o, const uint8_t *bytes,
    size_t len, uint64_t offset, bool least) REQUIRES(o->lock)
{
	size_t cap;
	uint8_t *data = room_locked(o, len, least, &cap);
	struct op *op;

	if (!data)
		return 0;
	op = op_add_locked(o, WIRE_WRITE);
	if (!op) {
		pool_give(pool_of(o), data, cap);
		return 0;
	}
	op->data = data;
	op->cap = cap;
	op->open = true;
	o->held += cap;
	op->offset = offset;
	return join_locked(o, bytes, len, offset);
}

/* OUTGOING_PARKED, or what the caller returns when it was interrupted. */
static int park_locked(struct outgoing *o, struct waiter *w, uint64_t seq,
    bool is_write, int64_t result) REQUIRES(o->lock)
{
	if (w->cancelled)
		return is_write ? 0 : -EINTR;
	w->seq = seq;
	w->is_write = is_write;
	w->result = result;
	w->parked = true;
	TAILQ_INSERT_TAIL(&o->waiters, w, link);
	return OUTGOING_PARKED;
}

int outgoing_write(struct outgoing *o, const void *bytes, size_t len,
    uint64_t offset, struct waiter *w, size_t *ret_taken)
{
	const uint8_t *p = bytes;
	size_t taken = 0, n;
	int r;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EFBIG;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	while (!r && taken < len) {
		n = join_locked(o, p + taken, len - taken, offset + taken);
		if (!n)
			n = append_locked(o, p + taken, len - taken,
			    offset + taken, taken == 0);
		if (!n)
			break;
		taken += n;
	}
	if (!r && !taken && len)
		r = -ENOMEM;
	if (!r) {
		if (offset + taken > o->size)
			o->size = offset + taken;
		if (!outgoing_may_answer_locked(o))
			r = park_locked(o, w, 0, true, (int64_t)taken);
		if (r == 0)
			*ret_taken = taken;
		outgoing_kick_locked(o);
	}
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_truncate(struct outgoing *o, uint64_t size)
{
	struct wire_msg m = { .type = WIRE_TRUNCATE };
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	m.truncate.size = size;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r && size == o->size)
		goto out; /* nothing would change there */
	if (!r)
		r = op_pack_locked(o, &m, NULL);
	if (!r) {
		o->size = size;
		ophash_trailer(o->hash, WIRE_TRUNCATE, o->last_seq, size, 0);
	}
out:
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_meta(struct outgoing *o, const struct wire_meta *meta)
{
	struct wire_msg m = { .type = WIRE_META };
	int r;

	m.meta.meta = *meta;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r)
		r = op_pack_locked(o, &m, NULL);
	if (!r)
		ophash_meta(o->hash, o->last_seq, meta);
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_xattr(struct outgoing *o, const struct wire_xattr *x)
{
	struct wire_msg m = { .type = WIRE_XATTR };
	struct op *op;
	int r;

	m.xattr.xattr = *x;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r && o->packed && o->packed + x->len > XATTRS_MAX)
		r = -ENOSPC;
	if (!r)
		r = op_pack_locked(o, &m, &op);
	if (!r) {
		o->packed += op->msg->len;
		ophash_xattr(o->hash, o->last_seq, x);
	}
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_move(struct outgoing *o, struct outdir *parent, const char *name)
{
	struct wire_msg m = { .type = WIRE_MOVE };
	struct op *op;
	int r;

	if (parent)
		memcpy(m.move.parent, outdir_id(parent), WIRE_ID_BYTES);
	strncpy(m.move.name, name, WIRE_NAME_MAX);
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r)
		r = op_pack_locked(o, &m, &op);
	if (!r) {
		op->dir = parent ? outdir_get(parent) : NULL;
		takes_name_locked(o, op);
		ophash_move(o->hash, o->last_seq, m.move.parent, name);
	}
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_reserve(struct outgoing *o, uint64_t offset, uint64_t len,
    enum wire_reserve how, struct waiter *w)
{
	struct wire_msg m = { .type = WIRE_RESERVE };
	bool grows = how == WIRE_RESERVE_EXTEND || how == WIRE_RESERVE_ZERO;
	int r;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EFBIG;
	if (len == 0)
		return -EINVAL;
	m.reserve.offset = offset;
	m.reserve.len = len;
	m.reserve.how = how;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r)
		r = op_pack_locked(o, &m, NULL);
	if (!r) {
		ophash_trailer(o->hash, WIRE_RESERVE, o->last_seq, offset, len);
		if (grows && offset + len > o->size)
			o->size = offset + len;
		if (w)
			r = park_locked(o, w, o->last_seq, false, 0);
	}
	mutex_unlock(&o->lock);
	return r;
}

/* CHECKPOINT or COMMIT at the end of the window, and somebody to wait for it.
 */
static int seal_locked(struct outgoing *o, enum wire_type type, bool hold,
    struct waiter *w) REQUIRES(o->lock)
{
	struct op *last = TAILQ_LAST(&o->ops, op_queue);
	struct wire_msg m = { .type = type };
	struct op *op;
	int r;

	if (last) /* the digest is of whole operations */
		outgoing_close_op_locked(o, last);
	m.commit.size = o->size;
	m.commit.count = o->count;
	m.commit.hold = hold;
	ophash_digest(o->hash, m.commit.hash);
	r = op_pack_locked(o, &m, &op);
	if (r)
		return r;
	op->hold = hold;
	if (type == WIRE_COMMIT && !hold)
		takes_name_locked(o, op);
	return park_locked(o, w, o->last_seq, false, 0);
}

/* anyway: also where there is nothing to check yet. */
static int checkpoint(struct outgoing *o, bool anyway, struct waiter *w)
{
	bool first;
	int r;

	mutex_lock(&o->lock);
	first = anyway && !o->checked_seq;
	r = o->error;
	if (!r && o->state == OUTGOING_PUBLISHED) {
		r = 0;
	} else if (!r && o->commit_seq) {
		r = park_locked(o, w, o->commit_seq, false, 0);
	} else if (!r && (first || o->last_seq > o->checked_seq)) {
		r = seal_locked(o, WIRE_CHECKPOINT, false, w);
		if (r != -ENOMEM)
			o->checked_seq = o->last_seq;
	} else if (!r && o->acked_seq < o->checked_seq) {
		r = park_locked(o, w, o->checked_seq, false, 0);
	}
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_checkpoint(struct outgoing *o, struct waiter *w)
{
	return checkpoint(o, false, w);
}

int outgoing_sync(struct outgoing *o, struct waiter *w)
{
	return checkpoint(o, true, w);
}

int outgoing_commit(struct outgoing *o, bool hold, struct waiter *w)
{
	int r;

	mutex_lock(&o->lock);
	r = o->error;
	if (!r && o->state == OUTGOING_PUBLISHED) {
		r = 0;
	} else if (!r && o->commit_seq) {
		r = park_locked(o, w, o->commit_seq, false, 0);
	} else if (!r) {
		r = seal_locked(o, WIRE_COMMIT, hold, w);
		if (r != -ENOMEM)
			o->commit_seq = o->last_seq;
	}
	mutex_unlock(&o->lock);
	return r;
}

bool outgoing_overfull(struct outgoing *o)
{
	bool r;

	mutex_lock(&o->lock);
	r = o->held > outgoing_share(o) + OVERSHOOT_MAX + OVERFULL_MORE;
	mutex_unlock(&o->lock);
	return r;
}

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
#include "treeop.h"

enum {
	SHARE_MAX = 2 * 1024 * 1024,
	OVERSHOOT_MAX = 1024 * 1024, /* one request of the kernel */
	OVERFULL_MORE = 256 * 1024,  /* some writes of the least size */
	/* As long as no more are open: records of 256 KiB, which both sides
	 * need buffers for. */
	FEW_TRANSFERS = 8,
	OPS_MAX = 16384, /* not yet acknowledged; their data are bounded */
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
	if (o->next == op)
		o->next = NULL;
	free(op);
	if (o->windowed && TAILQ_EMPTY(&o->ops)) {
		o->windowed = false;
		atomic_fetch_sub(&o->peer->table->windows, 1);
	}
}

/* Ends the WRITE that is still open: from now on it can be sent as it is. */
static void close_last_locked(struct outgoing *o) REQUIRES(o->lock)
{
	struct op *op = TAILQ_LAST(&o->ops, op_queue);

	if (!op || !op->open)
		return;
	op->open = false;
	ophash_trailer(o->hash, WIRE_WRITE, op->msg.write.seq,
	    op->msg.write.offset, op->msg.write.len);
}

/* Appends an operation of this type with the next number, not yet hashed. */
static struct op *op_add_locked(struct outgoing *o, enum wire_type type)
    REQUIRES(o->lock)
{
	bool full = o->n_ops >= OPS_MAX && type != WIRE_COMMIT;
	struct op *op = full ? NULL : calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	close_last_locked(o);
	o->n_ops++;
	op->msg.type = type;
	TAILQ_INSERT_TAIL(&o->ops, op, entry);
	if (!o->next)
		o->next = op;
	o->last_seq++;
	o->count += type != WIRE_CHECKPOINT && type != WIRE_COMMIT;
	if (!o->windowed) {
		o->windowed = true;
		atomic_fetch_add(&o->peer->table->windows, 1);
	}
	return op;
}

/* What forbids a new operation, or 0. */
static int refused_locked(struct outgoing *o) REQUIRES(o->lock)
{
	if (o->error)
		return o->error;
	/* A version of a delivered file needs what this protocol version
	 * does not have. */
	if (o->state == OUTGOING_PUBLISHED || o->commit_seq)
		return -EOPNOTSUPP;
	return 0;
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

	if (!op || !op->open ||
	    op->msg.write.offset + op->msg.write.len != offset)
		return 0;
	room = op->cap - op->msg.write.len;
	if (len > room)
		len = room;
	memcpy(op->data + op->msg.write.len, bytes, len);
	ophash_bytes(o->hash, bytes, len);
	op->msg.write.len += len;
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
	op->msg.write.seq = o->last_seq;
	op->msg.write.offset = offset;
	op->msg.write.bytes = data;
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
		if (o->held >= outgoing_share(o) ||
		    (!o->presumed && o->state < OUTGOING_ACCEPTED))
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
	struct op *op;
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r && size == o->size)
		goto out; /* nothing would change there */
	if (!r && !(op = op_add_locked(o, WIRE_TRUNCATE)))
		r = -ENOMEM;
	if (!r) {
		op->msg.truncate.seq = o->last_seq;
		op->msg.truncate.size = o->size = size;
		ophash_trailer(o->hash, WIRE_TRUNCATE, o->last_seq, size, 0);
		outgoing_kick_locked(o);
	}
out:
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_meta(struct outgoing *o, const struct wire_meta *m)
{
	struct op *op;
	bool late;
	int r = 0;

	mutex_lock(&o->lock);
	late = o->commit_seq || o->state == OUTGOING_PUBLISHED;
	if (!late) {
		r = refused_locked(o);
		if (!r && !(op = op_add_locked(o, WIRE_META)))
			r = -ENOMEM;
		if (!r) {
			op->msg.meta.seq = o->last_seq;
			op->msg.meta.meta = *m;
			ophash_meta(o->hash, o->last_seq, m);
			outgoing_kick_locked(o);
		}
	}
	mutex_unlock(&o->lock);
	return late ? treeop_patch(o->peer, o->offer.id, m) : r;
}

int outgoing_patch(struct peer *peer, const uint8_t id[WIRE_ID_BYTES],
    const struct wire_meta *m)
{
	return treeop_patch(peer, id, m);
}

int outgoing_reserve(struct outgoing *o, uint64_t offset, uint64_t len,
    bool keep_size, struct waiter *w)
{
	struct op *op;
	int r;

	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return -EFBIG;
	if (len == 0)
		return -EINVAL;
	mutex_lock(&o->lock);
	r = refused_locked(o);
	if (!r && !(op = op_add_locked(o, WIRE_RESERVE)))
		r = -ENOMEM;
	if (!r) {
		op->msg.reserve.seq = o->last_seq;
		op->msg.reserve.offset = offset;
		op->msg.reserve.len = len;
		op->msg.reserve.keep_size = keep_size;
		ophash_trailer(o->hash, WIRE_RESERVE, o->last_seq, offset, len);
		if (!keep_size && offset + len > o->size)
			o->size = offset + len;
		r = park_locked(o, w, o->last_seq, false, 0);
		outgoing_kick_locked(o);
	}
	mutex_unlock(&o->lock);
	return r;
}

/* CHECKPOINT or COMMIT at the end of the window, and somebody to wait for it.
 */
static int seal_locked(
    struct outgoing *o, enum wire_type type, struct waiter *w) REQUIRES(o->lock)
{
	struct op *op = op_add_locked(o, type);

	if (!op)
		return -ENOMEM;
	op->msg.commit.seq = o->last_seq;
	op->msg.commit.size = o->size;
	op->msg.commit.count = o->count;
	ophash_digest(o->hash, op->msg.commit.hash);
	outgoing_kick_locked(o);
	return park_locked(o, w, o->last_seq, false, 0);
}

int outgoing_checkpoint(struct outgoing *o, struct waiter *w)
{
	int r;

	mutex_lock(&o->lock);
	r = o->error;
	if (!r && o->state == OUTGOING_PUBLISHED) {
		r = 0;
	} else if (!r && o->commit_seq) {
		r = park_locked(o, w, o->commit_seq, false, 0);
	} else if (!r && o->last_seq > o->checked_seq) {
		r = seal_locked(o, WIRE_CHECKPOINT, w);
		if (r != -ENOMEM)
			o->checked_seq = o->last_seq;
	} else if (!r && o->acked_seq < o->checked_seq) {
		r = park_locked(o, w, o->checked_seq, false, 0);
	}
	mutex_unlock(&o->lock);
	return r;
}

int outgoing_commit(struct outgoing *o, struct waiter *w)
{
	int r;

	mutex_lock(&o->lock);
	r = o->error;
	if (!r && o->state == OUTGOING_PUBLISHED) {
		r = 0;
	} else if (!r && o->commit_seq) {
		r = park_locked(o, w, o->commit_seq, false, 0);
	} else if (!r) {
		r = seal_locked(o, WIRE_COMMIT, w);
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

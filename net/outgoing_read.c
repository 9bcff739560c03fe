/*
 * Reading back what is uncommitted, from the peer's spool. A reader stands
 * between the operations that were entered before it and those that came later:
 * its READs leave after the former and before the latter, and since the peer
 * works in order, their DATA say what the program has written, no more and no
 * less. READs have no number among the operations, and are sent once more on a
 * new connection as long as they have no answer.
 *
 * outgoing_read is the program's side (any thread); the rest is the link's.
 */
#include <errno.h>
#include <string.h>

#include "link.h"
#include "outgoing_internal.h"

int outgoing_read(struct outgoing *o, void *buf, size_t len, uint64_t offset,
    struct waiter *w)
{
	int r;

	mutex_lock(&o->lock);
	r = o->error;
	if (!r && (o->state == OUTGOING_PUBLISHED || o->commit_seq ||
		      (o->versioned && !o->last_seq)))
		r = -EACCES;
	if (!r && w->cancelled)
		r = -EINTR;
	if (!r && len > 0 && offset < o->size) {
		w->buf = buf;
		w->offset = offset;
		w->len =
		    len < o->size - offset ? len : (size_t)(o->size - offset);
		w->asked = w->got = 0;
		w->seq = o->last_seq;
		w->is_read = w->parked = true;
		TAILQ_INSERT_TAIL(&o->readers, w, link);
		outgoing_kick_locked(o);
		r = OUTGOING_PARKED;
	}
	mutex_unlock(&o->lock);
	return r;
}

/* The first reader that has something to ask; NULL: none. */
static struct waiter *asking_locked(const struct outgoing *o) REQUIRES(o->lock)
{
	struct waiter *w;

	TAILQ_FOREACH(w, &o->readers, link)
		if (w->asked < w->len)
			return w;
	return NULL;
}

bool outgoing_read_stands_locked(const struct outgoing *o, uint64_t seq)
{
	const struct waiter *w = asking_locked(o);

	return w && w->seq < seq;
}

static int send_read_locked(
    struct outgoing *o, struct link *l, struct waiter *w) REQUIRES(o->lock)
{
	unsigned at = (o->first_read + o->n_reads) % OUTGOING_READS_MAX;
	struct wire_msg m = { .type = WIRE_READ };
	size_t len = w->len - w->asked;
	int r;

	if (len > WIRE_WRITE_MAX)
		len = WIRE_WRITE_MAX;
	m.read.req = l->last_req + 1;
	m.read.offset = w->offset + w->asked;
	m.read.len = (uint32_t)len;
	r = link_queue(l, &m);
	if (r)
		return r;
	l->last_req++;
	o->reads[at] = (struct read){ .req = m.read.req, .w = w, .len = len };
	o->n_reads++;
	w->asked += len;
	return 0;
}

int outgoing_send_reads(struct outgoing *o, struct link *l)
{
	struct waiter *w;
	int r = 0;

	mutex_lock(&o->lock);
	while (!r && o->state != OUTGOING_FAILED &&
	       (o->presumed || o->state == OUTGOING_ACCEPTED) &&
	       (w = asking_locked(o)) && (!o->next || w->seq < o->next->seq)) {
		if (o->n_reads == OUTGOING_READS_MAX)
			r = 1;
		else
			r = send_read_locked(o, l, w);
	}
	mutex_unlock(&o->lock);
	return r;
}

/* --- answers ---------------------------------------------------------------
 */

void outgoing_unread_locked(struct outgoing *o, struct waiter *w)
{
	TAILQ_REMOVE(&o->readers, w, link);
	w->parked = false;
	for (unsigned i = 0; i < OUTGOING_READS_MAX; i++)
		if (o->reads[i].w == w)
			o->reads[i].w = NULL;
}

void outgoing_fail_reads_locked(
    struct outgoing *o, int err, struct waiter_list *ret)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&o->readers))) {
		outgoing_unread_locked(o, w);
		w->result = err;
		TAILQ_INSERT_TAIL(ret, w, link);
	}
}

void outgoing_rewind_reads_locked(struct outgoing *o)
{
	struct waiter *w;

	memset(o->reads, 0, sizeof(o->reads));
	o->first_read = o->n_reads = 0;
	TAILQ_FOREACH(w, &o->readers, link)
		w->asked = w->got = 0;
}

/* What read, the oldest, was answered; moves a reader that has all to *ret. */
static int data_locked(struct outgoing *o, const struct read *read,
    const struct wire_msg *m, struct waiter_list *ret) REQUIRES(o->lock)
{
	struct waiter *w = read->w;
	size_t len = m->data.len;

	if (len > read->len)
		return -EPROTO;
	if (!w)
		return 0;
	if (len)
		memcpy(w->buf + w->got, m->data.bytes, len);
	w->got += len;
	w->result = (int64_t)w->got;
	if (m->data.code != WIRE_OK)
		w->result = wire_code_to_errno(m->data.code);
	else if (len == read->len && w->got < w->len)
		return 0;
	outgoing_unread_locked(o, w);
	TAILQ_INSERT_TAIL(ret, w, link);
	return 0;
}

int outgoing_on_data(
    struct outgoing *o, const struct link *l, const struct wire_msg *m)
{
	struct waiter_list ready = TAILQ_HEAD_INITIALIZER(ready);
	struct read read;
	int r = -EPROTO;

	mutex_lock(&o->lock);
	read = o->reads[o->first_read];
	if (o->n_reads && read.req == m->data.req) {
		o->first_read = (o->first_read + 1) % OUTGOING_READS_MAX;
		o->n_reads--;
		r = data_locked(o, &read, m, &ready);
	} else if (link_late_answer(l, m)) {
		r = 0;
	}
	mutex_unlock(&o->lock);
	outgoing_tell(&ready);
	return r;
}

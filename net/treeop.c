/*
 * The queue of directory operations of a peer. Callers add (any thread); one
 * link at a time takes them off and waits for each answer, so that they arrive
 * in the order in which the program made them.
 *
 * A MKDIR that fails is not reported here: the files below it get its error,
 * because each of their connections asks again (net/outgoing_run.c).
 */
#include "treeop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "log.h"
#include "random.h"

static void treeop_free(struct treeop *t)
{
	if (!t)
		return;
	outdir_put(t->dir);
	free(t);
}

static int add(struct peer *p, struct outdir *dir, const struct wire_msg *m)
{
	struct treeop *op = calloc(1, sizeof(*op));
	struct peers *t = p->table;
	int r = 0;

	if (!op)
		return -ENOMEM;
	op->msg = *m;
	op->dir = dir ? outdir_get(dir) : NULL;
	mutex_lock(&t->lock);
	if (p->n_treeops >= PEER_TREEOPS_MAX)
		r = -EAGAIN;
	else if (!p->listed)
		r = -EHOSTUNREACH;
	if (!r) {
		STAILQ_INSERT_TAIL(&p->treeops, op, next);
		p->n_treeops++;
		peer_kick_locked(t, p);
	}
	mutex_unlock(&t->lock);
	if (r)
		treeop_free(op);
	return r;
}

int treeop_patch(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m)
{
	struct wire_msg msg = { .type = WIRE_PATCH };

	memcpy(msg.patch.id, id, WIRE_ID_BYTES);
	msg.patch.meta = *m;
	return add(p, NULL, &msg);
}

int outdir_new(struct peer *peer, struct outdir *parent, const char *name,
    uint32_t mode, struct outdir **ret)
{
	struct outdir *d = calloc(1, sizeof(*d));
	struct wire_msg m = { .type = WIRE_MKDIR };
	struct peers *t = peer->table;
	int r;

	if (!d)
		return -ENOMEM;
	mutex_lock(&t->lock);
	r = peer_known_error_locked(t, peer);
	mutex_unlock(&t->lock);
	if (r) {
		free(d);
		return r;
	}
	atomic_init(&d->refs, 1);
	d->peer = peer_get(peer);
	d->parent = parent ? outdir_get(parent) : NULL;
	random_bytes(d->mkdir.id, WIRE_ID_BYTES);
	if (parent)
		memcpy(d->mkdir.parent, parent->mkdir.id, WIRE_ID_BYTES);
	d->mkdir.mode = mode & 0777;
	strncpy(d->mkdir.name, name, WIRE_NAME_MAX);
	m.mkdir = d->mkdir;
	r = add(peer, d, &m);
	if (r)
		outdir_put(d);
	else
		*ret = d;
	return r;
}

struct outdir *outdir_get(struct outdir *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

void outdir_put(struct outdir *d)
{
	while (d && atomic_fetch_sub(&d->refs, 1) == 1) {
		struct outdir *parent = d->parent;

		peer_put(d->peer);
		free(d);
		d = parent;
	}
}

int outdir_meta(struct outdir *d, const struct wire_meta *m)
{
	return treeop_patch(d->peer, d->mkdir.id, m);
}

static struct treeop *first(struct peer *p)
{
	struct treeop *t;

	mutex_lock(&p->table->lock);
	t = STAILQ_FIRST(&p->treeops);
	mutex_unlock(&p->table->lock);
	return t;
}

/* Only the link that works on them removes: first() stays the first. */
static void done(struct peer *p, struct treeop *t)
{
	mutex_lock(&p->table->lock);
	STAILQ_REMOVE_HEAD(&p->treeops, next);
	p->n_treeops--;
	mutex_unlock(&p->table->lock);
	treeop_free(t);
}

int treeop_run(struct link *l)
{
	struct peer *p = l->peer;
	struct treeop *t;
	int result = 0;
	int r = 0;

	while (!r && (t = first(p))) {
		bool needless = t->msg.type == WIRE_MKDIR && t->dir &&
				atomic_load(&t->dir->made);

		if (!needless) {
			r = link_request(l, &t->msg, &result);
			if (r)
				break;
			if (result)
				log_info("the peer could not do a %s: %s",
				    wire_type_name(t->msg.type),
				    strerror(-result));
			else if (t->dir && t->msg.type == WIRE_MKDIR)
				atomic_store(&t->dir->made, true);
		}
		done(p, t);
	}
	mutex_lock(&p->table->lock);
	p->tree_busy = false;
	mutex_unlock(&p->table->lock);
	return r;
}

void treeop_clear_locked(struct peers *t, struct peer *p)
{
	struct treeop_queue gone = STAILQ_HEAD_INITIALIZER(gone);
	struct treeop *op;

	STAILQ_CONCAT(&gone, &p->treeops);
	p->n_treeops = 0;
	mutex_unlock(&t->lock);
	while ((op = STAILQ_FIRST(&gone))) {
		STAILQ_REMOVE_HEAD(&gone, next);
		treeop_free(op);
	}
	mutex_lock(&t->lock);
}

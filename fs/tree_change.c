/*
 * Called in FUSE workers; what was kept is sent by the thread that tells of the
 * commit's end.
 */
#include "tree_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tree_internal.h"

/* One of the two. */
struct change {
	struct wire_meta meta;
	const struct wire_xattr *xattr; /* NULL: meta */
};

/* One that waits for the end of a commit. */
struct late {
	struct waiter waiter; /* first */
	struct mount *m;
	struct node *n; /* held */
	struct outgoing *out;
	struct change change;
	struct wire_xattr xattr; /* change.xattr is this, or NULL */
	uint8_t bytes[];         /* its value */
};

static int send_locked(struct mount *m, struct node *n, const struct change *c);

static void late_free_locked(struct late *l)
{
	node_unref_locked(l->m->nodes, l->n, 1);
	outgoing_put(l->out);
	free(l);
}

static void committed(struct waiter *w, int64_t result)
{
	struct late *l = (struct late *)w;
	struct mutex *lock = nodes_mutex(l->m->nodes);
	int r = 0;

	mutex_lock(lock);
	if (result >= 0)
		r = send_locked(l->m, l->n, &l->change);
	if (r)
		log_info("what was changed during a commit is not at the peer: "
			 "%s",
		    strerror(-r));
	late_free_locked(l);
	mutex_unlock(lock);
}

/* OUTGOING_PARKED: it will be sent. 0: the commit has just ended. */
static int keep_locked(struct mount *m, struct node *n, const struct change *c)
{
	size_t len = c->xattr ? c->xattr->len : 0;
	struct late *l = calloc(1, sizeof(*l) + len);
	int r;

	if (!l)
		return -ENOMEM;
	l->waiter.done = committed;
	l->m = m;
	l->change = *c;
	if (c->xattr) {
		l->xattr = *c->xattr;
		if (len)
			memcpy(l->bytes, c->xattr->bytes, len);
		l->xattr.bytes = l->bytes;
		l->change.xattr = &l->xattr;
	}
	node_ref_locked(n, 1);
	l->n = n;
	l->out = outgoing_get(n->out);
	r = outgoing_checkpoint(l->out, &l->waiter);
	if (r != OUTGOING_PARKED)
		late_free_locked(l);
	return r;
}

static int operate(struct outgoing *o, const struct change *c)
{
	return c->xattr ? outgoing_xattr(o, c->xattr)
			: outgoing_meta(o, &c->meta);
}

static int request(struct peer *p, const uint8_t *id, const struct change *c)
{
	return c->xattr ? request_xattr(p, id, c->xattr)
			: request_patch(p, id, &c->meta);
}

static int send_locked(struct mount *m, struct node *n, const struct change *c)
{
	const uint8_t *id;
	int r = n->out ? operate(n->out, c) : -EBUSY;

	if (r != -EBUSY)
		return r;
	r = tree_in_flight_locked(n) ? keep_locked(m, n, c) : 0;
	if (r)
		return r == OUTGOING_PARKED ? 0 : r;
	id = tree_id_locked(n);
	return id ? request(n->peer, id, c) : -ENOENT;
}

int tree_change_meta_locked(
    struct mount *m, struct node *n, const struct wire_meta *meta)
{
	struct change c = { .meta = *meta };

	return send_locked(m, n, &c);
}

int tree_change_xattr_locked(
    struct mount *m, struct node *n, const struct wire_xattr *x)
{
	struct change c = { .xattr = x };

	return send_locked(m, n, &c);
}

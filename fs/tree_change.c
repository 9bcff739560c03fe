/*
 * Called in FUSE workers; what was kept is sent by the thread that tells of the
 * commit's end.
 *
 * What is kept belongs to one commit, and goes to what that has made, whatever
 * the file has become by then. Until it has gone, what follows is kept behind
 * it, so that the newest wins; a version that begins meanwhile takes a copy of
 * the attributes along, and all that follows is that one's.
 */
#include "tree_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "log.h"
#include "meta.h"
#include "tree_internal.h"

enum {
	/* Bytes of attributes that are kept, beyond a file's first. */
	LATE_FILE_MAX = 64 * 1024,
	LATE_ALL_MAX = 1024 * 1024, /* ... of all files */
};

/* One of the two. */
struct change {
	struct wire_meta meta;
	const struct wire_xattr *xattr; /* NULL: meta */
};

/* An attribute that waits. */
struct kept {
	STAILQ_ENTRY(kept) next;
	struct wire_xattr xattr;
	uint8_t bytes[]; /* its value */
};

/* What waits for the end of a commit. Under the nodes' lock. */
struct late {
	struct waiter waiter; /* first */
	struct mount *m;
	struct node *n; /* held */
	struct outgoing *out;
	struct wire_meta meta; /* all of them, merged */
	STAILQ_HEAD(, kept) xattrs;
	size_t bytes;
};

/* --- what is kept ----------------------------------------------------------
 */

static size_t kept_bytes(const struct wire_xattr *x)
{
	return sizeof(struct kept) + x->len;
}

static void forget_locked(struct late *l, struct kept *k)
{
	size_t bytes = kept_bytes(&k->xattr);

	STAILQ_REMOVE(&l->xattrs, k, kept, next);
	l->bytes -= bytes;
	l->m->late_bytes -= bytes;
	free(k);
}

static void late_free_locked(struct late *l)
{
	struct kept *k;

	while ((k = STAILQ_FIRST(&l->xattrs)))
		forget_locked(l, k);
	if (l->n->late == l)
		l->n->late = NULL;
	node_unref_locked(l->m->nodes, l->n, 1);
	outgoing_put(l->out);
	free(l);
}

static int keep_xattr_locked(struct late *l, const struct wire_xattr *x)
{
	size_t bytes = kept_bytes(x), others, all;
	struct kept *k, *old;

	STAILQ_FOREACH(old, &l->xattrs, next)
		if (!strcmp(old->xattr.name, x->name))
			break;
	others = l->bytes - (old ? kept_bytes(&old->xattr) : 0);
	all = l->m->late_bytes - l->bytes + others;
	if ((others && others + bytes > LATE_FILE_MAX) ||
	    all + bytes > LATE_ALL_MAX)
		return -ENOSPC;
	k = malloc(sizeof(*k) + x->len);
	if (!k)
		return -ENOMEM;
	k->xattr = *x;
	if (x->len)
		memcpy(k->bytes, x->bytes, x->len);
	k->xattr.bytes = k->bytes;
	if (old)
		forget_locked(l, old);
	STAILQ_INSERT_TAIL(&l->xattrs, k, next);
	l->bytes += bytes;
	l->m->late_bytes += bytes;
	return 0;
}

static int keep_locked(struct late *l, const struct change *c)
{
	if (c->xattr)
		return keep_xattr_locked(l, c->xattr);
	meta_merge(&l->meta, &c->meta);
	return 0;
}

/* The commit has ended well. 0 or -errno. */
static int send_late_locked(const struct late *l)
{
	const uint8_t *id = outgoing_id(l->out);
	struct peer *p = l->n->peer;
	const struct kept *k;
	int r = 0;

	STAILQ_FOREACH(k, &l->xattrs, next) {
		r = request_xattr(p, id, &k->xattr);
		if (r)
			return r;
	}
	return l->meta.mask ? request_patch(p, id, &l->meta) : 0;
}

static void committed(struct waiter *w, int64_t result)
{
	struct late *l = (struct late *)w;
	struct mutex *lock = nodes_mutex(l->m->nodes);
	int r = 0;

	mutex_lock(lock);
	if (result >= 0)
		r = send_late_locked(l);
	late_free_locked(l);
	mutex_unlock(lock);
	if (r)
		log_info("what was changed during a commit is not at the peer: "
			 "%s",
		    strerror(-r));
}

/* OUTGOING_PARKED: it will be sent. 0: the commit has just ended. */
static int wait_locked(struct mount *m, struct node *n, const struct change *c)
{
	struct late *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->waiter.done = committed;
	l->m = m;
	STAILQ_INIT(&l->xattrs);
	node_ref_locked(n, 1);
	l->n = n;
	l->out = outgoing_get(n->out);
	r = keep_locked(l, c);
	if (!r)
		r = outgoing_checkpoint(l->out, &l->waiter);
	if (r == OUTGOING_PARKED)
		n->late = l;
	else
		late_free_locked(l);
	return r;
}

/* --- what is sent ----------------------------------------------------------
 */

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
	int r;

	r = n->out ? operate(n->out, c) : -EBUSY;
	if (r != -EBUSY)
		return r;
	if (n->late && (!n->out || n->out == n->late->out))
		return keep_locked(n->late, c);
	r = tree_in_flight_locked(n) ? wait_locked(m, n, c) : 0;
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

int tree_change_carry_locked(const struct node *n, struct outgoing *o)
{
	const struct late *l = n->late;
	const struct kept *k;
	int r = 0;

	if (!l)
		return 0;
	STAILQ_FOREACH(k, &l->xattrs, next)
		if (!r)
			r = outgoing_xattr(o, &k->xattr);
	return r;
}

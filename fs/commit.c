/*
 * The table of design section 2, from /proc. At FLUSH the caller is blocked in
 * close(2) or in its exit, so what is read there is true at that moment.
 *
 * Where a process cannot be looked at (another pid namespace, setuid, another
 * user), each close that has something uncommitted commits: that is what close
 * means to a program that knows nothing of us.
 */
#include "commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

void commit_note_writer(struct open_file *f, pid_t tid)
{
	struct procs_id id;

	f->used = true;
	if (f->noted == tid || f->unknown || procs_identify(tid, &id))
		return;
	f->noted = tid;
	if (procs_same(&id, &f->opener))
		f->stdio = procs_is_stdio(&id, &f->file);
	else
		f->heirs = procs_is_stdio(&id, &f->file);
}

/* Its end, with the file in its hands, is the end of the transfer too. */
static bool ended_badly(const struct procs_caller *c, bool stdio)
{
	return c->exiting && (c->killed || (c->status != 0 && !stdio));
}

static enum commit_action by_opener(
    struct open_file *f, const struct procs_caller *c)
{
	struct procs_holders h;
	int r;

	if (ended_badly(c, f->stdio))
		return COMMIT_ABORT;
	if (!c->readable)
		return COMMIT_PUBLISH;
	r = procs_holders(&c->id, &f->file, &h);
	if (r)
		return COMMIT_PUBLISH;
	/* echo >&5 makes 5 its standard output, but only for a moment. One
	 * that exits shows no descriptors: what was seen before stands. */
	if (!c->exiting) {
		f->stdio = h.stdio;
		f->noted = 0;
	}
	return h.own + h.descendants ? COMMIT_CHECKPOINT : COMMIT_PUBLISH;
}

enum commit_action commit_on_flush(
    struct open_file *f, pid_t tid, int *ret_error)
{
	struct procs_caller c;

	f->used = true;
	*ret_error = outgoing_error(f->out);
	if (*ret_error || !outgoing_uncommitted(f->out))
		return COMMIT_NOTHING;
	if (f->unknown || procs_caller(tid, &c))
		return COMMIT_PUBLISH;
	if (procs_same(&c.id, &f->opener))
		return by_opener(f, &c);
	/* The last one to hold it stands in for an opener that has gone. */
	if (!procs_alive(&f->opener))
		f->doomed = ended_badly(&c, f->stdio || f->heirs);
	return COMMIT_CHECKPOINT;
}

/* What n shows of its transfer o, which no program has open any more. */
static void settle_locked(struct mount *m, struct node *n, struct outgoing *o)
{
	if (n->out != o)
		return;
	n->size = outgoing_size(o);
	memcpy(n->out_id, outgoing_id(o), WIRE_ID_BYTES);
	n->delivered = outgoing_published(o);
	if (n->delivered) {
		outgoing_put(o);
		n->out = NULL;
		node_delivered_locked(m->nodes, n);
	} else if (outgoing_error(o)) {
		/* Nothing of it is there: nothing is listed. */
		node_unlist_locked(m->nodes, n);
	}
}

/* Who waits for a commit that no program waits for. */
struct orphan {
	struct waiter waiter; /* first */
	struct mount *m;
	struct node *node; /* held */
	struct outgoing *out;
};

static void orphan_done(struct waiter *w, int64_t result)
{
	struct orphan *o = (struct orphan *)w;

	if (result < 0)
		log_warning("a file whose last close could not wait was not "
			    "delivered (%d)",
		    (int)result);
	mutex_lock(nodes_mutex(o->m->nodes));
	settle_locked(o->m, o->node, o->out);
	node_unref_locked(o->m->nodes, o->node, 1);
	mutex_unlock(nodes_mutex(o->m->nodes));
	outgoing_put(o->out);
	free(o);
}

static void commit_unseen(struct mount *m, struct node *n, struct outgoing *out)
{
	struct orphan *o = calloc(1, sizeof(*o));
	int r;

	if (!o) {
		outgoing_abort(out, -ENOMEM);
		return;
	}
	o->waiter.done = orphan_done;
	o->m = m;
	o->out = outgoing_get(out);
	mutex_lock(nodes_mutex(m->nodes));
	node_ref_locked(n, 1);
	mutex_unlock(nodes_mutex(m->nodes));
	o->node = n;
	r = outgoing_commit(out, &o->waiter);
	if (r != OUTGOING_PARKED)
		orphan_done(&o->waiter, r);
}

/* Does another description of the same transfer stay open? */
static bool has_twin_locked(const struct mount *m, const struct open_file *f)
{
	const struct open_file *other;

	LIST_FOREACH(other, &m->open_files, entry)
		if (other->out == f->out)
			return true;
	return false;
}

void commit_release(struct mount *m, struct open_file *f)
{
	struct node *n = f->node;
	bool last;

	mutex_lock(nodes_mutex(m->nodes));
	LIST_REMOVE(f, entry);
	last = !has_twin_locked(m, f);
	mutex_unlock(nodes_mutex(m->nodes));
	if (last && outgoing_uncommitted(f->out)) {
		/* Unused: its opener was killed before open(2) returned, and
		 * the kernel sends a RELEASE alone. */
		if (f->doomed || !f->used)
			outgoing_abort(f->out, -ECANCELED);
		else
			commit_unseen(m, n, f->out);
	}
	mutex_lock(nodes_mutex(m->nodes));
	if (last && !has_twin_locked(m, f))
		settle_locked(m, n, f->out);
	node_unref_locked(m->nodes, n, 1);
	mutex_unlock(nodes_mutex(m->nodes));
	outgoing_put(f->out);
	free(f);
}

void commit_release_all(struct mount *m)
{
	struct open_file *f;

	while ((f = LIST_FIRST(&m->open_files)))
		commit_release(m, f);
}

/*
 * The table of design section 2, from /proc. At FLUSH the caller is blocked in
 * close(2) or in its exit, so what is read there is true at that moment.
 *
 * Where a process cannot be looked at (another pid namespace, setuid, another
 * user), each close that has something uncommitted commits: that is what close
 * means to a program that knows nothing of us. Where only our own descriptors
 * or memory ran out, that is its error: a commit without knowing could publish
 * what a killed writer left.
 */
#include "commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inuse.h"
#include "log.h"
#include "version.h"

/* Other openers of a file that are told from those who inherited it. */
enum { OPENERS_MAX = 16 };

/* --- what a close means ---------------------------------------------------
 */

static void note_stdio(struct open_file *f, bool stdio)
{
	f->stdio = stdio;
	if (stdio)
		f->was_stdio = true;
}

void commit_note_change(struct open_file *f)
{
	f->used = f->wrote = f->changed = true;
}

void commit_note_writer(struct open_file *f, pid_t tid)
{
	struct procs_id id;

	commit_note_change(f);
	if (f->noted == tid || f->unknown || procs_identify(tid, &id))
		return;
	f->noted = tid;
	if (procs_same(&id, &f->opener))
		note_stdio(f, procs_is_stdio(&id, &f->file));
	else
		f->heirs = procs_is_stdio(&id, &f->file);
}

/* Its end, with the file in its hands, is the end of the transfer too. */
static bool ended_badly(const struct procs_caller *c, bool stdio)
{
	return c->exiting && (c->killed || (c->status != 0 && !stdio));
}

/* The other processes that have opened the file of f by its name; changed: only
 * those that have changed it. */
static unsigned openers_of(struct mount *m, const struct open_file *f,
    bool changed, struct procs_id *ret)
{
	const struct open_file *other;
	unsigned n = 0;

	mutex_lock(nodes_mutex(m->nodes));
	LIST_FOREACH(other, &m->open_files, entry)
		if (other->node == f->node && !other->reads &&
		    (other->changed || !changed) &&
		    !procs_same(&other->opener, &f->opener) && n < OPENERS_MAX)
			ret[n++] = other->opener;
	mutex_unlock(nodes_mutex(m->nodes));
	return n;
}

/*
 * What a shell redirected is inherited by programs that the shell need not be
 * an ancestor of any more: { cmd & } > f, a daemon. To look for them takes a
 * while, so files that are never anybody's output (cp -r closes 10,000 one
 * after the other) are spared it.
 */
/* 1, 0, or a shortage (fs/procs.h). */
static int has_heirs(struct mount *m, const struct open_file *f)
{
	struct procs_id openers[OPENERS_MAX];

	if (!f->was_stdio && !f->heirs)
		return 0;
	return procs_orphans(
	    &f->opener, &f->file, openers, openers_of(m, f, false, openers));
}

/* Does another process live that has opened the file (and changed it)? */
static bool others_have(
    struct mount *m, const struct open_file *f, bool changed)
{
	struct procs_id openers[OPENERS_MAX];
	unsigned n = openers_of(m, f, changed, openers);

	while (n--) {
		if (procs_alive(&openers[n]))
			return true;
	}
	return false;
}

/* It only had a look, while another program writes: what becomes of the file is
 * that one's. */
static bool is_bystander(struct mount *m, const struct open_file *f)
{
	return !f->wrote && others_have(m, f, false);
}

/*
 * The opener's end. What it has not changed is as whole as before, where
 * another writes it; where both have, nobody can say what is missing.
 */
static enum commit_action by_death(
    struct mount *m, const struct open_file *f, int *ret_error)
{
	if (f->changed || !others_have(m, f, true))
		return COMMIT_ABORT;
	*ret_error = 0;
	return COMMIT_NOTHING;
}

/* *ret_error: why, where that is COMMIT_ABORT. */
static enum commit_action by_opener(struct mount *m, struct open_file *f,
    const struct procs_caller *c, int *ret_error)
{
	struct procs_holders h;
	int r;

	*ret_error = -ECANCELED;
	if (ended_badly(c, f->stdio))
		return by_death(m, f, ret_error);
	if (!c->readable)
		return COMMIT_PUBLISH;
	r = procs_holders(&f->opener, &f->file, &h);
	if (procs_is_shortage(r))
		goto short_of;
	if (r)
		return COMMIT_PUBLISH;
	/* echo >&5 makes 5 its standard output, but only for a moment. One
	 * that exits shows no descriptors: what was seen before stands. */
	if (!c->exiting) {
		note_stdio(f, h.stdio);
		f->noted = 0;
	}
	if (h.own + h.descendants)
		return COMMIT_CHECKPOINT;
	r = has_heirs(m, f);
	if (procs_is_shortage(r))
		goto short_of;
	return r ? COMMIT_CHECKPOINT : COMMIT_PUBLISH;

short_of:
	*ret_error = r;
	return COMMIT_ABORT;
}

/*
 * Has the opener no part in it any more? A shortage counts as yes: if it has
 * one all the same, its own close commits.
 */
static bool opener_is_out(const struct open_file *f)
{
	struct procs_holders h;
	int r = procs_holders(&f->opener, &f->file, &h);

	if (procs_is_shortage(r) || !procs_alive(&f->opener))
		return true;
	return r == 0 && h.own == 0;
}

enum commit_action commit_on_flush(struct mount *m, struct open_file *f,
    pid_t tid, struct outgoing **ret, int *ret_error)
{
	enum commit_action action = COMMIT_PUBLISH;
	struct procs_caller c = { 0 };
	struct outgoing *o;
	int r;

	f->used = true;
	*ret_error = 0;
	if (f->reads)
		return COMMIT_NOTHING;
	r = f->unknown ? -ESRCH : procs_caller(tid, &c);
	mutex_lock(nodes_mutex(m->nodes));
	f->closer = !r && procs_same(&c.id, &f->opener) ? f->opener : c.id;
	o = version_of_locked(f);
	if (o)
		*ret_error = outgoing_error(o);
	if (!o || *ret_error || !outgoing_uncommitted(o))
		action = COMMIT_NOTHING;
	else
		outgoing_get(o);
	mutex_unlock(nodes_mutex(m->nodes));
	if (action == COMMIT_NOTHING)
		return action;
	if (!r && procs_same(&c.id, &f->opener)) {
		action = by_opener(m, f, &c, ret_error);
	} else if (procs_is_shortage(r)) {
		action = COMMIT_ABORT;
		*ret_error = r;
	} else if (!r) {
		/* The last one to hold it stands in for an opener that has
		 * gone. */
		f->doomed =
		    ended_badly(&c, f->stdio || f->heirs) && opener_is_out(f);
		action = COMMIT_HEIR;
	}
	if (action != COMMIT_HEIR && is_bystander(m, f)) {
		action = COMMIT_NOTHING;
		*ret_error = 0;
	}
	if (action == COMMIT_NOTHING)
		outgoing_put(o);
	else
		*ret = o;
	return action;
}

/* --- commits ---------------------------------------------------------------
 */

static int publish_locked(struct node *n, struct outgoing *o,
    const struct procs_id *writer, struct waiter *w)
{
	n->writer = writer ? *writer : (struct procs_id){ 0 };
	/* Under the lock, so that a rename comes before or after it. */
	return outgoing_commit(o, inuse_of(n->name) != INUSE_NO, w);
}

int commit_publish(
    struct mount *m, struct open_file *f, struct outgoing *o, struct waiter *w)
{
	int r;

	mutex_lock(nodes_mutex(m->nodes));
	r = publish_locked(f->node, o, f->unknown ? NULL : &f->opener, w);
	mutex_unlock(nodes_mutex(m->nodes));
	return r;
}

/* Who waits for a commit that no program waits for. */
struct orphan {
	struct waiter waiter; /* first */
	struct mount *m;
	struct node *node; /* held */
	struct outgoing *out;
};

/* A failed one stays for those who have it open: they are to be told. */
static bool is_owed_locked(
    const struct mount *m, const struct node *n, const struct outgoing *o)
{
	const struct open_file *f;

	LIST_FOREACH(f, &m->open_files, entry)
		if (f->node == n && !f->reads && f->out == o)
			return true;
	return false;
}

static void end_locked(struct mount *m, struct node *n, struct outgoing *o)
{
	if (!outgoing_error(o) || !is_owed_locked(m, n, o))
		version_settle_locked(m, n, o);
}

static void orphan_done_locked(struct orphan *o, int64_t result)
{
	if (result < 0)
		log_warning("a file whose last close could not wait was not "
			    "delivered (%d)",
		    (int)result);
	end_locked(o->m, o->node, o->out);
	node_unref_locked(o->m->nodes, o->node, 1);
	outgoing_put(o->out);
	free(o);
}

static void orphan_done(struct waiter *w, int64_t result)
{
	struct orphan *o = (struct orphan *)w;
	struct mutex *lock = nodes_mutex(o->m->nodes);

	mutex_lock(lock);
	orphan_done_locked(o, result);
	mutex_unlock(lock);
}

int commit_unseen_locked(struct mount *m, struct node *n, struct outgoing *o,
    const struct procs_id *writer)
{
	struct orphan *orphan = calloc(1, sizeof(*orphan));
	int r;

	if (!orphan)
		return -ENOMEM;
	orphan->waiter.done = orphan_done;
	orphan->m = m;
	orphan->out = outgoing_get(o);
	orphan->node = n;
	node_ref_locked(n, 1);
	r = publish_locked(n, o, writer, &orphan->waiter);
	if (r != OUTGOING_PARKED)
		orphan_done_locked(orphan, r);
	return 0;
}

/* --- the end ---------------------------------------------------------------
 */

bool commit_is_open_locked(const struct mount *m, const struct node *n)
{
	const struct open_file *f;

	LIST_FOREACH(f, &m->open_files, entry)
		if (f->node == n && !f->reads &&
		    (!f->out || !outgoing_error(f->out)))
			return true;
	return false;
}

static const struct procs_id *writer_of(const struct open_file *f)
{
	if (f->closer.tgid)
		return &f->closer;
	return f->unknown ? NULL : &f->opener;
}

void commit_release(struct mount *m, struct open_file *f)
{
	struct outgoing *o, *drop = NULL;
	struct node *n = f->node;
	int r = 0;

	mutex_lock(nodes_mutex(m->nodes));
	o = f->reads ? f->out : version_of_locked(f);
	LIST_REMOVE(f, entry);
	if (o && !f->reads && !commit_is_open_locked(m, n) &&
	    outgoing_uncommitted(o)) {
		/* Unused: its opener was killed before open(2) returned, and
		 * the kernel sends a RELEASE alone. */
		if (f->doomed || (!f->used && f->wrote))
			r = -ECANCELED;
		else
			r = commit_unseen_locked(m, n, o, writer_of(f));
		drop = r ? outgoing_get(o) : NULL;
	}
	mutex_unlock(nodes_mutex(m->nodes));
	if (drop)
		outgoing_abort(drop, r);
	outgoing_put(drop);
	mutex_lock(nodes_mutex(m->nodes));
	if (o && !outgoing_uncommitted(o))
		end_locked(m, n, o);
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

/*
 * The kernel holds the locks of both directories while a program waits for its
 * rename, but not after the deadline or a kill; and the table forgets old
 * entries, and peers, on its own. So the nodes are held, and looked at again
 * when the answer comes; what was renamed there is then renamed here, where the
 * tree still permits it.
 *
 * A file that a program is just writing anew has two names at the peer, that of
 * the version which is there, and that under which the transfer will be
 * committed. Both are renamed, the transfer first.
 *
 * A file replaces only a file at the peer, and a link a link. What else has the
 * new name there is taken back, but not before the peer has moved this one out
 * of the way and said so: then nothing is lost, whatever fails.
 *
 * An answer comes in a link's thread, a deadline in "deadline": who sets
 * answered first replies. An interrupt is only noted (libfuse calls with a lock
 * of its own held, which goes with the request), and looked at in "deadline".
 */
#include "renaming.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "inuse.h"
#include "log.h"
#include "tree_internal.h"
#include "unshown.h"
#include "version.h"

/* How often a caller is looked at, whether it is dying. */
enum { LOOK_MS = 100 };

struct renaming {
	struct request_waiter waiter; /* first */
	struct waiter commit;         /* for one under way, before that */
	struct deadline deadline;
	struct mount *m;
	struct rename_plan plan; /* its nodes are held */
	fuse_req_t req;
	pid_t tid;
	struct procs_id by;
	int64_t until_ms;
	atomic_uint refs; /* the waiter's, and the deadline's */
	atomic_bool interrupted;
	/* Under the nodes' lock: */
	bool answered;
	struct outgoing *committing; /* referenced: what commit waits for */
	bool hold;    /* not to be shown under the new name yet */
	bool again;   /* asked for twice */
	bool clears;  /* asked to move out of the way of what has the name */
	bool cleared; /* ... which it did */
	uint8_t id[WIRE_ID_BYTES];      /* that the peer was asked to rename */
	uint8_t version[WIRE_ID_BYTES]; /* of the transfer that was moved */
};

static bool same_id(const uint8_t *a, const uint8_t *b)
{
	return !memcmp(a, b, WIRE_ID_BYTES);
}

static void put(struct renaming *r)
{
	struct nodes *t = r->m->nodes;
	struct rename_plan *p = &r->plan;

	if (atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	mutex_lock(nodes_mutex(t));
	node_unref_locked(t, p->n, 1);
	node_unref_locked(t, p->from, 1);
	node_unref_locked(t, p->to, 1);
	if (p->target)
		node_unref_locked(t, p->target, 1);
	mutex_unlock(nodes_mutex(t));
	outgoing_put(r->committing);
	free(r);
}

/* --- here -----------------------------------------------------------------
 */

bool rename_is_below_locked(const struct node *n, const struct node *top)
{
	while (n && n != top)
		n = n->parent;
	return n != NULL;
}

int rename_here_locked(struct mount *m, const struct rename_plan *plan,
    struct node *target, bool take_back, struct outgoing **ret_flying)
{
	if (target)
		*ret_flying = tree_retire_locked(m, target, take_back);
	return node_move_locked(m->nodes, plan->n, plan->to, plan->newname);
}

static bool is_in_place_locked(const struct rename_plan *p)
{
	return p->n->parent == p->from && !strcmp(p->n->name, p->name) &&
	       p->to->listed && !rename_is_below_locked(p->to, p->n);
}

/*
 * A version that this rename knows nothing of was begun under the old name, and
 * is committed or about to be: there it takes the place of the one that was
 * renamed. One that is still written goes along.
 */
static bool is_overtaken_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;
	struct node *n = p->n;
	const uint8_t *id = tree_id_locked(n);

	if (n->kind != NODE_FILE)
		return false;
	if (tree_in_flight_locked(n) &&
	    !same_id(outgoing_id(n->out), r->version))
		return outgoing_move(n->out, p->to->outdir, p->newname) != 0;
	return id && !same_id(id, r->id) && !same_id(id, r->version);
}

/* A file is shown, or held, as the peer was asked. */
static void note_hold_locked(struct renaming *r)
{
	struct node *n = r->plan.n;

	unshown_remove_locked(r->m->unshown, n);
	n->held = r->hold;
	if (r->hold) {
		n->writer = r->by;
		n->committed_ms = now_ms();
	}
	if (n->out)
		return; /* fs/version.c does it when that is over */
	if (r->hold)
		unshown_add_locked(r->m->unshown, n);
	else
		node_delivered_locked(r->m->nodes, n);
}

/* The peer has renamed it. */
static void apply_locked(struct renaming *r, struct outgoing **ret_flying)
{
	struct rename_plan *p = &r->plan;
	struct node *n = p->n, *there;

	if (!n->listed) {
		/* Removed or forgotten meanwhile: nobody else will show it. */
		if (r->hold)
			request_show(n->peer, r->id, NULL);
		return;
	}
	if (is_overtaken_locked(r))
		return;
	there = node_child_locked(r->m->nodes, p->to, p->newname);
	/* What was made meanwhile under the new name stays. */
	if (is_in_place_locked(p) &&
	    (!there || (there == p->target && LIST_EMPTY(&there->children))) &&
	    rename_here_locked(
		r->m, p, there, there && there->held, ret_flying) != 0)
		log_warning("no memory for a new name");
	if (n->kind == NODE_FILE)
		note_hold_locked(r);
}

/* --- the program's answer --------------------------------------------------
 */

/* Who calls has set answered. From then on no interrupt comes. */
static void reply(struct renaming *r, int result)
{
	fuse_req_interrupt_func(r->req, NULL, NULL);
	fuse_reply_err(r->req, -result);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct renaming *r = data;

	(void)req;
	atomic_store(&r->interrupted, true);
}

static void move_version_back_locked(struct renaming *r);

/* Looks again in LOOK_MS? Not where it is over. */
static bool goes_on_locked(struct renaming *r, bool dying)
{
	int64_t now = now_ms(), next = now + LOOK_MS;

	if (dying || r->answered || now >= r->until_ms)
		return false;
	return deadline_set(r->m->deadlines, &r->deadline,
		   next < r->until_ms ? next : r->until_ms) == 0;
}

/* The kernel tells of the first signal only: a caller that has lived through it
 * is looked at again and again. */
static void passed(struct deadline *d)
{
	struct renaming *r =
	    (struct renaming *)((char *)d -
				offsetof(struct renaming, deadline));
	struct mutex *lock = nodes_mutex(r->m->nodes);
	bool dying = atomic_load(&r->interrupted) && procs_dying(r->tid);
	bool goes_on, first = false, unsent = false;

	mutex_lock(lock);
	goes_on = goes_on_locked(r, dying);
	if (!goes_on) {
		first = !r->answered;
		r->answered = true;
	}
	/* What the peer may have done already is taken as it comes. */
	if (first && !r->cleared)
		unsent = request_cancel(r->plan.n->peer, &r->waiter);
	if (unsent)
		move_version_back_locked(r);
	mutex_unlock(lock);
	if (goes_on)
		return;
	if (first)
		reply(r, dying ? -EINTR : -ETIMEDOUT);
	if (unsent)
		put(r);
	put(r);
}

/* timed: the deadline was set. Ends r for the waiter. */
static void finish(struct renaming *r, int result, bool timed)
{
	struct mutex *lock = nodes_mutex(r->m->nodes);
	bool first, cleared;

	mutex_lock(lock);
	first = !r->answered;
	r->answered = true;
	/* Else it has passed, sees this, and drops its reference itself. */
	cleared = !timed || deadline_clear(r->m->deadlines, &r->deadline);
	mutex_unlock(lock);
	if (first)
		reply(r, result);
	if (cleared)
		put(r);
	put(r);
}

/* --- there ----------------------------------------------------------------
 */

/* 0: no commit of it is under way; OUTGOING_PARKED: committed() is called. */
static int await_commit_locked(struct renaming *r)
{
	outgoing_put(r->committing);
	r->committing = outgoing_get(r->plan.n->out);
	r->commit = (struct waiter){ .done = r->commit.done };
	return outgoing_checkpoint(r->committing, &r->commit);
}

/* What is written anew will be committed under the new name. */
static int move_version_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;
	struct outgoing *o = p->n->out;
	int result = outgoing_move(o, p->to->outdir, p->newname);

	if (!result)
		memcpy(r->version, outgoing_id(o), WIRE_ID_BYTES);
	return result;
}

/* ... or not: the peer has refused. */
static void move_version_back_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;
	struct outgoing *o = p->n->out;

	if (o && same_id(outgoing_id(o), r->version) && p->n->listed)
		outgoing_move(o, p->from->outdir, p->name);
}

/* Then what there is of it has an id at the peer. OUTGOING_PARKED: not yet. */
static int settle_locked(struct renaming *r)
{
	struct node *n = r->plan.n;
	int result = n->out ? move_version_locked(r) : 0;

	if (result != -EBUSY)
		return result;
	result = await_commit_locked(r);
	if (!result)
		version_settle_locked(r->m, n, n->out);
	return result;
}

/* Out of the way: a file is held, a link, which cannot be, has a name of its
 * own for that moment. */
static int clear_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;
	char name[WIRE_NAME_MAX + 1];
	uint64_t mark;

	r->clears = true;
	if (p->n->kind == NODE_FILE)
		return request_rename(p->n->peer, r->id, p->to->outdir,
		    p->newname, true, &r->waiter);
	memcpy(&mark, r->id, sizeof(mark));
	snprintf(name, sizeof(name), ".gtfs-%016" PRIx64, mark);
	return request_rename(
	    p->n->peer, r->id, p->to->outdir, name, false, &r->waiter);
}

static int request_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;
	struct node *n = p->n;
	const uint8_t *id = tree_id_locked(n);

	if (!id)
		return -ESTALE;
	memcpy(r->id, id, WIRE_ID_BYTES);
	r->clears = false;
	if (n->kind == NODE_DIR)
		return outdir_rename(
		    n->outdir, p->to->outdir, p->newname, &r->waiter);
	if (p->target && p->target->kind != n->kind &&
	    tree_id_locked(p->target) && !r->cleared)
		return clear_locked(r);
	return request_rename(
	    n->peer, id, p->to->outdir, p->newname, r->hold, &r->waiter);
}

/* 0: an answer comes. */
static int ask_locked(struct renaming *r)
{
	int result;

	/* Nobody waits any more, and nothing has happened: so it stays. */
	if (r->answered)
		return -ETIMEDOUT;
	if (!is_in_place_locked(&r->plan))
		return -ESTALE;
	result = settle_locked(r);
	if (result)
		return result == OUTGOING_PARKED ? 0 : result;
	result = request_locked(r);
	if (result)
		move_version_back_locked(r);
	return result;
}

/*
 * It is out of the way; what has the name goes, and it comes. False: that
 * cannot be asked for, and the file remains held under the name.
 */
static bool come_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;
	struct node *there = node_child_locked(r->m->nodes, p->to, p->newname);
	const uint8_t *old = there == p->target ? tree_id_locked(there) : NULL;
	int result = 0;

	r->clears = false;
	r->cleared = true;
	if (old)
		result = request_withdraw(p->n->peer, old);
	r->waiter = (struct request_waiter){ .done = r->waiter.done };
	if (!result)
		result = request_rename(p->n->peer, r->id, p->to->outdir,
		    p->newname, r->hold, &r->waiter);
	r->hold |= result != 0 && p->n->kind == NODE_FILE;
	return !result;
}

/* The peer does not rename it. */
static void stay_locked(struct renaming *r)
{
	struct rename_plan *p = &r->plan;

	move_version_back_locked(r);
	if (r->cleared)
		request_rename(
		    p->n->peer, r->id, p->from->outdir, p->name, false, NULL);
}

/*
 * The id has become nobody's, because a newer version was committed before the
 * peer came to this. 0: that has the new name already, or *ret_asked: the peer
 * was asked for it; else result.
 */
static int look_again_locked(struct renaming *r, int result, bool *ret_asked)
{
	const uint8_t *id = tree_id_locked(r->plan.n);

	if ((result != -ENOENT && result != -ESTALE) || !id ||
	    same_id(id, r->id))
		return result;
	if (same_id(id, r->version))
		return 0;
	if (r->again)
		return result;
	r->again = true;
	r->waiter = (struct request_waiter){ .done = r->waiter.done };
	*ret_asked = ask_locked(r) == 0;
	return result;
}

static void renamed(struct request_waiter *w, int result)
{
	struct renaming *r = (struct renaming *)w;
	struct mutex *lock = nodes_mutex(r->m->nodes);
	struct outgoing *flying = NULL;
	bool asked = false;

	mutex_lock(lock);
	if (result)
		result = look_again_locked(r, result, &asked);
	else if (r->clears)
		asked = come_locked(r);
	if (!asked && !result)
		apply_locked(r, &flying);
	else if (!asked)
		stay_locked(r);
	mutex_unlock(lock);
	if (asked)
		return;
	tree_cancel(flying);
	finish(r, result, true);
}

static void committed(struct waiter *w, int64_t result)
{
	struct renaming *r =
	    (struct renaming *)((char *)w - offsetof(struct renaming, commit));
	struct mutex *lock = nodes_mutex(r->m->nodes);

	if (result >= 0) {
		mutex_lock(lock);
		result = ask_locked(r);
		mutex_unlock(lock);
		if (!result)
			return;
	}
	finish(r, (int)result, true);
}

struct renaming *renaming_new_locked(
    struct mount *m, fuse_req_t req, const struct rename_plan *plan)
{
	struct renaming *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->waiter.done = renamed;
	r->commit.done = committed;
	r->deadline.passed = passed;
	r->m = m;
	r->req = req;
	r->tid = fuse_req_ctx(req)->pid;
	r->plan = *plan;
	r->hold =
	    plan->n->kind == NODE_FILE && inuse_of(plan->newname) != INUSE_NO;
	atomic_init(&r->refs, 2);
	node_ref_locked(plan->n, 1);
	node_ref_locked(plan->from, 1);
	node_ref_locked(plan->to, 1);
	if (plan->target)
		node_ref_locked(plan->target, 1);
	return r;
}

void renaming_start(struct renaming *r)
{
	struct mutex *lock = nodes_mutex(r->m->nodes);
	bool timed;
	int result;

	procs_identify(r->tid, &r->by);
	r->until_ms = now_ms() + RENAMING_MS;
	/* It calls at once where an interrupt was faster. */
	fuse_req_interrupt_func(r->req, on_interrupt, r);
	result =
	    deadline_set(r->m->deadlines, &r->deadline, now_ms() + LOOK_MS);
	timed = result == 0;
	if (timed) {
		mutex_lock(lock);
		result = ask_locked(r);
		mutex_unlock(lock);
		if (!result)
			return; /* r is no longer ours */
	}
	finish(r, result, timed);
}

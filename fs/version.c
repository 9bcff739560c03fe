/*
 * A file's transfers follow each other: what was committed under out_id is
 * replaced by what node.out is becoming. As long as that is under way,
 * delivered and out_id are of the one before.
 */
#include "version.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "inuse.h"
#include "tree_change.h"
#include "unshown.h"

/* out_id of n names what this transfer has committed. */
static bool is_recorded(const struct node *n, const struct outgoing *o)
{
	return !memcmp(n->out_id, outgoing_id(o), WIRE_ID_BYTES);
}

static void record_locked(struct node *n, struct outgoing *o)
{
	memcpy(n->out_id, outgoing_id(o), WIRE_ID_BYTES);
	n->delivered = true;
	n->held = outgoing_held(o);
	n->size = outgoing_size(o);
	n->committed_ms = now_ms();
	n->below.there = false;
}

/* n has no transfer from now on: it is what was delivered last. */
static void rest_locked(struct mount *m, struct node *n)
{
	outgoing_put(n->out);
	n->out = NULL;
	if (n->held && n->listed)
		unshown_add_locked(m->unshown, n);
	else
		node_delivered_locked(m->nodes, n);
}

/* It has not replaced what it was renamed over: that is there. */
static void uncover_locked(struct node *n)
{
	if (n->delivered || !n->below.there)
		return;
	memcpy(n->out_id, n->below.id, WIRE_ID_BYTES);
	n->size = n->below.size;
	n->delivered = true;
	n->below.there = false;
}

void version_settle_locked(struct mount *m, struct node *n, struct outgoing *o)
{
	if (n->out == o && !outgoing_published(o))
		uncover_locked(n);
	if (n->out == o && outgoing_published(o)) {
		record_locked(n, o);
		rest_locked(m, n);
	} else if (n->out == o && n->delivered) {
		rest_locked(m, n);
	} else if (n->out == o) {
		/* Nothing of it is there: nothing is listed. */
		node_unlist_locked(m->nodes, n);
	} else if (outgoing_published(o) && n->out && !n->delivered &&
		   is_recorded(n, o)) {
		/* A newer one was begun while it was being committed. */
		record_locked(n, o);
	}
}

void version_catch_up_locked(struct mount *m, struct node *n)
{
	if (n->out && outgoing_published(n->out))
		version_settle_locked(m, n, n->out);
}

void version_cover_locked(struct node *n, const struct node *target)
{
	n->below.there = target && target->kind == NODE_FILE &&
			 target->delivered && !target->held;
	if (!n->below.there)
		return;
	memcpy(n->below.id, target->out_id, WIRE_ID_BYTES);
	n->below.size = target->size;
}

/*
 * What a plan begins from. Usually a file that is begun anew replaces the one
 * before by its name, and needs none of its bytes. One that the peer does not
 * show has no name there yet: then it is a version all the same.
 */
static int plan_base(struct node *n, struct outgoing *committing, bool anew,
    struct outgoing_plan *plan)
{
	bool hidden = committing ? inuse_of(n->name) != INUSE_NO : n->held;

	if (committing) {
		/* Else the one that ends last would win. */
		plan->after = committing;
		plan->anew = anew && !hidden;
	} else if (anew && !hidden) {
		return 0;
	} else if (n->delivered) {
		plan->base = n->out_id;
		plan->base_size = n->size;
	} else if (!anew) {
		return -ESTALE;
	}
	return 0;
}

/* o takes the place of what n has; committing is that, or NULL. */
static void replace_locked(struct mount *m, struct node *n,
    struct outgoing *committing, struct outgoing *o)
{
	bool delivered = n->delivered && !committing;
	bool held = n->held && !committing;

	if (committing)
		memcpy(n->out_id, outgoing_id(committing), WIRE_ID_BYTES);
	unshown_remove_locked(m->unshown, n);
	outgoing_put(n->out);
	n->out = o;
	node_begun_locked(m->nodes, n);
	/* The version before is there until this one replaces it, and stays if
	 * this one fails. */
	n->delivered = delivered;
	n->held = held;
}

/*
 * A change of the mode may be on its way to the version before, by another
 * connection, when the peer copies that.
 */
static int set_mode(struct outgoing *o, const struct node *n)
{
	struct wire_meta meta = { .mask = WIRE_META_MODE,
		.mode = n->mode & 0777 };

	return outgoing_meta(o, &meta);
}

int version_begin_locked(struct mount *m, struct node *n, bool anew)
{
	struct outgoing_plan plan = { .size = WIRE_SIZE_UNKNOWN };
	struct outgoing *prior, *o;
	int r;

	if (!n->parent)
		return -ENOENT;
	version_catch_up_locked(m, n);
	prior = n->out;
	r = prior ? outgoing_error(prior) : 0;
	if (r && !anew && !n->delivered)
		return r;
	if (r)
		prior = NULL;
	plan.parent = n->parent->outdir;
	plan.name = n->name;
	plan.mode = n->mode;
	r = plan_base(n, prior, anew, &plan);
	if (!r)
		r = outgoing_new(n->peer, &plan, &o);
	if (r)
		return r;
	if (plan.base || (plan.after && !plan.anew))
		r = set_mode(o, n);
	if (!r && prior)
		r = tree_change_carry_locked(n, o);
	if (!r && anew)
		r = outgoing_truncate(o, 0);
	if (r) {
		outgoing_abort(o, r);
		outgoing_put(o);
		return r;
	}
	replace_locked(m, n, prior, o);
	return 0;
}

struct outgoing *version_of_locked(struct open_file *f)
{
	struct outgoing *now = f->node->out;
	bool over =
	    !f->out || (!outgoing_error(f->out) && !outgoing_writable(f->out));

	if (over && now && now != f->out && !outgoing_error(now)) {
		outgoing_put(f->out);
		f->out = outgoing_get(now);
	}
	return f->out;
}

static int writable_locked(
    struct mount *m, struct open_file *f, struct outgoing **ret)
{
	struct outgoing *o = version_of_locked(f);
	struct node *n = f->node;
	int r = o ? outgoing_error(o) : 0;

	if (!r && (!o || !outgoing_writable(o)))
		r = version_begin_locked(m, n, false);
	if (r)
		return r;
	if (!o || !outgoing_writable(o)) {
		outgoing_put(f->out);
		f->out = o = outgoing_get(n->out);
	}
	clock_gettime(CLOCK_REALTIME, &n->mtime);
	*ret = outgoing_get(o);
	return 0;
}

int version_writable(
    struct mount *m, struct open_file *f, struct outgoing **ret)
{
	int r;

	mutex_lock(nodes_mutex(m->nodes));
	r = writable_locked(m, f, ret);
	mutex_unlock(nodes_mutex(m->nodes));
	return r;
}

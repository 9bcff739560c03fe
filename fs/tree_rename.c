/*
 * Renames. What is in flight moves at once, here and in its transfer; the peer
 * is asked about what it has already (fs/renaming.c). Runs in FUSE workers.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>

#include "renaming.h"
#include "tree_internal.h"
#include "version.h"

/* --- what may be renamed ---------------------------------------------------
 */

/* The next node of the tree below top, each before what is below it. */
static struct node *next_below_locked(struct node *n, const struct node *top)
{
	if (!LIST_EMPTY(&n->children))
		return LIST_FIRST(&n->children);
	while (n != top && !LIST_NEXT(n, sibling))
		n = n->parent;
	return n == top ? NULL : LIST_NEXT(n, sibling);
}

/* Would a link leave the topmost directory that was sent? The peer asks the
 * same, but it may be far away. */
static bool link_leaves_locked(struct node *n, const struct node *to)
{
	int was = tree_depth_locked(n);
	int moved = to->kind == NODE_DIR ? tree_depth_locked(to) + 1 : -1;
	struct node *at;

	for (at = n; at; at = next_below_locked(at, n)) {
		int climb;

		if (at->kind != NODE_LINK)
			continue;
		climb = wire_target_climb(at->target, strlen(at->target));
		if (climb > tree_depth_locked(at) - was + moved ||
		    (at == n && moved < 0))
			return true;
	}
	return false;
}

static int target_error_locked(const struct node *n, const struct node *target)
{
	if (n->kind == NODE_DIR && target->kind != NODE_DIR)
		return -ENOTDIR;
	if (n->kind != NODE_DIR && target->kind == NODE_DIR)
		return -EISDIR;
	return LIST_EMPTY(&target->children) ? 0 : -ENOTEMPTY;
}

/* 0 with p->n and p->target, or why not. */
static int check_locked(struct mount *m, struct rename_plan *p, unsigned flags)
{
	struct node *target;
	int r;

	if (!p->from || !p->to)
		return -ESTALE;
	if (p->from->peer != p->to->peer)
		return -EXDEV; /* another machine's disk */
	r = tree_place_error_locked(p->from, p->name);
	if (!r)
		r = tree_place_error_locked(p->to, p->newname);
	if (r)
		return r;
	p->n = node_child_locked(m->nodes, p->from, p->name);
	if (!p->n)
		return -ENOENT;
	if (flags & ~(unsigned)RENAME_NOREPLACE)
		return -EINVAL;
	if (rename_is_below_locked(p->to, p->n))
		return -EINVAL;
	target = node_child_locked(m->nodes, p->to, p->newname);
	if (target && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (target && target != p->n)
		r = target_error_locked(p->n, target);
	if (!r && link_leaves_locked(p->n, p->to))
		r = -EXDEV;
	if (!r)
		p->target = target;
	return r;
}

/* --- the operation --------------------------------------------------------
 */

/* It is in flight, and no older version of it is there: all of it is here. */
static bool is_ours_locked(const struct node *n)
{
	return n->kind == NODE_FILE && !n->delivered && n->out &&
	       outgoing_writable(n->out);
}

static int move_locked(
    struct mount *m, const struct rename_plan *p, struct outgoing **ret_flying)
{
	struct node *target = p->target;
	int r = outgoing_move(p->n->out, p->to->outdir, p->newname);

	if (r)
		return r;
	if (target)
		version_catch_up_locked(m, target);
	version_cover_locked(p->n, target);
	/* What is held would be shown beside what has replaced it. */
	return rename_here_locked(m, p, target,
	    target && (target->held || target->kind != NODE_FILE), ret_flying);
}

/* 0: done, unless there is *ret_asking, which is to be started. */
static int begin_locked(struct mount *m, fuse_req_t req, struct rename_plan *p,
    unsigned flags, struct outgoing **ret_flying, struct renaming **ret_asking)
{
	int r = check_locked(m, p, flags);

	if (r)
		return r;
	if (p->target == p->n)
		return 0;
	if (is_ours_locked(p->n))
		return move_locked(m, p, ret_flying);
	*ret_asking = renaming_new_locked(m, req, p);
	return *ret_asking ? 0 : -ENOMEM;
}

void tree_rename(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, fuse_ino_t newparent, const char *newname,
    unsigned int flags)
{
	struct renaming *asking = NULL;
	struct outgoing *flying = NULL;
	struct rename_plan plan = { 0 };
	int r = -ENAMETOOLONG;

	if (strlen(name) <= WIRE_NAME_MAX && strlen(newname) <= WIRE_NAME_MAX) {
		strcpy(plan.name, name);
		strcpy(plan.newname, newname);
		mutex_lock(nodes_mutex(m->nodes));
		plan.from = node_by_id_locked(m->nodes, parent);
		plan.to = node_by_id_locked(m->nodes, newparent);
		r = begin_locked(m, req, &plan, flags, &flying, &asking);
		mutex_unlock(nodes_mutex(m->nodes));
	}
	tree_cancel(flying);
	if (asking)
		renaming_start(asking);
	else
		fuse_reply_err(req, -r);
}

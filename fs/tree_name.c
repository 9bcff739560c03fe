/*
 * How names under peers/ come and go, but for renames. Runs in FUSE workers,
 * and answers at once: the kernel holds the directory's lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inuse.h"
#include "tree_internal.h"
#include "version.h"

/* For how long what a program has written is its own to take back. */
enum { TAKE_BACK_MS = 5000 };

/* peers/<name>/.Trash*, and that of the mount: file managers then offer to
 * delete. */
static bool is_trash(const struct node *dir, const char *name)
{
	return (dir->kind == NODE_PEER || dir->kind == NODE_ROOT) &&
	       !strncmp(name, ".Trash", 6);
}

int tree_place_error_locked(const struct node *dir, const char *name)
{
	if (!dir || !dir->listed)
		return -ESTALE;
	if (dir->kind != NODE_PEER && dir->kind != NODE_DIR)
		return -EPERM;
	if (is_trash(dir, name))
		return -EPERM;
	return strlen(name) > WIRE_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* --- they come ------------------------------------------------------------
 */

/* What is asked for. */
struct making {
	const char *name;
	mode_t mode;
	const char *target; /* of a link; NULL: a directory */
	struct procs_id by;
};

static void made_locked(
    struct node *n, struct node *dir, const struct making *w)
{
	n->peer = peer_get(dir->peer);
	n->writer = w->by;
	n->committed_ms = now_ms();
}

static int mkdir_locked(struct mount *m, struct node *dir,
    const struct making *w, struct node **ret)
{
	struct outdir *out;
	struct node *n;
	int r = outdir_new(dir->peer, dir->outdir, w->name, w->mode, &out);

	if (r)
		return r;
	n = node_add_locked(m->nodes, dir, NODE_DIR, w->name, w->mode, 0);
	if (!n) {
		outdir_put(out);
		return -ENOMEM;
	}
	n->outdir = out;
	made_locked(n, dir, w);
	*ret = n;
	return 0;
}

/* May a link in dir say this? */
static int target_error_locked(const struct node *dir, const char *target)
{
	size_t len = strlen(target);
	int climb;

	if (len > WIRE_TARGET_MAX)
		return -ENAMETOOLONG;
	if (dir->kind != NODE_DIR)
		return -EPERM; /* there is nothing that it could stay inside */
	climb = wire_target_climb(target, len);
	return climb < 0 || climb > tree_depth_locked(dir) + 1 ? -EPERM : 0;
}

static int symlink_locked(struct mount *m, struct node *dir,
    const struct making *w, struct node **ret)
{
	uint8_t id[WIRE_ID_BYTES];
	struct node *n;
	char *copy;
	int r = target_error_locked(dir, w->target);

	if (r)
		return r;
	copy = strdup(w->target);
	if (!copy)
		return -ENOMEM;
	r = request_symlink(dir->peer, dir->outdir, w->name, w->target, id);
	n = r ? NULL
	      : node_add_locked(m->nodes, dir, NODE_LINK, w->name, 0777, 0);
	if (!n) {
		free(copy);
		return r ? r : -ENOMEM;
	}
	n->target = copy;
	memcpy(n->out_id, id, sizeof(id));
	n->delivered = true;
	made_locked(n, dir, w);
	node_delivered_locked(m->nodes, n);
	*ret = n;
	return 0;
}

static void make(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, struct making *w)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct fuse_entry_param e;
	struct node *dir, *n;
	int r;

	procs_identify(fuse_req_ctx(req)->pid, &w->by);
	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, parent);
	r = tree_place_error_locked(dir, w->name);
	if (!r && node_child_locked(m->nodes, dir, w->name))
		r = -EEXIST;
	if (!r)
		r = w->target ? symlink_locked(m, dir, w, &n)
			      : mkdir_locked(m, dir, w, &n);
	if (!r)
		tree_entry_locked(m, n, &e);
	mutex_unlock(lock);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, &e);
}

void tree_mkdir(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode)
{
	struct making w = { .name = name, .mode = mode & 0777 };

	make(m, req, parent, &w);
}

void tree_symlink(struct mount *m, fuse_req_t req, const char *target,
    fuse_ino_t parent, const char *name)
{
	struct making w = { .name = name, .target = target };

	make(m, req, parent, &w);
}

void tree_readlink(struct mount *m, fuse_req_t req, fuse_ino_t ino)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	char *target = NULL;
	struct node *n;
	int r = EINVAL;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n && n->kind == NODE_LINK) {
		target = strdup(n->target);
		r = ENOMEM;
	}
	mutex_unlock(lock);
	if (target)
		fuse_reply_readlink(req, target);
	else
		fuse_reply_err(req, r);
	free(target);
}

/* --- they go --------------------------------------------------------------
 */

static int remove_error_locked(const struct node *n, bool directory)
{
	if (!n)
		return ENOENT;
	switch (n->kind) {
	case NODE_FILE:
	case NODE_LINK: return directory ? ENOTDIR : 0;
	case NODE_DIR: break;
	default: return EPERM;
	}
	if (!directory)
		return EISDIR;
	return LIST_EMPTY(&n->children) ? 0 : ENOTEMPTY;
}

/*
 * Is it taken back from the peer, or only forgotten here? KIO and curl cancel a
 * copy by closing and unlinking it; an editor removes its lock and its backup
 * in the end.
 */
static bool takes_back_locked(const struct node *n, const struct procs_id *by)
{
	if (n->held)
		return true;
	if (!procs_same(by, &n->writer))
		return false;
	return now_ms() - n->committed_ms <= TAKE_BACK_MS ||
	       (n->kind == NODE_FILE && inuse_of(n->name) != INUSE_NO);
}

void tree_remove(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, bool directory)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct outgoing *flying = NULL;
	struct node *dir, *n = NULL;
	struct procs_id by = { 0 };
	int r;

	procs_identify(fuse_req_ctx(req)->pid, &by);
	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, parent);
	if (dir)
		n = node_child_locked(m->nodes, dir, name);
	r = remove_error_locked(n, directory);
	if (!r) /* when, and as what, it was committed */
		version_catch_up_locked(m, n);
	if (!r)
		flying = tree_retire_locked(m, n, takes_back_locked(n, &by));
	mutex_unlock(lock);
	tree_cancel(flying);
	fuse_reply_err(req, r);
}

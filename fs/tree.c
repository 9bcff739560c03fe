/*
 * Names and attributes of the tree. Runs in FUSE workers. Reading a directory
 * is in fs/tree_dir.c.
 */
#include "tree.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "ctl_files.h"

/* --- attributes ---------------------------------------------------------- */

void tree_attr_locked(
    const struct mount *m, const struct node *n, struct stat *ret)
{
	bool dir = n->kind != NODE_FILE && n->kind != NODE_CTL_FILE;

	memset(ret, 0, sizeof(*ret));
	ret->st_ino = NODE_INO(n->id);
	ret->st_mode = n->mode | (dir ? S_IFDIR : S_IFREG);
	ret->st_nlink = dir ? 2 : 1;
	ret->st_uid = m->uid;
	ret->st_gid = m->gid;
	ret->st_blksize = MOUNT_BLKSIZE;
	ret->st_mtim = ret->st_ctim = n->mtime;
	ret->st_atim = n->atime;
	if (n->kind == NODE_FILE)
		ret->st_size =
		    (off_t)(n->out ? outgoing_size(n->out) : n->size);
	if (n->kind == NODE_CTL_FILE)
		ret->st_size = ctl_files_size(m, n->ctl);
	ret->st_blocks = (ret->st_size + 511) / 512;
}

void tree_entry_locked(
    const struct mount *m, struct node *n, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ino = n->id;
	ret->generation = 1;
	tree_attr_locked(m, n, &ret->attr);
	node_ref_locked(n, 1);
}

void tree_getattr(struct mount *m, fuse_req_t req, fuse_ino_t ino)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct stat st;
	struct node *n;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n)
		tree_attr_locked(m, n, &st);
	mutex_unlock(lock);
	if (n)
		fuse_reply_attr(req, &st, 0);
	else
		fuse_reply_err(req, ESTALE);
}

static struct wire_time wire_time(struct timespec ts)
{
	return (
	    struct wire_time){ .sec = ts.tv_sec, .nsec = (uint32_t)ts.tv_nsec };
}

static void meta_from(
    const struct stat *attr, int to_set, struct wire_meta *ret)
{
	struct timespec now;

	memset(ret, 0, sizeof(*ret));
	clock_gettime(CLOCK_REALTIME, &now);
	if (to_set & FUSE_SET_ATTR_MODE) {
		ret->mask |= WIRE_META_MODE;
		ret->mode = attr->st_mode & 0777;
	}
	if (to_set & FUSE_SET_ATTR_MTIME) {
		ret->mask |= WIRE_META_MTIME;
		ret->mtime = wire_time(
		    to_set & FUSE_SET_ATTR_MTIME_NOW ? now : attr->st_mtim);
	}
	if (to_set & FUSE_SET_ATTR_ATIME) {
		ret->mask |= WIRE_META_ATIME;
		ret->atime = wire_time(
		    to_set & FUSE_SET_ATTR_ATIME_NOW ? now : attr->st_atim);
	}
}

/* What the node shows from now on; sent by set_remote. */
static void meta_local_locked(struct node *n, const struct wire_meta *meta)
{
	if (meta->mask & WIRE_META_MODE)
		n->mode = meta->mode;
	if (meta->mask & WIRE_META_MTIME)
		n->mtime = (struct timespec){ .tv_sec = meta->mtime.sec,
			.tv_nsec = meta->mtime.nsec };
	if (meta->mask & WIRE_META_ATIME)
		n->atime = (struct timespec){ .tv_sec = meta->atime.sec,
			.tv_nsec = meta->atime.nsec };
}

static int set_remote_locked(struct node *n, const struct wire_meta *meta,
    const struct stat *attr, int to_set)
{
	int r = 0;

	if (n->kind == NODE_DIR)
		return meta->mask ? outdir_meta(n->outdir, meta) : 0;
	if (to_set & FUSE_SET_ATTR_SIZE)
		r = n->out ? outgoing_truncate(n->out, (uint64_t)attr->st_size)
			   : -EOPNOTSUPP;
	if (!r && meta->mask)
		r = n->out         ? outgoing_meta(n->out, meta)
		    : n->delivered ? outgoing_patch(n->peer, n->out_id, meta)
				   : -EOPNOTSUPP;
	return r;
}

void tree_setattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const struct stat *attr, int to_set)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct wire_meta meta;
	struct stat st;
	struct node *n;
	int r = -EPERM;

	meta_from(attr, to_set, &meta);
	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (!n)
		r = -ESTALE;
	else if (n->kind == NODE_FILE || n->kind == NODE_DIR)
		r = set_remote_locked(n, &meta, attr, to_set);
	else if (n->kind == NODE_CTL_FILE && to_set == FUSE_SET_ATTR_SIZE)
		r = 0; /* echo stop > control */
	if (!r && n->kind != NODE_CTL_FILE)
		meta_local_locked(n, &meta);
	if (!r)
		tree_attr_locked(m, n, &st);
	mutex_unlock(lock);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, 0);
}

/* --- names -----------------------------------------------------------------
 */

/* The folder of a peer that is in the table now; NULL: there is none. */
static struct node *peer_folder_locked(
    struct mount *m, struct node *dir, const char *name)
{
	struct peer *p = peers_find_name(network_peers(m->network), name);
	struct node *n = node_child_locked(m->nodes, dir, name);
	struct peer_info info;

	if (p)
		peer_info(p, &info);
	if (n && (!p || n->serial != info.serial)) {
		node_unlist_locked(m->nodes, n);
		n = NULL;
	}
	if (p && !n) {
		n = node_add_locked(m->nodes, dir, NODE_PEER, name, 0700, 0);
		if (n) {
			n->peer = peer_get(p);
			n->serial = info.serial;
		}
	}
	peer_put(p);
	return n;
}

static struct node *child_locked(
    struct mount *m, struct node *dir, const char *name)
{
	if (dir->kind == NODE_PEERS)
		return peer_folder_locked(m, dir, name);
	return node_child_locked(m->nodes, dir, name);
}

static void reply_view_root(struct mount *m, fuse_req_t req)
{
	struct fuse_entry_param e = { .ino = VIEW_ROOT, .generation = 1 };
	int r = view_root_attr(m->view, &e.attr);

	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, &e);
}

void tree_lookup(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct fuse_entry_param e;
	struct node *dir, *n = NULL;
	int r = ENOENT;

	if (parent == NODE_ID_ROOT && !strcmp(name, "inbox")) {
		reply_view_root(m, req);
		return;
	}
	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, parent);
	if (!dir)
		r = ESTALE;
	else if (strlen(name) > WIRE_NAME_MAX)
		r = ENAMETOOLONG;
	else
		n = child_locked(m, dir, name);
	if (n)
		tree_entry_locked(m, n, &e);
	mutex_unlock(lock);
	if (n)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, r);
}

void tree_forget(struct mount *m, fuse_ino_t ino, uint64_t nlookup)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *n;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n && n->kind >= NODE_PEER)
		node_unref_locked(m->nodes, n, nlookup);
	else if (n && n->refs > nlookup)
		n->refs -= (unsigned)nlookup;
	mutex_unlock(lock);
}

/* peers/, peers/<name>/.Trash*: file managers then offer to delete. */
static bool is_trash(const struct node *dir, const char *name)
{
	return (dir->kind == NODE_PEER || dir->kind == NODE_ROOT) &&
	       !strncmp(name, ".Trash", 6);
}

void tree_mkdir(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct fuse_entry_param e;
	struct node *dir, *n;
	struct outdir *out;
	int r = 0;

	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, parent);
	if (!dir || !dir->listed)
		r = -ESTALE;
	else if ((dir->kind != NODE_PEER && dir->kind != NODE_DIR) ||
		 is_trash(dir, name))
		r = -EPERM;
	else if (node_child_locked(m->nodes, dir, name))
		r = -EEXIST;
	if (!r)
		r = outdir_new(dir->peer, dir->outdir, name, mode, &out);
	if (!r) {
		n = node_add_locked(
		    m->nodes, dir, NODE_DIR, name, mode & 0777, 0);
		if (n) {
			n->peer = peer_get(dir->peer);
			n->outdir = out;
			tree_entry_locked(m, n, &e);
		} else {
			outdir_put(out);
			r = -ENOMEM;
		}
	}
	mutex_unlock(lock);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, &e);
}

void tree_remove(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, bool directory)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct outgoing *cancel = NULL;
	struct node *dir, *n = NULL;
	int r = 0;

	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, parent);
	if (dir)
		n = node_child_locked(m->nodes, dir, name);
	if (!n)
		r = ENOENT;
	else if (n->kind != NODE_FILE && n->kind != NODE_DIR)
		r = EPERM;
	else if (directory && n->kind == NODE_FILE)
		r = ENOTDIR;
	else if (!directory && n->kind == NODE_DIR)
		r = EISDIR;
	else if (directory && !LIST_EMPTY(&n->children))
		r = ENOTEMPTY;
	if (!r && n->out)
		cancel = outgoing_get(n->out);
	if (!r)
		node_unlist_locked(m->nodes, n);
	mutex_unlock(lock);
	if (cancel)
		outgoing_abort(cancel, -ECANCELED);
	outgoing_put(cancel);
	fuse_reply_err(req, r);
}

void tree_rename(
    struct mount *m, fuse_req_t req, fuse_ino_t parent, fuse_ino_t newparent)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *from, *to;
	int r = EOPNOTSUPP;

	mutex_lock(lock);
	from = node_by_id_locked(m->nodes, parent);
	to = node_by_id_locked(m->nodes, newparent);
	if (!from || !to)
		r = ESTALE;
	else if (from->peer != to->peer)
		r = EXDEV;
	mutex_unlock(lock);
	fuse_reply_err(req, r);
}

void tree_peer_gone(struct mount *m, uint64_t serial)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *dir, *n;

	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, NODE_ID_PEERS);
	LIST_FOREACH(n, &dir->children, sibling)
		if (n->serial == serial) {
			node_unlist_locked(m->nodes, n);
			break;
		}
	mutex_unlock(lock);
}

/* --- space ------------------------------------------------------------------
 */

void tree_statfs(struct mount *m, fuse_req_t req, fuse_ino_t ino)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct peer_info info = { 0 };
	struct statvfs st = { 0 };
	struct node *n;

	if (ino == NODE_ID_ROOT) {
		view_statfs(m->view, req, VIEW_ROOT);
		return;
	}
	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n && n->peer)
		peer_info(n->peer, &info);
	mutex_unlock(lock);
	st.f_bsize = MOUNT_BLKSIZE;
	st.f_frsize = 4096;
	st.f_blocks = info.space.total_bytes / st.f_frsize;
	st.f_bfree = st.f_bavail = info.space.free_bytes / st.f_frsize;
	st.f_files = info.space.total_files;
	st.f_ffree = st.f_favail = info.space.free_files;
	st.f_namemax = WIRE_NAME_MAX;
	fuse_reply_statfs(req, &st);
}

/* --- the fixed nodes
 * ---------------------------------------------------------- */

int tree_init(struct mount *m)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *root, *ctl = NULL, *peers = NULL, *n = NULL;
	unsigned i;

	mutex_lock(lock);
	root =
	    node_add_locked(m->nodes, NULL, NODE_ROOT, "", 0700, NODE_ID_ROOT);
	if (root) {
		peers = node_add_locked(
		    m->nodes, root, NODE_PEERS, "peers", 0700, NODE_ID_PEERS);
		ctl = node_add_locked(
		    m->nodes, root, NODE_CTL, ".gtfs", 0700, NODE_ID_CTL);
	}
	for (i = 0; ctl && peers && i < CTL_FILES_COUNT; i++) {
		n = node_add_locked(m->nodes, ctl, NODE_CTL_FILE,
		    ctl_files_name(i), i == CTL_FILES_CONTROL ? 0600 : 0400,
		    NODE_ID_CTL_FIRST + i);
		if (!n)
			break;
		n->ctl = i;
	}
	mutex_unlock(lock);
	return n ? 0 : -ENOMEM;
}

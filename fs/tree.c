/*
 * What is in the tree, and its attributes. Runs in FUSE workers. How names come
 * and go is in fs/tree_name.c and fs/tree_rename.c.
 */
#include "tree_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "ctl_files.h"
#include "log.h"
#include "outbox.h"
#include "texts.h"
#include "tree_change.h"
#include "unshown.h"
#include "version.h"

/* --- attributes ---------------------------------------------------------- */

mode_t tree_type(const struct node *n)
{
	switch (n->kind) {
	case NODE_FILE:
	case NODE_CTL_TEXT:
	case NODE_CTL_FILE: return S_IFREG;
	case NODE_LINK: return S_IFLNK;
	default: return S_IFDIR;
	}
}

static uint64_t size_of(const struct mount *m, const struct node *n)
{
	switch (n->kind) {
	case NODE_FILE: return n->out ? outgoing_size(n->out) : n->size;
	case NODE_LINK: return strlen(n->target);
	case NODE_CTL_FILE: return (uint64_t)ctl_files_size(m, n->ctl);
	default: return 0;
	}
}

void tree_attr_locked(
    const struct mount *m, const struct node *n, struct stat *ret)
{
	mode_t type = tree_type(n);

	memset(ret, 0, sizeof(*ret));
	ret->st_ino = NODE_INO(n->id);
	ret->st_mode = type | n->mode;
	/* As the peer has them: it adds them, so that its owner can use it. */
	if (n->kind == NODE_FILE)
		ret->st_mode |= S_IRUSR | S_IWUSR;
	if (n->kind == NODE_DIR)
		ret->st_mode |= S_IRWXU;
	ret->st_nlink = type == S_IFDIR ? 2 : 1;
	ret->st_uid = m->uid;
	ret->st_gid = m->gid;
	ret->st_blksize = MOUNT_BLKSIZE;
	ret->st_mtim = ret->st_ctim = n->mtime;
	ret->st_atim = n->atime;
	ret->st_size = (off_t)size_of(m, n);
	ret->st_blocks = (ret->st_size + 511) / 512;
}

/*
 * inbox, peers and .gtfs are always there, and the top never changes: without
 * these times, each call with a path below them would ask for them anew. The
 * top is asked for now and then, so that a mount whose daemon has died shows.
 */
#define FIXED_SECONDS 86400.0
#define TOP_SECONDS   1.0

static bool is_fixed(const struct node *n)
{
	return n->kind == NODE_PEERS || n->kind == NODE_CTL ||
	       n->kind == NODE_CTL_FILE || n->kind == NODE_CTL_FOLDER;
}

void tree_entry_locked(
    const struct mount *m, struct node *n, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (is_fixed(n))
		ret->entry_timeout = FIXED_SECONDS;
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
		fuse_reply_attr(
		    req, &st, ino == NODE_ID_ROOT ? TOP_SECONDS : 0);
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

int tree_meta_locked(
    struct mount *m, struct node *n, const struct wire_meta *meta)
{
	int r = meta->mask ? tree_change_meta_locked(m, n, meta) : 0;

	if (r)
		return r;
	if (meta->mask & WIRE_META_MODE)
		n->mode = meta->mode;
	if (meta->mask & WIRE_META_MTIME)
		n->mtime = (struct timespec){ .tv_sec = meta->mtime.sec,
			.tv_nsec = meta->mtime.nsec };
	if (meta->mask & WIRE_META_ATIME)
		n->atime = (struct timespec){ .tv_sec = meta->atime.sec,
			.tv_nsec = meta->atime.nsec };
	return 0;
}

static int set_locked(
    struct mount *m, struct node *n, const struct stat *attr, int to_set)
{
	struct wire_meta meta;
	int r = 0;

	switch (n->kind) {
	case NODE_FILE:
	case NODE_DIR:
	case NODE_LINK: break;
	/* Whoever copies "dir/." or untars "./" into it sets these too. They
	 * are those of the peer's own folder: without effect. */
	case NODE_PEER: return 0;
	/* echo stop > control */
	case NODE_CTL_TEXT:
	case NODE_CTL_FILE: return to_set == FUSE_SET_ATTR_SIZE ? 0 : -EPERM;
	default: return -EPERM;
	}
	if (to_set & FUSE_SET_ATTR_SIZE)
		r = outbox_truncate_locked(m, n, (uint64_t)attr->st_size);
	meta_from(attr, to_set, &meta);
	return r ? r : tree_meta_locked(m, n, &meta);
}

void tree_setattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const struct stat *attr, int to_set)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct stat st;
	struct node *n;
	int r;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	r = n ? set_locked(m, n, attr, to_set) : -ESTALE;
	if (!r)
		tree_attr_locked(m, n, &st);
	mutex_unlock(lock);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, 0);
}

/* --- what a node is at the peer -------------------------------------------
 */

int tree_depth_locked(const struct node *n)
{
	int depth = -1;

	for (n = n->parent; n && n->kind == NODE_DIR; n = n->parent)
		depth++;
	return depth;
}

const uint8_t *tree_id_locked(const struct node *n)
{
	if (n->kind == NODE_DIR)
		return outdir_id(n->outdir);
	/* Closed, and still open for reading its attributes, or anew. */
	if (n->out && outgoing_published(n->out))
		return outgoing_id(n->out);
	return n->delivered ? n->out_id : NULL;
}

bool tree_in_flight_locked(const struct node *n)
{
	return n->out && outgoing_uncommitted(n->out);
}

void tree_unlist_locked(struct mount *m, struct node *n)
{
	struct node *at = n;

	/* All below, each before its directory's next one. */
	for (;;) {
		if (at->held) {
			unshown_remove_locked(m->unshown, at);
			at->held = false;
		}
		if (!LIST_EMPTY(&at->children)) {
			at = LIST_FIRST(&at->children);
			continue;
		}
		while (at != n && !LIST_NEXT(at, sibling))
			at = at->parent;
		if (at == n)
			break;
		at = LIST_NEXT(at, sibling);
	}
	node_unlist_locked(m->nodes, n);
}

struct outgoing *tree_retire_locked(
    struct mount *m, struct node *n, bool take_back)
{
	struct outgoing *flying = NULL;
	const uint8_t *id;
	int r = 0;

	version_catch_up_locked(m, n);
	id = tree_id_locked(n);
	/* Nobody would show what is held. */
	if (id && (take_back || n->held))
		r = request_withdraw(n->peer, id);
	if (r)
		log_info("what was removed here stays at the peer: %s",
		    strerror(-r));
	if (tree_in_flight_locked(n))
		flying = outgoing_get(n->out);
	tree_unlist_locked(m, n);
	return flying;
}

void tree_cancel(struct outgoing *o)
{
	if (!o)
		return;
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
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
		tree_unlist_locked(m, n);
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

/* The file of a question or of a peer that there is now; NULL: none. */
static struct node *text_locked(
    struct mount *m, struct node *dir, const char *name)
{
	struct node *n = node_child_locked(m->nodes, dir, name);
	uint64_t serial = 0;
	int r = texts_find(&m->ctl, dir->ctl, name, &serial);

	if (n && (r || n->serial != serial)) {
		node_unlist_locked(m->nodes, n);
		n = NULL;
	}
	if (!r && !n) {
		n = node_add_locked(m->nodes, dir, NODE_CTL_TEXT, name,
		    dir->ctl == TEXTS_REQUESTS ? 0600 : 0400, 0);
		if (n) {
			n->ctl = dir->ctl;
			n->serial = serial;
		}
	}
	return n;
}

static struct node *child_locked(
    struct mount *m, struct node *dir, const char *name)
{
	if (dir->kind == NODE_CTL_FOLDER)
		return text_locked(m, dir, name);
	if (dir->kind == NODE_PEERS)
		return peer_folder_locked(m, dir, name);
	return node_child_locked(m->nodes, dir, name);
}

static void reply_view_root(struct mount *m, fuse_req_t req)
{
	struct fuse_entry_param e = { .ino = VIEW_ROOT,
		.generation = 1,
		.entry_timeout = FIXED_SECONDS };
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
	/* Made anew when it is asked for: those who ask have many names. */
	if (n && n->kind == NODE_CTL_TEXT && n->refs == nlookup + 1)
		node_unlist_locked(m->nodes, n);
	if (n && n->kind >= NODE_PEER)
		node_unref_locked(m->nodes, n, nlookup);
	else if (n && n->refs > nlookup)
		n->refs -= (unsigned)nlookup;
	mutex_unlock(lock);
}

void tree_peer_gone(struct mount *m, uint64_t serial)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *dir, *n;

	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, NODE_ID_PEERS);
	LIST_FOREACH(n, &dir->children, sibling)
		if (n->serial == serial) {
			tree_unlist_locked(m, n);
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
	/* The same: gio and others know only statfs(2), and multiply by f_bsize
	 * (cp looks at st_blksize). */
	st.f_bsize = st.f_frsize = 4096;
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
	int r = procs_reserve();

	if (r)
		return r;
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
	for (i = 0; n && i < TEXTS_FOLDERS; i++) {
		n = node_add_locked(m->nodes, ctl, NODE_CTL_FOLDER,
		    texts_folder_name(i), 0700,
		    NODE_ID_CTL_FIRST + CTL_FILES_COUNT + i);
		if (n)
			n->ctl = i;
	}
	mutex_unlock(lock);
	return n ? 0 : -ENOMEM;
}

/*
 * How files of peers' folders are created, opened and cut to size. Runs in FUSE
 * workers, which reply at once: what only an answer of the peer can tell is the
 * errno of the first write, fsync or close.
 */
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "commit.h"
#include "sync.h"
#include "tree.h"
#include "version.h"

/* For so long a refusal may be why a program empties a file (ms). */
#define DENIED_MS 5000

/* An open file of n; by whom: tgid 0 where that cannot be told. */
static struct open_file *open_new_locked(struct mount *m,
    const struct procs_id *by, struct node *n, bool reads, bool wrote,
    bool changed)
{
	struct open_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->node = n;
	if (n->out && !outgoing_error(n->out) && outgoing_uncommitted(n->out))
		f->out = outgoing_get(n->out);
	f->file.ino = NODE_INO(n->id);
	f->file.dev = m->dev;
	f->opener = *by;
	f->unknown = !by->tgid;
	f->reads = reads;
	f->wrote = wrote;
	f->changed = changed;
	node_ref_locked(n, 1);
	LIST_INSERT_HEAD(&m->open_files, f, entry);
	return f;
}

static void ready(struct open_file *f, struct fuse_file_info *fi)
{
	fi->fh = (uintptr_t)f;
	fi->direct_io = 1;
	fi->noflush = 0;
}

/* No byte, or no file, fits on the peer's disk, as it said last. */
static int space_error(struct peer *peer)
{
	struct peer_info info;

	peer_info(peer, &info);
	if (info.space.total_bytes && !info.space.free_bytes)
		return -ENOSPC;
	if (info.space.total_files && !info.space.free_files)
		return -ENOSPC;
	return 0;
}

/* A new file, with a transfer of its own; *ret is listed. */
static int create_locked(struct mount *m, struct node *dir, const char *name,
    mode_t mode, struct node **ret)
{
	struct node *n;
	int r = tree_place_error_locked(dir, name);

	if (!r && node_child_locked(m->nodes, dir, name))
		r = -EEXIST;
	if (!r)
		r = space_error(dir->peer);
	if (r)
		return r;
	n = node_add_locked(m->nodes, dir, NODE_FILE, name, mode & 0777, 0);
	if (!n)
		return -ENOMEM;
	n->peer = peer_get(dir->peer);
	r = version_begin_locked(m, n, true);
	if (r)
		node_unlist_locked(m->nodes, n);
	else
		*ret = n;
	return r;
}

void outbox_create(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct outgoing *drop = NULL;
	struct fuse_entry_param e;
	struct open_file *f = NULL;
	struct procs_id by = { 0 };
	struct node *n = NULL;
	int r = procs_identify(fuse_req_ctx(req)->pid, &by);

	if (procs_is_shortage(r)) {
		fuse_reply_err(req, -r);
		return;
	}
	mutex_lock(lock);
	r = create_locked(
	    m, node_by_id_locked(m->nodes, parent), name, mode, &n);
	if (!r) {
		f = open_new_locked(m, &by, n, false, true, false);
		r = f ? 0 : -ENOMEM;
	}
	if (f) {
		tree_entry_locked(m, n, &e);
	} else if (n) {
		drop = outgoing_get(n->out);
		node_unlist_locked(m->nodes, n);
	}
	mutex_unlock(lock);
	if (drop)
		outgoing_abort(drop, -ENOMEM);
	outgoing_put(drop);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	ready(f, fi);
	if (fuse_reply_create(req, &e, fi) == -ENOENT)
		commit_release(m, f);
}

/* O_TRUNC: the transfer under way becomes empty, or another one begins. */
static int empty_locked(struct mount *m, struct node *n)
{
	int r = space_error(n->peer);

	if (r)
		return r;
	if (n->out && outgoing_writable(n->out)) {
		r = outgoing_truncate(n->out, 0);
		if (r != -EBUSY)
			return r;
	}
	return version_begin_locked(m, n, true);
}

/* May n be opened like this? Empties it where flags say so. */
static int open_locked(struct mount *m, struct node *n, int flags)
{
	int r = n->out ? outgoing_error(n->out) : 0;

	if (n->kind != NODE_FILE)
		return -EISDIR;
	if ((flags & O_ACCMODE) == O_RDONLY) {
		/* What was sent is the peer's now. */
		return n->out && !r && outgoing_uncommitted(n->out) ? 0
								    : -EACCES;
	}
	if (flags & O_TRUNC)
		return empty_locked(m, n);
	/* What follows an error is the older version, or nothing. */
	return n->delivered ? 0 : r;
}

/*
 * zip -u takes an archive that it cannot read for none, and would truncate it
 * and put a new one in its place. Who has just been refused the content may
 * not empty the file, as long as that can be the reason for it.
 */
static bool may_empty_locked(const struct node *n, const struct procs_id *by)
{
	return !n->denied.tgid || now_ms() - n->denied_ms >= DENIED_MS ||
	       !procs_same(by, &n->denied);
}

static void note_denied_locked(struct node *n, const struct procs_id *by)
{
	n->denied = *by;
	n->denied_ms = now_ms();
}

/* As open_locked, by this process. */
static int open_by_locked(
    struct mount *m, struct node *n, int flags, const struct procs_id *by)
{
	bool reads = (flags & O_ACCMODE) == O_RDONLY;
	int r;

	if (!reads && (flags & O_TRUNC) && !may_empty_locked(n, by))
		return -EACCES;
	r = open_locked(m, n, flags);
	if (reads && r == -EACCES)
		note_denied_locked(n, by);
	return r;
}

void outbox_open(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	bool reads = (fi->flags & O_ACCMODE) == O_RDONLY;
	bool empties = !reads && (fi->flags & O_TRUNC);
	struct open_file *f = NULL;
	struct procs_id by = { 0 };
	struct node *n;
	int r = procs_identify(fuse_req_ctx(req)->pid, &by);

	if (procs_is_shortage(r)) {
		fuse_reply_err(req, -r);
		return;
	}
	r = -ESTALE;
	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n)
		r = open_by_locked(m, n, fi->flags, &by);
	if (!r) {
		f = open_new_locked(m, &by, n, reads, empties, empties);
		r = f ? 0 : -ENOMEM;
	}
	mutex_unlock(lock);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	ready(f, fi);
	if (fuse_reply_open(req, fi) == -ENOENT)
		commit_release(m, f);
}

int outbox_truncate_locked(struct mount *m, struct node *n, uint64_t size)
{
	int r;

	if (n->out && outgoing_writable(n->out)) {
		r = outgoing_truncate(n->out, size);
		if (r != -EBUSY)
			return r;
	}
	r = n->out ? outgoing_error(n->out) : 0;
	if (r)
		return r;
	if (!n->out && n->delivered && size == n->size)
		return 0; /* nothing would change there */
	r = version_begin_locked(m, n, size == 0);
	if (!r)
		r = outgoing_truncate(n->out, size);
	/* truncate(2) has no descriptor, and so no close that commits. */
	if (!r && !commit_is_open_locked(m, n))
		r = commit_unseen_locked(m, n, n->out, NULL);
	return r;
}

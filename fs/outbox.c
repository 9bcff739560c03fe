/*
 * Open files of peers' folders. Runs in FUSE workers, which reply at once or
 * park the request (fs/parked). When a close commits, checkpoints or aborts is
 * decided in fs/commit.c.
 */
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commit.h"
#include "parked.h"
#include "tree.h"

static struct open_file *from(const struct fuse_file_info *fi)
{
	return (struct open_file *)(uintptr_t)fi->fh;
}

/* An open file of n's transfer, for the process behind req. */
static struct open_file *open_new_locked(
    struct mount *m, fuse_req_t req, struct node *n)
{
	struct open_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->node = n;
	f->out = outgoing_get(n->out);
	f->file.ino = NODE_INO(n->id);
	f->file.dev = m->dev;
	f->unknown = procs_identify(fuse_req_ctx(req)->pid, &f->opener) != 0;
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

/* What a name in a peer's folder may not be. */
static int name_error(const struct node *dir, const char *name)
{
	if (!dir || !dir->listed)
		return -ESTALE;
	if (dir->kind != NODE_PEER && dir->kind != NODE_DIR)
		return -EPERM;
	if (dir->kind == NODE_PEER && !strncmp(name, ".Trash", 6))
		return -EPERM;
	return strlen(name) > WIRE_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* A transfer for the name, which n shows from now on. */
static int begin_locked(struct mount *m, struct node *n)
{
	struct node *dir = n->parent;
	struct outgoing *o;
	int r;

	if (!dir)
		return -ENOENT;
	r = outgoing_new(
	    n->peer, dir->outdir, n->name, n->mode, WIRE_SIZE_UNKNOWN, &o);
	if (r)
		return r;
	outgoing_put(n->out);
	n->out = o;
	node_begun_locked(m->nodes, n);
	return 0;
}

void outbox_create(struct mount *m, fuse_req_t req, fuse_ino_t parent,
    const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct fuse_entry_param e;
	struct open_file *f = NULL;
	struct node *dir, *n = NULL;
	int r;

	mutex_lock(lock);
	dir = node_by_id_locked(m->nodes, parent);
	r = name_error(dir, name);
	if (!r && node_child_locked(m->nodes, dir, name))
		r = -EEXIST;
	if (!r) {
		n = node_add_locked(
		    m->nodes, dir, NODE_FILE, name, mode & 0777, 0);
		r = n ? 0 : -ENOMEM;
	}
	if (!r) {
		n->peer = peer_get(dir->peer);
		r = begin_locked(m, n);
	}
	if (!r) {
		f = open_new_locked(m, req, n);
		r = f ? 0 : -ENOMEM;
	}
	if (!r)
		tree_entry_locked(m, n, &e);
	else if (n)
		node_unlist_locked(m->nodes, n);
	mutex_unlock(lock);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	ready(f, fi);
	if (fuse_reply_create(req, &e, fi) == -ENOENT)
		commit_release(m, f);
}

/* May this open go ahead, and does it need a new transfer? */
static int open_error(const struct node *n, int flags, bool *ret_begin)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	int r = n->out ? outgoing_error(n->out) : 0;
	bool flying = n->out && !r && outgoing_uncommitted(n->out);

	if (n->kind != NODE_FILE)
		return -EISDIR;
	if (!writes)
		return -EACCES; /* what was sent is the peer's now */
	*ret_begin = !flying;
	/* A new version of what was delivered needs all of it anew. */
	return flying || (flags & O_TRUNC) ? 0 : -EOPNOTSUPP;
}

void outbox_open(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct open_file *f = NULL;
	bool begin = false;
	struct node *n;
	int r = -ESTALE;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n)
		r = open_error(n, fi->flags, &begin);
	if (!r && !begin && (fi->flags & O_TRUNC)) {
		r = outgoing_truncate(n->out, 0);
		/* It is being committed: what comes now is another one. */
		begin = r == -EOPNOTSUPP;
		r = begin ? 0 : r;
	}
	if (!r && begin)
		r = begin_locked(m, n);
	if (!r) {
		f = open_new_locked(m, req, n);
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

static void touch(struct mount *m, struct node *n)
{
	mutex_lock(nodes_mutex(m->nodes));
	clock_gettime(CLOCK_REALTIME, &n->mtime);
	mutex_unlock(nodes_mutex(m->nodes));
}

void outbox_write(struct mount *m, fuse_req_t req, const char *buf, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct parked *p;
	size_t taken = 0;
	int r;

	commit_note_writer(f, fuse_req_ctx(req)->pid);
	p = parked_new(m, req, PARKED_WRITE, f->out);
	if (!p)
		return;
	touch(m, f->node);
	r = outgoing_write(
	    f->out, buf, size, (uint64_t)off, &p->waiter, &taken);
	parked_settle(p, r, taken);
}

void outbox_flush(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct parked *p;
	int r;

	switch (commit_on_flush(f, fuse_req_ctx(req)->pid, &r)) {
	case COMMIT_NOTHING: fuse_reply_err(req, -r); return;
	case COMMIT_ABORT:
		outgoing_abort(f->out, -ECANCELED);
		fuse_reply_err(req, ECANCELED);
		return;
	case COMMIT_CHECKPOINT:
		p = parked_new(m, req, PARKED_FLUSH, f->out);
		if (p)
			parked_settle(
			    p, outgoing_checkpoint(f->out, &p->waiter), 0);
		return;
	case COMMIT_PUBLISH:
		p = parked_new(m, req, PARKED_FLUSH, f->out);
		if (p)
			parked_settle(
			    p, outgoing_commit(f->out, &p->waiter), 0);
		return;
	}
}

void outbox_fsync(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct parked *p = parked_new(m, req, PARKED_FSYNC, f->out);

	if (p)
		parked_settle(p, outgoing_checkpoint(f->out, &p->waiter), 0);
}

void outbox_fallocate(struct mount *m, fuse_req_t req, int mode, off_t offset,
    off_t length, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct parked *p;

	if (mode & ~FALLOC_FL_KEEP_SIZE) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	p = parked_new(m, req, PARKED_FALLOCATE, f->out);
	if (p)
		parked_settle(p,
		    outgoing_reserve(f->out, (uint64_t)offset, (uint64_t)length,
			mode & FALLOC_FL_KEEP_SIZE, &p->waiter),
		    0);
}

void outbox_release(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	commit_release(m, from(fi));
	fuse_reply_err(req, 0);
}

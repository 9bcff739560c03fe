/*
 * Operations on open files of peers' folders. Runs in FUSE workers, which reply
 * at once or park the request (fs/parked). Which transfer an operation goes to
 * is decided in fs/version.c; when a close commits, checkpoints or aborts, in
 * fs/commit.c; files are opened in fs/outbox_open.c.
 */
#include "outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "commit.h"
#include "parked.h"
#include "source.h"
#include "version.h"

static struct open_file *from(const struct fuse_file_info *fi)
{
	return (struct open_file *)(uintptr_t)fi->fh;
}

/* The transfer that f belongs to, referenced; NULL: none. */
static struct outgoing *transfer_of(struct mount *m, struct open_file *f)
{
	struct outgoing *o;

	mutex_lock(nodes_mutex(m->nodes));
	o = version_of_locked(f);
	if (o)
		outgoing_get(o);
	mutex_unlock(nodes_mutex(m->nodes));
	return o;
}

/*
 * Parks an operation that changes the file with a transfer that takes it. NULL:
 * replied. A commit may come between this and the operation, which then gets
 * -EBUSY and is tried again with the next version.
 */
static struct parked *park_change(
    struct mount *m, fuse_req_t req, enum parked_kind kind, struct open_file *f)
{
	struct outgoing *o;
	struct parked *p;
	int r = version_writable(m, f, &o);

	if (r) {
		fuse_reply_err(req, -r);
		return NULL;
	}
	p = parked_new(m, req, kind, f->node, o, 0);
	outgoing_put(o);
	return p;
}

/*
 * A copy tells nobody how large it will be. Where the file can be found that it
 * reads from, the peer is asked whether there is room for all of it, so that
 * ENOSPC comes before the bytes.
 */
static void ask_for_room(
    struct mount *m, const struct parked *p, size_t size, off_t off)
{
	uint64_t whole;

	if (off != 0 || size < SOURCE_LEAST || outgoing_size(p->out) != 0 ||
	    !source_copies_whole(p->tid))
		return;
	whole = source_size(p->tid, m->dev, size);
	if (whole > MOUNT_BLKSIZE)
		outgoing_reserve(p->out, 0, whole, WIRE_RESERVE_CHECK, NULL);
}

void outbox_write(struct mount *m, fuse_req_t req, const char *buf, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct parked *p;
	size_t taken = 0;
	int r;

	commit_note_writer(f, fuse_req_ctx(req)->pid);
	for (;;) {
		p = park_change(m, req, PARKED_WRITE, f);
		if (!p)
			return;
		ask_for_room(m, p, size, off);
		r = outgoing_write(
		    p->out, buf, size, (uint64_t)off, &p->waiter, &taken);
		if (r != -EBUSY)
			break;
		parked_drop(p);
	}
	parked_settle(p, r, taken);
}

void outbox_read(struct mount *m, fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct outgoing *o = transfer_of(m, f);
	struct parked *p;

	if (!o) {
		fuse_reply_err(req, EACCES);
		return;
	}
	if (size > MOUNT_BLKSIZE)
		size = MOUNT_BLKSIZE;
	p = parked_new(m, req, PARKED_READ, f->node, o, size);
	outgoing_put(o);
	if (p)
		parked_settle(p,
		    outgoing_read(
			p->out, p->buf, size, (uint64_t)off, &p->waiter),
		    0);
}

/* As for a file without holes: where they are, only the peer knows. */
void outbox_lseek(struct mount *m, fuse_req_t req, off_t off, int whence,
    struct fuse_file_info *fi)
{
	struct node *n = from(fi)->node;
	uint64_t size;

	mutex_lock(nodes_mutex(m->nodes));
	size = n->out ? outgoing_size(n->out) : n->size;
	mutex_unlock(nodes_mutex(m->nodes));
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		fuse_reply_err(req, EINVAL);
	else if (off < 0 || (uint64_t)off >= size)
		fuse_reply_err(req, ENXIO);
	else
		fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)size);
}

void outbox_flush(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct outgoing *o;
	struct parked *p;
	enum commit_action action;
	int r;

	action = commit_on_flush(m, f, fuse_req_ctx(req)->pid, &o, &r);
	if (action == COMMIT_NOTHING) {
		fuse_reply_err(req, -r);
		return;
	}
	if (action == COMMIT_ABORT) {
		outgoing_abort(o, r);
		outgoing_put(o);
		fuse_reply_err(req, -r);
		return;
	}
	p = parked_new(m, req,
	    action == COMMIT_PUBLISH      ? PARKED_COMMIT
	    : action == COMMIT_CHECKPOINT ? PARKED_FLUSH
					  : PARKED_FSYNC,
	    f->node, o, 0);
	outgoing_put(o);
	if (!p)
		return;
	if (action == COMMIT_PUBLISH)
		r = commit_publish(m, f, p->out, &p->waiter);
	else
		r = outgoing_checkpoint(p->out, &p->waiter);
	parked_settle(p, r, 0);
}

void outbox_note_truncate(const struct fuse_file_info *fi)
{
	commit_note_change(from(fi));
}

void outbox_fsync(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	struct outgoing *o = transfer_of(m, f);
	struct parked *p;

	if (!o) {
		fuse_reply_err(req, 0);
		return;
	}
	p = parked_new(m, req, PARKED_FSYNC, f->node, o, 0);
	outgoing_put(o);
	if (p)
		parked_settle(p, outgoing_sync(p->out, &p->waiter), 0);
}

/* *ret: what mode of fallocate(2) asks of the peer. False: nothing it can. */
static bool reserve_of(int mode, enum wire_reserve *ret)
{
	switch (mode) {
	case 0: *ret = WIRE_RESERVE_EXTEND; return true;
	case FALLOC_FL_KEEP_SIZE: *ret = WIRE_RESERVE_KEEP; return true;
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		*ret = WIRE_RESERVE_PUNCH;
		return true;
	case FALLOC_FL_ZERO_RANGE: *ret = WIRE_RESERVE_ZERO; return true;
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		*ret = WIRE_RESERVE_ZERO_KEEP;
		return true;
	default: return false;
	}
}

void outbox_fallocate(struct mount *m, fuse_req_t req, int mode, off_t offset,
    off_t length, struct fuse_file_info *fi)
{
	struct open_file *f = from(fi);
	enum wire_reserve how;
	struct parked *p;
	int r;

	if (!reserve_of(mode, &how)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	commit_note_change(f);
	for (;;) {
		p = park_change(m, req, PARKED_FALLOCATE, f);
		if (!p)
			return;
		r = outgoing_reserve(p->out, (uint64_t)offset, (uint64_t)length,
		    how, &p->waiter);
		if (r != -EBUSY)
			break;
		parked_drop(p);
	}
	parked_settle(p, r, 0);
}

void outbox_release(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	commit_release(m, from(fi));
	fuse_reply_err(req, 0);
}

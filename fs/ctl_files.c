/*
 * Runs in FUSE workers; ctl_files_events_grew in whatever thread adds an
 * event. Contents are answered from memory. A command that has to write a pin
 * takes as long as one small file on the local disk.
 *
 * One that takes longer (a pairing, 15 s at most) parks its write: whoever ends
 * it answers the kernel. The kernel holds the file's lock meanwhile, so that
 * other writes into control wait, but no close does (noflush).
 */
#include "ctl_files.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "control.h"
#include "procs.h"
#include "texts.h"

enum { COMMAND_MAX = 1024 };

struct ctl_open {
	LIST_ENTRY(ctl_open) entry;
	unsigned file;
	char *text; /* as it was opened; the answer of control */
	size_t len;
	size_t told;    /* of the answer of control */
	uint64_t begin; /* events: position of this descriptor's offset 0 */
	uint64_t seen;  /* events: read up to here */
	struct fuse_pollhandle *ph;
	/* CTL_FILES_TEXT: which one. */
	unsigned folder;
	char name[WIRE_PEER_NAME_MAX + 1];
	uint64_t serial;
};

/* A write whose command ends later. */
struct ctl_parked {
	struct mount *mount;
	struct ctl_open *open; /* not released before the write is answered */
	fuse_req_t req;
	size_t size;
	pid_t tid;
	/* Under the pollers' lock. */
	unsigned refs;    /* who ends it, and who has begun it */
	bool begun;       /* serial is known */
	bool interrupted; /* ... and was not yet */
	uint64_t serial;
};

struct pollers {
	struct mutex lock;
	LIST_HEAD(, ctl_open) list;
};

static const char *const names[CTL_FILES_COUNT] = { "self", "peers",
	"transfers", "events", "control" };

const char *ctl_files_name(unsigned file)
{
	return names[file];
}

off_t ctl_files_size(const struct mount *m, unsigned file)
{
	if (file != CTL_FILES_EVENTS)
		return 0; /* direct_io: read to the end */
	return (off_t)(events_end(m->events) - events_begin(m->events));
}

struct pollers *pollers_new(void)
{
	struct pollers *p = calloc(1, sizeof(*p));

	if (p)
		mutex_init(&p->lock);
	return p;
}

/* With the pollers' lock, or without other threads. */
static void open_free(struct ctl_open *c)
{
	LIST_REMOVE(c, entry);
	if (c->ph)
		fuse_pollhandle_destroy(c->ph);
	if (c->text)
		explicit_bzero(c->text, c->len); /* a code may be in it */
	free(c->text);
	free(c);
}

void pollers_free(struct pollers *p)
{
	struct ctl_open *c;

	if (!p)
		return;
	/* Without a mount no RELEASE comes. */
	while ((c = LIST_FIRST(&p->list)))
		open_free(c);
	mutex_fini(&p->lock);
	free(p);
}

/* Handles that wait; notified without the lock. */
void ctl_files_events_grew(void *ctx)
{
	struct mount *m = ctx;
	struct fuse_pollhandle *ph;
	struct ctl_open *c;

	do {
		ph = NULL;
		mutex_lock(&m->pollers->lock);
		LIST_FOREACH(c, &m->pollers->list, entry)
			if (c->ph && events_end(m->events) > c->seen) {
				ph = c->ph;
				c->ph = NULL;
				break;
			}
		mutex_unlock(&m->pollers->lock);
		if (ph) {
			fuse_lowlevel_notify_poll(ph);
			fuse_pollhandle_destroy(ph);
		}
	} while (ph);
}

static struct ctl_open *from(const struct fuse_file_info *fi)
{
	return (struct ctl_open *)(uintptr_t)fi->fh;
}

/* Which file of requests/ or why/ that is. 0 or -ESTALE. */
static int find_text(struct mount *m, fuse_ino_t ino, struct ctl_open *c)
{
	struct node *n;
	int r = -ESTALE;

	mutex_lock(nodes_mutex(m->nodes));
	n = node_by_id_locked(m->nodes, ino);
	if (n && n->kind == NODE_CTL_TEXT) {
		c->file = CTL_FILES_TEXT;
		c->folder = n->ctl;
		c->serial = n->serial;
		snprintf(c->name, sizeof(c->name), "%s", n->name);
		r = 0;
	}
	mutex_unlock(nodes_mutex(m->nodes));
	return r;
}

static int open_text(struct mount *m, fuse_ino_t ino, struct ctl_open *c)
{
	int r;

	c->file = (unsigned)(ino - NODE_ID_CTL_FIRST);
	if (ino & NODE_ID_TEXT) {
		r = find_text(m, ino, c);
		return r ? r
			 : texts_read(&m->ctl, c->folder, c->name, c->serial,
			       &c->text, &c->len);
	}
	if (c->file <= CTL_FILES_TRANSFERS)
		return ctl_read(
		    &m->ctl, (enum ctl_file)c->file, &c->text, &c->len);
	return 0;
}

void ctl_files_open(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ctl_open *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r = open_text(m, ino, c);
	if (r) {
		free(c);
		fuse_reply_err(req, -r);
		return;
	}
	c->begin = c->seen = events_begin(m->events);
	mutex_lock(&m->pollers->lock);
	LIST_INSERT_HEAD(&m->pollers->list, c, entry);
	mutex_unlock(&m->pollers->lock);
	fi->fh = (uintptr_t)c;
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

/* Lines that have left the ring are skipped: offsets then mean later ones. */
static void read_events(
    struct mount *m, fuse_req_t req, struct ctl_open *c, size_t size, off_t off)
{
	uint64_t want = c->begin + (uint64_t)off;
	uint64_t at = want;
	char *buf;
	size_t n;

	if (size > 65536)
		size = 65536;
	buf = malloc(size);
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = events_read(m->events, &at, buf, size);
	mutex_lock(&m->pollers->lock);
	c->begin += at - n > want ? at - n - want : 0;
	if (at > c->seen)
		c->seen = at;
	mutex_unlock(&m->pollers->lock);
	fuse_reply_buf(req, buf, n);
	free(buf);
}

void ctl_files_read(struct mount *m, fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct ctl_open *c = from(fi);
	char *copy;
	size_t left;

	if (c->file == CTL_FILES_EVENTS) {
		read_events(m, req, c, size, off);
		return;
	}
	/* Another write may replace the answer of control meanwhile. */
	mutex_lock(&m->pollers->lock);
	/* Its offset counts the command too, which was written before. */
	if (c->file == CTL_FILES_CONTROL)
		off = (off_t)c->told;
	left = off < (off_t)c->len ? c->len - (size_t)off : 0;
	if (left > size)
		left = size;
	copy = left ? malloc(left) : NULL;
	if (copy)
		memcpy(copy, c->text + off, left);
	if (copy)
		c->told += left;
	mutex_unlock(&m->pollers->lock);
	if (left && !copy)
		fuse_reply_err(req, ENOMEM);
	else
		fuse_reply_buf(req, copy, left);
	free(copy);
}

/* answer is taken. Whoever reads control on that descriptor gets it. */
static void set_answer(struct mount *m, struct ctl_open *c, char *answer)
{
	char *old;

	mutex_lock(&m->pollers->lock);
	old = c->text;
	if (old)
		explicit_bzero(old, c->len);
	c->text = answer;
	c->len = answer ? strlen(answer) : 0;
	c->told = 0;
	mutex_unlock(&m->pollers->lock);
	free(old);
}

static void reply_written(fuse_req_t req, int r, size_t size)
{
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, size);
}

/* --- what takes longer -----------------------------------------------------
 */

static void parked_put(struct ctl_parked *p)
{
	struct mutex *lock = &p->mount->pollers->lock;
	bool last;

	mutex_lock(lock);
	last = --p->refs == 0;
	mutex_unlock(lock);
	if (last)
		free(p);
}

/*
 * Also told of Ctrl-Z and alarms, which change nothing. libfuse holds the
 * request's lock meanwhile, so that p outlives this (see parked_done).
 */
static void on_interrupt(fuse_req_t req, void *data)
{
	struct ctl_parked *p = data;
	struct mount *m = p->mount;
	bool cancel;

	(void)req;
	if (!procs_dying(p->tid))
		return;
	mutex_lock(&m->pollers->lock);
	p->interrupted = true;
	cancel = p->begun;
	mutex_unlock(&m->pollers->lock);
	if (cancel)
		network_pair_cancel(m->network, p->serial);
}

/* In a thread of the network's. */
static void parked_done(void *ctx, int result, char *answer)
{
	struct ctl_parked *p = ctx;

	fuse_req_interrupt_func(p->req, NULL, NULL);
	set_answer(p->mount, p->open, answer);
	reply_written(p->req, result, p->size);
	parked_put(p);
}

/* The command goes on in another thread, and may have ended there. */
static void parked_begun(struct ctl_parked *p, uint64_t serial)
{
	struct mount *m = p->mount;
	bool cancel;

	mutex_lock(&m->pollers->lock);
	p->serial = serial;
	p->begun = true;
	cancel = p->interrupted;
	mutex_unlock(&m->pollers->lock);
	if (cancel)
		network_pair_cancel(m->network, serial);
	parked_put(p);
}

static void run_line(struct mount *m, fuse_req_t req, struct ctl_open *c,
    const char *buf, size_t size)
{
	struct ctl_parked *p = calloc(1, sizeof(*p));
	char *answer = NULL;
	uint64_t serial = 0;
	int r;

	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*p = (struct ctl_parked){ .mount = m,
		.open = c,
		.req = req,
		.size = size,
		.tid = fuse_req_ctx(req)->pid,
		.refs = 2 };
	fuse_req_interrupt_func(req, on_interrupt, p);
	r = control_run(&m->ctl, buf, size, parked_done, p, &serial, &answer);
	if (r == CONTROL_LATER) {
		parked_begun(p, serial);
		return;
	}
	fuse_req_interrupt_func(req, NULL, NULL);
	free(p);
	set_answer(m, c, answer);
	reply_written(req, r, size);
}

void ctl_files_write(struct mount *m, fuse_req_t req, const char *buf,
    size_t size, struct fuse_file_info *fi)
{
	struct ctl_open *c = from(fi);

	if (c->file == CTL_FILES_TEXT)
		reply_written(req,
		    texts_write(
			&m->ctl, c->folder, c->name, c->serial, buf, size),
		    size);
	else if (c->file != CTL_FILES_CONTROL)
		fuse_reply_err(req, EBADF);
	else if (size > COMMAND_MAX)
		fuse_reply_err(req, EMSGSIZE);
	else
		run_line(m, req, c, buf, size);
}

void ctl_files_poll(struct mount *m, fuse_req_t req, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph)
{
	struct ctl_open *c = from(fi);
	struct fuse_pollhandle *old = NULL;
	unsigned revents = POLLIN | POLLOUT;

	if (c->file == CTL_FILES_EVENTS) {
		mutex_lock(&m->pollers->lock);
		revents = events_end(m->events) > c->seen ? POLLIN : 0;
		if (ph) {
			old = c->ph;
			c->ph = ph;
			ph = NULL;
		}
		mutex_unlock(&m->pollers->lock);
	}
	if (old)
		fuse_pollhandle_destroy(old);
	if (ph)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, revents);
}

void ctl_files_release(
    struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	mutex_lock(&m->pollers->lock);
	open_free(from(fi));
	mutex_unlock(&m->pollers->lock);
	fuse_reply_err(req, 0);
}

/*
 * Runs in FUSE workers; ctl_files_events_grew in whatever thread adds an
 * event. Contents are answered from memory. A command that has to write a pin
 * takes as long as one small file on the local disk.
 */
#include "ctl_files.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { COMMAND_MAX = 1024 };

struct ctl_open {
	LIST_ENTRY(ctl_open) entry;
	unsigned file;
	char *text; /* self, peers, transfers; the answer of control */
	size_t len;
	uint64_t begin; /* events: position of this descriptor's offset 0 */
	uint64_t seen;  /* events: read up to here */
	struct fuse_pollhandle *ph;
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

void ctl_files_open(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ctl_open *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	c->file = (unsigned)(ino - NODE_ID_CTL_FIRST);
	if (c->file <= CTL_FILES_TRANSFERS)
		r = ctl_read(
		    &m->ctl, (enum ctl_file)c->file, &c->text, &c->len);
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
	left = off < (off_t)c->len ? c->len - (size_t)off : 0;
	if (left > size)
		left = size;
	copy = left ? malloc(left) : NULL;
	if (copy)
		memcpy(copy, c->text + off, left);
	mutex_unlock(&m->pollers->lock);
	if (left && !copy)
		fuse_reply_err(req, ENOMEM);
	else
		fuse_reply_buf(req, copy, left);
	free(copy);
}

void ctl_files_write(struct mount *m, fuse_req_t req, const char *buf,
    size_t size, struct fuse_file_info *fi)
{
	struct ctl_open *c = from(fi);
	char *answer = NULL, *old;
	int r;

	if (c->file != CTL_FILES_CONTROL || size > COMMAND_MAX) {
		fuse_reply_err(
		    req, c->file == CTL_FILES_CONTROL ? EMSGSIZE : EBADF);
		return;
	}
	r = ctl_command(&m->ctl, buf, size, &answer);
	mutex_lock(&m->pollers->lock);
	old = c->text;
	c->text = answer;
	c->len = answer ? strlen(answer) : 0;
	mutex_unlock(&m->pollers->lock);
	free(old);
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, size);
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

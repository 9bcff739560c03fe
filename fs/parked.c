/*
 * Interrupts follow design section 8: an interrupted WRITE is finished from
 * what is held; all others go on waiting unless the caller is dying, and then a
 * FLUSH of the opener aborts the transfer.
 *
 * libfuse calls on_interrupt with the request's lock held, in a worker; the
 * answer of the link's thread takes the same lock by clearing the function
 * first, so that p outlives a call that is under way. The "watch" thread holds
 * a reference of its own; who has unparked p, or was told of its end, replies.
 */
#include "parked.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "procs.h"
#include "sync.h"
#include "version.h"

enum { WATCH_INTERVAL_MS = 100 };

struct parked_watch {
	struct mutex lock;
	struct cond wake;
	bool stop GUARDED_BY(lock);
	bool started GUARDED_BY(lock);
	LIST_HEAD(, parked) list GUARDED_BY(lock);
	pthread_t thread;
};

static void put(struct parked *p)
{
	struct nodes *nodes = p->mount->nodes;

	if (atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	mutex_lock(nodes_mutex(nodes));
	node_unref_locked(nodes, p->node, 1);
	mutex_unlock(nodes_mutex(nodes));
	outgoing_put(p->out);
	free(p->buf);
	free(p);
}

static void unwatch(struct parked *p)
{
	mutex_lock(&p->watch->lock);
	if (p->is_watched)
		LIST_REMOVE(p, watched);
	p->is_watched = false;
	mutex_unlock(&p->watch->lock);
}

/* Before the program is told: it may rename or remove the file at once. */
static void settle(struct parked *p)
{
	struct mutex *lock = nodes_mutex(p->mount->nodes);

	mutex_lock(lock);
	version_settle_locked(p->mount, p->node, p->out);
	mutex_unlock(lock);
}

/* Answers the kernel; p is the caller's no longer. */
static void reply(struct parked *p, int64_t result)
{
	unwatch(p);
	if (p->kind == PARKED_COMMIT && result >= 0)
		settle(p);
	if (result < 0)
		fuse_reply_err(p->req, (int)-result);
	else if (p->kind == PARKED_WRITE)
		fuse_reply_write(p->req, (size_t)result);
	else if (p->kind == PARKED_READ)
		fuse_reply_buf(p->req, p->buf, (size_t)result);
	else
		fuse_reply_err(p->req, 0);
	put(p);
}

static bool is_openers(const struct parked *p)
{
	return p->kind == PARKED_FLUSH || p->kind == PARKED_COMMIT;
}

/* The end of a wait that had no result; p is the caller's no longer. */
static void reply_interrupted(struct parked *p, int64_t taken)
{
	if (is_openers(p))
		outgoing_abort(p->out, -ECANCELED);
	reply(p, p->kind == PARKED_WRITE ? taken : -EINTR);
}

/* --- the watch -------------------------------------------------------------
 */

/* Its caller is dying: ends the wait, unless that has ended. */
static void give_up(struct parked *p)
{
	int64_t taken;

	if (!outgoing_unpark(p->out, &p->waiter, &taken))
		return;
	fuse_req_interrupt_func(p->req, NULL, NULL);
	reply_interrupted(p, taken);
}

/* One whose caller is dying, referenced and no longer watched; or NULL. */
static struct parked *next_dying_locked(struct parked_watch *w)
    REQUIRES(w->lock)
{
	struct parked *p;

	LIST_FOREACH(p, &w->list, watched)
		if (procs_dying(p->tid)) {
			LIST_REMOVE(p, watched);
			p->is_watched = false;
			atomic_fetch_add(&p->refs, 1);
			return p;
		}
	return NULL;
}

static void *watch_run(void *arg)
{
	struct parked_watch *w = arg;
	struct parked *p;

	mutex_lock(&w->lock);
	while (!w->stop) {
		while ((p = next_dying_locked(w))) {
			mutex_unlock(&w->lock);
			give_up(p);
			put(p);
			mutex_lock(&w->lock);
		}
		if (LIST_EMPTY(&w->list))
			cond_wait(&w->wake, &w->lock);
		else
			cond_wait_until(
			    &w->wake, &w->lock, now_ms() + WATCH_INTERVAL_MS);
	}
	mutex_unlock(&w->lock);
	return NULL;
}

static void watch_add(struct parked *p)
{
	struct parked_watch *w = p->watch;

	mutex_lock(&w->lock);
	if (!w->started)
		w->started =
		    thread_start(&w->thread, "watch", watch_run, w) == 0;
	if (!p->is_watched) {
		LIST_INSERT_HEAD(&w->list, p, watched);
		p->is_watched = true;
		cond_signal(&w->wake);
	}
	mutex_unlock(&w->lock);
}

struct parked_watch *parked_watch_new(void) NO_THREAD_ANALYSIS
{
	struct parked_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	mutex_init(&w->lock);
	cond_init(&w->wake);
	LIST_INIT(&w->list);
	return w;
}

void parked_watch_free(struct parked_watch *w)
{
	bool started;

	if (!w)
		return;
	mutex_lock(&w->lock);
	w->stop = true;
	started = w->started;
	cond_signal(&w->wake);
	mutex_unlock(&w->lock);
	if (started)
		pthread_join(w->thread, NULL);
	cond_fini(&w->wake);
	mutex_fini(&w->lock);
	free(w);
}

/* --- requests --------------------------------------------------------------
 */

/*
 * A writer with an interval timer is interrupted at each write. Each takes 64
 * KiB at least: one that is far beyond its share has to wait all the same.
 */
static bool may_stop_waiting(struct parked *p)
{
	if (p->kind == PARKED_WRITE && !outgoing_overfull(p->out))
		return true;
	return procs_dying(p->tid);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;
	int64_t taken;

	(void)req;
	if (!may_stop_waiting(p)) {
		watch_add(p);
		return;
	}
	if (!outgoing_unpark(p->out, &p->waiter, &taken))
		return;
	reply_interrupted(p, taken);
}

static void done(struct waiter *w, int64_t result)
{
	struct parked *p = (struct parked *)w;

	fuse_req_interrupt_func(p->req, NULL, NULL);
	reply(p, result);
}

struct parked *parked_new(struct mount *m, fuse_req_t req,
    enum parked_kind kind, struct node *n, struct outgoing *out, size_t buf_len)
{
	struct parked *p = calloc(1, sizeof(*p));

	if (p && buf_len)
		p->buf = malloc(buf_len);
	if (!p || (buf_len && !p->buf)) {
		free(p);
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	p->waiter.done = done;
	p->watch = m->watch;
	atomic_init(&p->refs, 1);
	p->mount = m;
	p->req = req;
	p->kind = kind;
	p->node = n;
	mutex_lock(nodes_mutex(m->nodes));
	node_ref_locked(n, 1);
	mutex_unlock(nodes_mutex(m->nodes));
	p->out = outgoing_get(out);
	p->tid = fuse_req_ctx(req)->pid;
	fuse_req_interrupt_func(req, on_interrupt, p);
	return p;
}

void parked_settle(struct parked *p, int result, size_t taken)
{
	if (result == OUTGOING_PARKED)
		return;
	fuse_req_interrupt_func(p->req, NULL, NULL);
	/* Its caller was dying before it could be parked. */
	if (is_openers(p) && result == -EINTR)
		outgoing_abort(p->out, -ECANCELED);
	reply(p, result < 0 ? result : (int64_t)taken);
}

void parked_drop(struct parked *p)
{
	fuse_req_interrupt_func(p->req, NULL, NULL);
	unwatch(p);
	put(p);
}

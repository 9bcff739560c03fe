/*
 * A file is held for its writer's sake: so what is looked at is whether the
 * writers live, each of them once, however many files it has written. There is
 * no event for the end of somebody else's process that the mount's owner could
 * always wait for, and twenty looks a second are cheap.
 *
 * A SHOW that cannot be queued is tried again at the next look. Where nothing
 * comes through any more, the receiver shows its files by itself.
 */
#include "unshown.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inuse.h"
#include "log.h"
#include "sync.h"

enum {
	LOOK_EVERY_MS = 50,
	/* Distinct writers looked at in one go; the others have their turn when
	 * these have ended. */
	WRITERS_MAX = 64,
	DIRS_MAX = 64, /* of files that are shown in one go */
	BUCKETS = 256,
};

struct held {
	LIST_ENTRY(held) entry;
	struct node *node; /* held */
	bool ended;        /* its writer has */
	int64_t since_ms;
};

/* All but mount, lock and thread is guarded by the nodes' lock. */
struct unshown {
	struct mount *mount;
	struct mutex *lock; /* the nodes' */
	struct cond wake;
	LIST_HEAD(, held) by_node[BUCKETS];
	unsigned n;
	bool started, stop;
	pthread_t thread;
};

/* --- showing ---------------------------------------------------------------
 */

struct show {
	struct request_waiter waiter; /* first */
	struct mount *mount;
	struct node *node; /* held */
	uint8_t id[WIRE_ID_BYTES];
};

static void report_locked(struct mount *m, const struct node *n, int error)
{
	struct peer_info info;

	peer_info(n->peer, &info);
	log_warning("a file that %s holds for us was not shown: %s", info.name,
	    strerror(-error));
	events_add(m->events, "not-shown", info.name, n->name, strerror(-error),
	    (char *)NULL);
}

static void show_done(struct request_waiter *w, int result)
{
	struct show *s = (struct show *)w;
	struct mount *m = s->mount;
	struct node *n = s->node;

	mutex_lock(nodes_mutex(m->nodes));
	/* What is held is never forgotten there: the rest has been shown. */
	if (result && result != -ENOENT)
		report_locked(m, n, result);
	/* Unless a later version has taken its place meanwhile. */
	if (n->held && !memcmp(n->out_id, s->id, WIRE_ID_BYTES)) {
		n->held = false;
		if (!n->out)
			node_delivered_locked(m->nodes, n);
	}
	node_unref_locked(m->nodes, n, 1);
	mutex_unlock(nodes_mutex(m->nodes));
	free(s);
}

/* 0, or -errno: nothing will come of it. */
static int show_locked(struct mount *m, struct node *n)
{
	struct show *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->waiter.done = show_done;
	s->mount = m;
	s->node = n;
	memcpy(s->id, n->out_id, WIRE_ID_BYTES);
	node_ref_locked(n, 1);
	r = request_show(n->peer, s->id, &s->waiter);
	if (r) {
		node_unref_locked(m->nodes, n, 1);
		free(s);
	}
	return r;
}

/* --- the list --------------------------------------------------------------
 */

static void drop_locked(struct unshown *u, struct held *h)
{
	LIST_REMOVE(h, entry);
	u->n--;
	node_unref_locked(u->mount->nodes, h->node, 1);
	free(h);
}

static struct held *find_locked(struct unshown *u, const struct node *n)
{
	struct held *h;

	LIST_FOREACH(h, &u->by_node[n->id % BUCKETS], entry)
		if (h->node == n)
			return h;
	return NULL;
}

/* The request is queued, or will never be: done with it. True: queued. */
static bool release_locked(struct unshown *u, struct held *h)
{
	int r = show_locked(u->mount, h->node);

	if ((r == -EAGAIN || r == -ENOMEM) && !u->stop)
		return false;
	if (r)
		report_locked(u->mount, h->node, r);
	drop_locked(u, h);
	return r == 0;
}

/*
 * A name that appears changes its directory's time, and cp -a has set that
 * already: it is set once more.
 */
static void set_time_again_locked(const struct node *dir)
{
	struct wire_meta m = { .mask = WIRE_META_MTIME };

	m.mtime.sec = dir->mtime.tv_sec;
	m.mtime.nsec = (uint32_t)dir->mtime.tv_nsec;
	outdir_meta(dir->outdir, &m);
}

/* Adds dir, if it is one that was sent and not the last one there. */
static unsigned note_dir(struct node *dir, struct node **dirs, unsigned n)
{
	unsigned i;

	if (!dir || dir->kind != NODE_DIR)
		return n;
	for (i = 0; i < n && dirs[i] != dir; i++)
		;
	if (i < n)
		return n;
	if (n == DIRS_MAX) {
		set_time_again_locked(dirs[0]);
		dirs[0] = dir;
		return n;
	}
	dirs[n] = dir;
	return n + 1;
}

static bool is_due(const struct held *h, int64_t now)
{
	const struct node *n = h->node;

	if (h->ended)
		return true;
	/* A writer that is not known cannot be seen to end. */
	if (inuse_of(n->name) == INUSE_LOCK && n->writer.tgid)
		return false;
	return now - h->since_ms >= UNSHOWN_MS;
}

static unsigned writers_locked(struct unshown *u, struct procs_id *ret)
{
	unsigned i, k, n = 0;
	struct held *h;

	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH(h, &u->by_node[i], entry) {
			const struct procs_id *w = &h->node->writer;

			for (k = 0; k < n && !procs_same(w, &ret[k]); k++)
				;
			if (k == n && n < WRITERS_MAX && w->tgid)
				ret[n++] = *w;
		}
	return n;
}

static void note_ended_locked(struct unshown *u, const struct procs_id *writer)
{
	struct held *h;
	unsigned i;

	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH(h, &u->by_node[i], entry)
			if (procs_same(&h->node->writer, writer))
				h->ended = true;
}

static void show_due_locked(struct unshown *u, bool all)
{
	struct node *dirs[DIRS_MAX], *dir;
	int64_t now = now_ms();
	struct held *h, *next;
	unsigned i, n = 0;

	for (i = 0; i < BUCKETS; i++)
		for (h = LIST_FIRST(&u->by_node[i]); h; h = next) {
			next = LIST_NEXT(h, entry);
			dir = h->node->parent;
			if ((all || is_due(h, now)) && release_locked(u, h))
				n = note_dir(dir, dirs, n);
		}
	for (i = 0; i < n; i++)
		set_time_again_locked(dirs[i]);
}

static void *run(void *arg)
{
	struct unshown *u = arg;
	struct procs_id writers[WRITERS_MAX];
	bool ended[WRITERS_MAX];
	unsigned i, n;

	mutex_lock(u->lock);
	while (!u->stop) {
		if (!u->n) {
			cond_wait(&u->wake, u->lock);
			continue;
		}
		n = writers_locked(u, writers);
		mutex_unlock(u->lock);
		for (i = 0; i < n; i++)
			ended[i] = !procs_alive(&writers[i]);
		mutex_lock(u->lock);
		for (i = 0; i < n; i++)
			if (ended[i])
				note_ended_locked(u, &writers[i]);
		show_due_locked(u, false);
		if (u->n && !u->stop)
			cond_wait_until(
			    &u->wake, u->lock, now_ms() + LOOK_EVERY_MS);
	}
	mutex_unlock(u->lock);
	return NULL;
}

void unshown_add_locked(struct unshown *u, struct node *n)
{
	struct held *h = find_locked(u, n);

	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h) {
			/* Shown too early is better than never. */
			show_locked(u->mount, n);
			return;
		}
		h->node = n;
		node_ref_locked(n, 1);
		LIST_INSERT_HEAD(&u->by_node[n->id % BUCKETS], h, entry);
		u->n++;
	}
	h->since_ms = now_ms();
	h->ended = false;
	if (u->stop || !u->started)
		release_locked(u, h);
	else if (u->n == 1)
		cond_signal(&u->wake);
}

void unshown_remove_locked(struct unshown *u, struct node *n)
{
	struct held *h = find_locked(u, n);

	if (h)
		drop_locked(u, h);
}

/* --- begin and end ---------------------------------------------------------
 */

struct unshown *unshown_new(struct mount *m)
{
	struct unshown *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->mount = m;
	u->lock = nodes_mutex(m->nodes);
	cond_init(&u->wake);
	return u;
}

int unshown_start(struct unshown *u)
{
	int r = thread_start(&u->thread, "unshown", run, u);

	u->started = r == 0;
	return r;
}

void unshown_stop(struct unshown *u)
{
	bool started;

	if (!u)
		return;
	mutex_lock(u->lock);
	u->stop = true;
	started = u->started;
	u->started = false;
	show_due_locked(u, true);
	cond_signal(&u->wake);
	mutex_unlock(u->lock);
	if (started)
		pthread_join(u->thread, NULL);
}

void unshown_free(struct unshown *u)
{
	if (!u)
		return;
	cond_fini(&u->wake);
	free(u);
}

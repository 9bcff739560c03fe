/*
 * The table of nodes: two hashes, by id and by (parent, name), and the list of
 * delivered files by age. Any thread, under the table's lock.
 */
#include "node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUCKETS = 8192 };

LIST_HEAD(bucket, node);

struct nodes {
	struct mutex lock;
	struct bucket by_id[BUCKETS];
	struct bucket by_name[BUCKETS];
	TAILQ_HEAD(, node) sent;
	unsigned n_sent;
	uint64_t next_id;
};

static unsigned id_bucket(uint64_t id)
{
	return (unsigned)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % BUCKETS;
}

static unsigned name_bucket(uint64_t dir, const char *name)
{
	uint64_t h = dir * UINT64_C(0x9e3779b97f4a7c15);

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return (unsigned)(h >> 32) % BUCKETS;
}

struct nodes *nodes_new(void)
{
	struct nodes *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	mutex_init(&t->lock);
	TAILQ_INIT(&t->sent);
	t->next_id = NODE_ID_FIRST;
	return t;
}

struct mutex *nodes_mutex(struct nodes *t)
{
	return &t->lock;
}

struct node *node_by_id_locked(struct nodes *t, uint64_t id)
{
	struct node *n;

	LIST_FOREACH(n, &t->by_id[id_bucket(id)], by_id)
		if (n->id == id)
			return n;
	return NULL;
}

struct node *node_child_locked(
    struct nodes *t, const struct node *dir, const char *name)
{
	struct node *n;

	LIST_FOREACH(n, &t->by_name[name_bucket(dir->id, name)], by_name)
		if (n->parent == dir && !strcmp(n->name, name))
			return n;
	return NULL;
}

struct node *node_add_locked(struct nodes *t, struct node *dir,
    enum node_kind kind, const char *name, mode_t mode, uint64_t id)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->name = strdup(name);
	if (!n->name) {
		free(n);
		return NULL;
	}
	n->id = id ? id : t->next_id++;
	n->kind = kind;
	n->mode = mode;
	n->refs = 1; /* being listed */
	n->listed = true;
	LIST_INIT(&n->children);
	clock_gettime(CLOCK_REALTIME, &n->mtime);
	n->atime = n->mtime;
	LIST_INSERT_HEAD(&t->by_id[id_bucket(n->id)], n, by_id);
	if (dir) {
		n->parent = dir;
		dir->refs++;
		dir->mtime = n->mtime;
		LIST_INSERT_HEAD(&dir->children, n, sibling);
		LIST_INSERT_HEAD(
		    &t->by_name[name_bucket(dir->id, name)], n, by_name);
	}
	return n;
}

void node_ref_locked(struct node *n, unsigned count)
{
	n->refs += count;
}

static void destroy_locked(struct nodes *t, struct node *n)
{
	assert(!n->listed && LIST_EMPTY(&n->children) && !n->in_sent);
	LIST_REMOVE(n, by_id);
	outgoing_put(n->out);
	outdir_put(n->outdir);
	peer_put(n->peer);
	free(n->name);
	free(n);
}

void node_unref_locked(struct nodes *t, struct node *n, uint64_t count)
{
	assert(n->refs >= count);
	n->refs -= (unsigned)count;
	if (n->refs == 0)
		destroy_locked(t, n);
}

static void leave_sent_locked(struct nodes *t, struct node *n)
{
	if (!n->in_sent)
		return;
	TAILQ_REMOVE(&t->sent, n, sent);
	t->n_sent--;
	n->in_sent = false;
}

static void unlist_one_locked(struct nodes *t, struct node *n)
{
	struct node *dir = n->parent;

	leave_sent_locked(t, n);
	n->listed = false;
	n->parent = NULL;
	if (dir) {
		LIST_REMOVE(n, sibling);
		LIST_REMOVE(n, by_name);
		clock_gettime(CLOCK_REALTIME, &dir->mtime);
		node_unref_locked(t, dir, 1);
	}
	node_unref_locked(t, n, 1);
}

/* Depth first, without recursion: the deepest first child goes each time. */
void node_unlist_locked(struct nodes *t, struct node *n)
{
	bool last;

	if (!n->listed)
		return;
	do {
		struct node *leaf = n;

		while (!LIST_EMPTY(&leaf->children))
			leaf = LIST_FIRST(&leaf->children);
		last = leaf == n;
		unlist_one_locked(t, leaf);
	} while (!last);
}

void node_begun_locked(struct nodes *t, struct node *n)
{
	leave_sent_locked(t, n);
	n->delivered = false;
}

void node_delivered_locked(struct nodes *t, struct node *n)
{
	if (!n->listed || n->in_sent)
		return;
	TAILQ_INSERT_TAIL(&t->sent, n, sent);
	n->in_sent = true;
	t->n_sent++;
	while (t->n_sent > NODE_SENT_MAX)
		node_unlist_locked(t, TAILQ_FIRST(&t->sent));
}

void nodes_free(struct nodes *t)
{
	struct node *n;
	unsigned i;

	if (!t)
		return;
	/* The kernel is gone: what it still knew is known by nobody. */
	for (i = 0; i < BUCKETS; i++)
		while ((n = LIST_FIRST(&t->by_id[i]))) {
			if (n->listed) {
				n->refs++;
				node_unlist_locked(t, n);
			}
			if (LIST_FIRST(&t->by_id[i]) == n)
				node_unref_locked(t, n, n->refs);
		}
	mutex_fini(&t->lock);
	free(t);
}

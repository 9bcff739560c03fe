/*
 * The table of nodes: two hashes, by id and by (parent, name), and two lists by
 * age, of what was delivered and of directories. Any thread, under the table's
 * lock.
 */
#include "node.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BUCKETS = 8192,
	/* Old ones in use that a new one may find in its way. */
	LOOKED_AT = 64,
};

LIST_HEAD(bucket, node);

struct age_list {
	TAILQ_HEAD(, node) list; /* the oldest first */
	unsigned n;
};

struct nodes {
	struct mutex lock;
	struct bucket by_id[BUCKETS];
	struct bucket by_name[BUCKETS];
	struct age_list sent, dirs;
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
	TAILQ_INIT(&t->sent.list);
	TAILQ_INIT(&t->dirs.list);
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

/* --- ages ------------------------------------------------------------------
 */

static struct age_list *age_list_of(struct nodes *t, const struct node *n)
{
	return n->kind == NODE_DIR ? &t->dirs : &t->sent;
}

static void age_join_locked(struct nodes *t, struct node *n)
{
	struct age_list *l = age_list_of(t, n);

	TAILQ_INSERT_TAIL(&l->list, n, aged);
	l->n++;
	n->in_aged = true;
}

static void age_leave_locked(struct nodes *t, struct node *n)
{
	struct age_list *l = age_list_of(t, n);

	if (!n->in_aged)
		return;
	TAILQ_REMOVE(&l->list, n, aged);
	l->n--;
	n->in_aged = false;
}

/* The oldest becomes the youngest: it cannot leave now. */
static void age_keep_oldest_locked(struct nodes *t, struct age_list *l)
{
	struct node *n = TAILQ_FIRST(&l->list);

	age_leave_locked(t, n);
	age_join_locked(t, n);
}

/* Nothing is known of it here any more; at the peer it stays. */
static void forget_locked(struct nodes *t, struct node *n)
{
	struct node *dir = n->parent;
	struct timespec mtime = dir->mtime;

	node_ref_locked(dir, 1);
	node_unlist_locked(t, n);
	dir->mtime = mtime;
	node_unref_locked(t, dir, 1);
}

/*
 * The kernel drops a name as soon as nothing uses it (it may not remember any:
 * tree_entry_locked), so what has one reference, its place in the tree, is
 * neither open nor anybody's working directory, and has no entries. What is
 * held shows itself soon.
 */
static void age_locked(struct nodes *t, struct age_list *l, unsigned max)
{
	unsigned i;

	for (i = 0; l->n > max && i < LOOKED_AT; i++) {
		struct node *oldest = TAILQ_FIRST(&l->list);

		if (oldest->refs == 1 && !oldest->held)
			forget_locked(t, oldest);
		else
			age_keep_oldest_locked(t, l);
	}
}

/* --- lives -----------------------------------------------------------------
 */

static void touch(struct node *dir)
{
	clock_gettime(CLOCK_REALTIME, &dir->mtime);
}

/* name is taken. */
static void list_locked(
    struct nodes *t, struct node *n, struct node *dir, char *name)
{
	n->name = name;
	n->parent = dir;
	dir->refs++;
	touch(dir);
	LIST_INSERT_HEAD(&dir->children, n, sibling);
	LIST_INSERT_HEAD(&t->by_name[name_bucket(dir->id, name)], n, by_name);
}

static void leave_parent_locked(struct nodes *t, struct node *n)
{
	struct node *dir = n->parent;

	LIST_REMOVE(n, sibling);
	LIST_REMOVE(n, by_name);
	n->parent = NULL;
	touch(dir);
	node_unref_locked(t, dir, 1);
}

struct node *node_add_locked(struct nodes *t, struct node *dir,
    enum node_kind kind, const char *name, mode_t mode, uint64_t id)
{
	struct node *n = calloc(1, sizeof(*n));
	char *copy = n ? strdup(name) : NULL;

	if (!copy) {
		free(n);
		return NULL;
	}
	n->id = id ? id : t->next_id++;
	if (kind == NODE_CTL_TEXT)
		n->id |= NODE_ID_TEXT;
	n->kind = kind;
	n->mode = mode;
	n->refs = 1; /* being listed */
	n->listed = true;
	LIST_INIT(&n->children);
	touch(n);
	n->atime = n->mtime;
	LIST_INSERT_HEAD(&t->by_id[id_bucket(n->id)], n, by_id);
	if (dir)
		list_locked(t, n, dir, copy);
	else
		n->name = copy;
	if (kind == NODE_DIR) {
		age_join_locked(t, n);
		node_ref_locked(n, 1); /* it is not the one to leave */
		age_locked(t, &t->dirs, NODE_DIRS_MAX);
		node_unref_locked(t, n, 1);
	}
	return n;
}

void node_ref_locked(struct node *n, unsigned count)
{
	n->refs += count;
}

static void destroy_locked(struct nodes *t, struct node *n)
{
	assert(!n->listed && LIST_EMPTY(&n->children) && !n->in_aged);
	LIST_REMOVE(n, by_id);
	outgoing_put(n->out);
	outdir_put(n->outdir);
	peer_put(n->peer);
	free(n->target);
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

static void unlist_one_locked(struct nodes *t, struct node *n)
{
	age_leave_locked(t, n);
	n->listed = false;
	if (n->parent)
		leave_parent_locked(t, n);
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

int node_move_locked(
    struct nodes *t, struct node *n, struct node *dir, const char *name)
{
	char *copy = strdup(name), *old = n->name;

	assert(n->listed && !node_child_locked(t, dir, name));
	if (!copy)
		return -ENOMEM;
	leave_parent_locked(t, n);
	list_locked(t, n, dir, copy);
	free(old);
	return 0;
}

void node_begun_locked(struct nodes *t, struct node *n)
{
	age_leave_locked(t, n);
	n->delivered = false;
}

void node_delivered_locked(struct nodes *t, struct node *n)
{
	if (!n->listed || n->in_aged)
		return;
	age_join_locked(t, n);
	age_locked(t, &t->sent, NODE_SENT_MAX);
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

/*
 * The node table: two hashes (by id, by key) of nodes that point to their
 * parents. A node lives while the kernel counts lookups of it, a child or an
 * open descriptor holds it, or a call is using it.
 *
 * FUSE workers and the view's slow thread run it; opening what a path leads to
 * is left to view_fd.c.
 */
#include "view_node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync.h"
#include "view.h"

#define TABLE_MIN 64

/* All but id and key are protected by the table's lock. */
struct view_node {
	struct view_node *next_id;
	struct view_node *next_key;
	struct view_node *parent; /* counted; NULL for the top */
	char *name;
	struct view_handle *handles;
	uint64_t id;
	uint64_t nlookup;
	struct view_key key;
	uint32_t refs;
	bool keyed; /* found by its key */
};

struct view_nodes {
	struct mutex lock;
	struct cond renamed;
	unsigned int renames GUARDED_BY(lock); /* running now */
	uint64_t generation GUARDED_BY(lock);  /* renames that ended */
	uint64_t last_id GUARDED_BY(lock);
	struct view_node **ids GUARDED_BY(lock);
	struct view_node **keys GUARDED_BY(lock);
	size_t size GUARDED_BY(lock); /* of both, a power of two */
	size_t count GUARDED_BY(lock);
};

bool view_key_equal(const struct view_key *a, const struct view_key *b)
{
	return a->ino == b->ino && a->btime_ns == b->btime_ns &&
	       a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->type == b->type;
}

static size_t hash_key(const struct view_key *k)
{
	uint64_t h = k->ino ^ (uint64_t)k->dev_minor << 40;

	h = (h ^ (uint64_t)k->btime_ns) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h ^ h >> 32);
}

static struct view_node **key_slot_locked(
    struct view_nodes *t, const struct view_key *key) REQUIRES(t->lock)
{
	struct view_node **at = &t->keys[hash_key(key) & (t->size - 1)];

	while (*at != NULL && !view_key_equal(&(*at)->key, key))
		at = &(*at)->next_key;
	return at;
}

static struct view_node *find_id_locked(struct view_nodes *t, uint64_t id)
    REQUIRES(t->lock)
{
	struct view_node *n = t->ids[id & (t->size - 1)];

	while (n != NULL && n->id != id)
		n = n->next_id;
	return n;
}

static void unkey_locked(struct view_nodes *t, struct view_node *n)
    REQUIRES(t->lock)
{
	struct view_node **at;

	if (!n->keyed)
		return;
	at = key_slot_locked(t, &n->key);
	*at = n->next_key;
	n->keyed = false;
}

static void link_locked(struct view_nodes *t, struct view_node *n)
    REQUIRES(t->lock)
{
	struct view_node **id = &t->ids[n->id & (t->size - 1)];
	struct view_node **key = &t->keys[hash_key(&n->key) & (t->size - 1)];

	n->next_id = *id;
	*id = n;
	if (n->keyed) {
		n->next_key = *key;
		*key = n;
	}
}

/* Failing to resize costs time, never a node. */
static void resize_locked(struct view_nodes *t, size_t size) REQUIRES(t->lock)
{
	struct view_node **old = t->ids, *n, *next;
	size_t i, old_size = t->size;
	struct view_node **ids = calloc(size, sizeof(struct view_node *));
	struct view_node **keys = calloc(size, sizeof(struct view_node *));

	if (ids == NULL || keys == NULL) {
		free(ids);
		free(keys);
		return;
	}
	free(t->keys);
	t->ids = ids;
	t->keys = keys;
	t->size = size;
	for (i = 0; i < old_size; i++) {
		for (n = old[i]; n != NULL; n = next) {
			next = n->next_id;
			link_locked(t, n);
		}
	}
	free(old);
}

static struct view_node *node_alloc(uint64_t id, struct view_node *parent,
    const char *name, const struct view_key *key)
{
	struct view_node *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->name = strdup(name);
	if (n->name == NULL) {
		free(n);
		return NULL;
	}
	n->id = id;
	n->parent = parent;
	n->key = *key;
	n->keyed = true;
	return n;
}

static int add_locked(struct view_nodes *t, struct view_node *parent,
    const char *name, const struct view_key *key, struct view_node **ret)
    REQUIRES(t->lock)
{
	struct view_node *n = node_alloc(t->last_id + 1, parent, name, key);

	if (n == NULL)
		return -ENOMEM;
	t->last_id++;
	parent->refs++;
	if (t->count >= t->size)
		resize_locked(t, t->size * 2);
	link_locked(t, n);
	t->count++;
	*ret = n;
	return 0;
}

/* Frees n and the parents that only it kept, if nothing needs them. */
static void reap_locked(struct view_nodes *t, struct view_node *n)
    REQUIRES(t->lock)
{
	struct view_node **at, *parent;

	while (n != NULL && n->nlookup == 0 && n->refs == 0) {
		at = &t->ids[n->id & (t->size - 1)];
		while (*at != n)
			at = &(*at)->next_id;
		*at = n->next_id;
		unkey_locked(t, n);
		t->count--;
		parent = n->parent;
		free(n->name);
		free(n);
		if (parent != NULL)
			parent->refs--;
		n = parent;
	}
	if (t->size > TABLE_MIN && t->count < t->size / 8)
		resize_locked(t, t->size / 4);
}

int view_nodes_new(uint64_t root_id, const struct view_key *root_key,
    struct view_nodes **ret) NO_THREAD_ANALYSIS
{
	struct view_nodes *t = calloc(1, sizeof(*t));
	struct view_node *root = node_alloc(root_id, NULL, "", root_key);

	if (t != NULL) {
		t->size = TABLE_MIN;
		t->ids = calloc(TABLE_MIN, sizeof(struct view_node *));
		t->keys = calloc(TABLE_MIN, sizeof(struct view_node *));
	}
	if (t == NULL || root == NULL || t->ids == NULL || t->keys == NULL) {
		if (root != NULL)
			free(root->name);
		free(root);
		if (t != NULL) {
			free(t->ids);
			free(t->keys);
		}
		free(t);
		return -ENOMEM;
	}
	mutex_init(&t->lock);
	cond_init(&t->renamed);
	root->refs = 1;
	t->last_id = root_id;
	link_locked(t, root);
	t->count = 1;
	*ret = t;
	return 0;
}

static void handle_free(struct view_handle *h)
{
	view_stream_free(h->stream);
	close(h->fd);
	free(h);
}

void view_nodes_free(struct view_nodes *t) NO_THREAD_ANALYSIS
{
	struct view_node *n, *next;
	struct view_handle *h, *next_handle;
	size_t i;

	if (t == NULL)
		return;
	for (i = 0; i < t->size; i++) {
		for (n = t->ids[i]; n != NULL; n = next) {
			next = n->next_id;
			for (h = n->handles; h != NULL; h = next_handle) {
				next_handle = h->next;
				handle_free(h);
			}
			free(n->name);
			free(n);
		}
	}
	free(t->ids);
	free(t->keys);
	cond_fini(&t->renamed);
	mutex_fini(&t->lock);
	free(t);
}

struct view_node *view_nodes_get(struct view_nodes *t, uint64_t id)
{
	struct view_node *n;

	mutex_lock(&t->lock);
	n = find_id_locked(t, id);
	if (n != NULL)
		n->refs++;
	mutex_unlock(&t->lock);
	return n;
}

void view_nodes_put(struct view_nodes *t, struct view_node *n)
{
	mutex_lock(&t->lock);
	n->refs--;
	reap_locked(t, n);
	mutex_unlock(&t->lock);
}

uint64_t view_node_id(const struct view_node *n)
{
	return n->id;
}

const struct view_key *view_node_key(const struct view_node *n)
{
	return &n->key;
}

uint64_t view_nodes_generation(struct view_nodes *t)
{
	uint64_t generation;

	mutex_lock(&t->lock);
	generation = t->generation;
	mutex_unlock(&t->lock);
	return generation;
}

static bool moved_locked(struct view_nodes *t, uint64_t generation)
    REQUIRES(t->lock)
{
	while (t->renames > 0)
		cond_wait(&t->renamed, &t->lock);
	return t->generation != generation;
}

bool view_nodes_moved(struct view_nodes *t, uint64_t generation)
{
	bool moved;

	mutex_lock(&t->lock);
	moved = moved_locked(t, generation);
	mutex_unlock(&t->lock);
	return moved;
}

void view_nodes_rename_begin(struct view_nodes *t)
{
	mutex_lock(&t->lock);
	t->renames++;
	mutex_unlock(&t->lock);
}

void view_nodes_rename_end(struct view_nodes *t)
{
	mutex_lock(&t->lock);
	t->renames--;
	t->generation++;
	cond_broadcast(&t->renamed);
	mutex_unlock(&t->lock);
}

/* What the kernel believes must not close a circle of parents. */
static int place_locked(struct view_nodes *t, struct view_node *n,
    struct view_node *parent, const char *name) REQUIRES(t->lock)
{
	struct view_node *up = parent, *old = n->parent;
	char *copy;

	if (old == NULL)
		return -ESTALE;
	while (n->key.type == S_IFDIR && up != NULL) {
		if (up == n)
			return -ESTALE;
		up = up->parent;
	}
	copy = strdup(name);
	if (copy == NULL)
		return -ENOMEM;
	free(n->name);
	n->name = copy;
	n->parent = parent;
	parent->refs++;
	old->refs--;
	reap_locked(t, old);
	return 0;
}

void view_nodes_move(struct view_nodes *t, const struct view_key *key,
    struct view_node *parent, const char *name)
{
	struct view_node *n;

	mutex_lock(&t->lock);
	n = *key_slot_locked(t, key);
	if (n != NULL)
		place_locked(t, n, parent, name);
	mutex_unlock(&t->lock);
}

int view_nodes_seen(struct view_nodes *t, struct view_node *parent,
    const char *name, const struct view_key *key, bool made,
    uint64_t generation, uint64_t *ret_id)
{
	struct view_node *n;
	int r = 0;

	mutex_lock(&t->lock);
	n = *key_slot_locked(t, key);
	if (n != NULL && made) {
		unkey_locked(t, n);
		n = NULL;
	}
	if (n == NULL)
		r = add_locked(t, parent, name, key, &n);
	else if (n->parent == parent && strcmp(n->name, name) == 0)
		r = 0;
	else if (t->renames > 0 || t->generation != generation)
		r = VIEW_NODES_AGAIN;
	else
		r = place_locked(t, n, parent, name);
	if (r == 0) {
		n->nlookup++;
		*ret_id = n->id;
	}
	if (r == VIEW_NODES_AGAIN)
		moved_locked(t, generation);
	mutex_unlock(&t->lock);
	return r;
}

void view_nodes_forget(struct view_nodes *t, uint64_t id, uint64_t nlookup)
{
	struct view_node *n;

	mutex_lock(&t->lock);
	n = find_id_locked(t, id);
	if (n != NULL && n->parent != NULL) {
		n->nlookup -= nlookup < n->nlookup ? nlookup : n->nlookup;
		reap_locked(t, n);
	}
	mutex_unlock(&t->lock);
}

struct view_node *view_nodes_find(
    struct view_nodes *t, const struct view_key *key)
{
	struct view_node *n;

	mutex_lock(&t->lock);
	n = *key_slot_locked(t, key);
	if (n != NULL)
		n->refs++;
	mutex_unlock(&t->lock);
	return n;
}

void view_nodes_gone(struct view_nodes *t, struct view_node *n)
{
	mutex_lock(&t->lock);
	if (n->parent != NULL)
		unkey_locked(t, n);
	mutex_unlock(&t->lock);
}

static size_t path_length_locked(struct view_nodes *t, struct view_node *n)
    REQUIRES(t->lock)
{
	size_t len = 0;

	for (; n->handles == NULL && n->parent != NULL; n = n->parent)
		len += strlen(n->name) + 1;
	return len;
}

int view_path_init(
    struct view_path *p, struct view_nodes *t, struct view_node *n)
{
	size_t len, part;
	char *end;

	mutex_lock(&t->lock);
	p->generation = t->generation;
	len = path_length_locked(t, n);
	p->path = len < sizeof(p->small) ? p->small : malloc(len + 1);
	if (p->path == NULL) {
		mutex_unlock(&t->lock);
		return -ENOMEM;
	}
	end = p->path + len;
	if (len == 0)
		*end = '\0';
	for (; n->handles == NULL && n->parent != NULL; n = n->parent) {
		/* Each name is followed by a slash, the last one by NUL. */
		part = strlen(n->name);
		end[-1] = end == p->path + len ? '\0' : '/';
		end -= part + 1;
		memcpy(end, n->name, part);
	}
	p->base = n->parent != NULL ? n->handles : NULL;
	if (p->base != NULL)
		p->base->refs++;
	mutex_unlock(&t->lock);
	return 0;
}

void view_path_fini(struct view_path *p, struct view_nodes *t)
{
	if (p->base != NULL)
		view_handle_put(t, p->base);
	if (p->path != p->small)
		free(p->path);
}

int view_handle_new(struct view_nodes *t, uint64_t id, int fd,
    struct view_stream *stream, struct view_handle **ret)
{
	struct view_handle *h = calloc(1, sizeof(*h));

	if (h == NULL) {
		view_stream_free(stream);
		close(fd);
		return -ENOMEM;
	}
	h->stream = stream;
	h->fd = fd;
	h->refs = 1;
	mutex_lock(&t->lock);
	h->node = find_id_locked(t, id);
	if (h->node != NULL) {
		h->node->refs++;
		h->next = h->node->handles;
		h->node->handles = h;
	}
	mutex_unlock(&t->lock);
	if (h->node == NULL) {
		handle_free(h);
		return -ESTALE;
	}
	*ret = h;
	return 0;
}

void view_handle_get(struct view_nodes *t, struct view_handle *h)
{
	mutex_lock(&t->lock);
	h->refs++;
	mutex_unlock(&t->lock);
}

void view_handle_put(struct view_nodes *t, struct view_handle *h)
{
	struct view_handle **at;
	bool last;

	mutex_lock(&t->lock);
	last = --h->refs == 0;
	if (last) {
		for (at = &h->node->handles; *at != h; at = &(*at)->next)
			;
		*at = h->next;
		h->node->refs--;
		reap_locked(t, h->node);
	}
	mutex_unlock(&t->lock);
	if (last)
		handle_free(h);
}

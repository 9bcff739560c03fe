/*
 * Reading the tree's directories. opendir takes a snapshot of the names, so
 * that a stream sees each entry once, whatever comes and goes meanwhile; each
 * entry is looked up again when it is read.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "texts.h"
#include "tree_internal.h"

struct dir_entry {
	uint64_t id; /* node id; VIEW_ROOT for the inbox */
	char *name;
	mode_t type; /* S_IFDIR, S_IFREG or S_IFLNK */
};

struct dir_stream {
	size_t n, cap;
	struct dir_entry *entries;
};

static void stream_free(struct dir_stream *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->entries[i].name);
	free(s->entries);
	free(s);
}

static int stream_add(
    struct dir_stream *s, uint64_t id, const char *name, mode_t type)
{
	struct dir_entry *e;

	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;

		e = realloc(s->entries, cap * sizeof(*e));
		if (!e)
			return -ENOMEM;
		s->entries = e;
		s->cap = cap;
	}
	e = &s->entries[s->n];
	e->name = strdup(name);
	if (!e->name)
		return -ENOMEM;
	e->id = id;
	e->type = type;
	s->n++;
	return 0;
}

/* A node for each peer in the table, as a lookup of its name would make it. */
static int add_peers(struct mount *m, struct dir_stream *s)
{
	struct peer_info *list;
	int n = peers_snapshot(network_peers(m->network), &list);
	int i, r = n < 0 ? n : 0;

	for (i = 0; i < n && !r; i++)
		r = stream_add(s, 0, list[i].name, S_IFDIR);
	if (n >= 0)
		free(list);
	return r;
}

static int add_text(void *ctx, const char *name)
{
	return stream_add(ctx, 0, name, S_IFREG);
}

static bool is_folder_of_texts(struct mount *m, fuse_ino_t ino, unsigned *ret)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *n;
	bool is;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	is = n && n->kind == NODE_CTL_FOLDER;
	if (is)
		*ret = n->ctl;
	mutex_unlock(lock);
	return is;
}

static int add_children_locked(struct dir_stream *s, const struct node *dir)
{
	struct node *n;
	int r = 0;

	LIST_FOREACH(n, &dir->children, sibling)
		if (!r)
			r = stream_add(s, n->id, n->name, tree_type(n));
	return r;
}

void tree_opendir(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct dir_stream *s = calloc(1, sizeof(*s));
	struct node *dir;
	unsigned folder;
	int r;

	if (!s) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r = stream_add(s, ino, ".", S_IFDIR);
	if (!r)
		r = stream_add(s, NODE_ID_ROOT, "..", S_IFDIR);
	if (!r && ino == NODE_ID_ROOT)
		r = stream_add(s, VIEW_ROOT, "inbox", S_IFDIR);
	if (!r && ino == NODE_ID_PEERS) {
		r = add_peers(m, s);
	} else if (!r && is_folder_of_texts(m, ino, &folder)) {
		r = texts_each(&m->ctl, folder, add_text, s);
	} else if (!r) {
		mutex_lock(lock);
		dir = node_by_id_locked(m->nodes, ino);
		r = dir ? add_children_locked(s, dir) : -ESTALE;
		mutex_unlock(lock);
	}
	if (r) {
		stream_free(s);
		fuse_reply_err(req, -r);
		return;
	}
	fi->fh = (uintptr_t)s;
	fuse_reply_open(req, fi);
}

/* One plain entry; the bytes it takes. */
static size_t add_plain(fuse_req_t req, char *buf, size_t room,
    const struct dir_entry *e, off_t next)
{
	struct stat st = { 0 };

	st.st_ino = e->id ? NODE_INO(e->id) : NODE_INO(UINT32_MAX);
	st.st_mode = e->type;
	return fuse_add_direntry(req, buf, room, e->name, &st, next);
}

/*
 * Reading with attributes would have to make a node for each name. Entries are
 * few and in memory, so they are given without (nodeid 0), and the kernel asks
 * for those it wants.
 */
static size_t add_plus(fuse_req_t req, char *buf, size_t room,
    const struct dir_entry *e, off_t next)
{
	struct fuse_entry_param p = { 0 };

	p.attr.st_ino = e->id ? NODE_INO(e->id) : NODE_INO(UINT32_MAX);
	p.attr.st_mode = e->type;
	return fuse_add_direntry_plus(req, buf, room, e->name, &p, next);
}

void tree_readdir(struct mount *m, fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi, bool plus)
{
	const struct dir_stream *s = (struct dir_stream *)(uintptr_t)fi->fh;
	char *buf = malloc(size);
	size_t used = 0, i;

	(void)m;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (i = (size_t)off; i < s->n; i++) {
		const struct dir_entry *e = &s->entries[i];
		size_t n = plus ? add_plus(req, buf + used, size - used, e,
				      (off_t)i + 1)
				: add_plain(req, buf + used, size - used, e,
				      (off_t)i + 1);

		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

void tree_releasedir(struct mount *m, fuse_req_t req, struct fuse_file_info *fi)
{
	(void)m;
	stream_free((struct dir_stream *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

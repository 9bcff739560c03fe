/*
 * The nodes of the view: what the kernel knows under a node id, as a (parent,
 * name) and the identity of what was found there; and the descriptors that are
 * open on each. Memory only: no system call but the close of a descriptor, and
 * that outside the lock.
 *
 * Ids count up and are never used again. Hard links share a node, whose place
 * is the name seen last. Any thread; one lock, held for memory work alone.
 */
#ifndef VIEW_NODE_H
#define VIEW_NODE_H

#include <stdbool.h>
#include <stdint.h>

/* What makes two names the same file; type is its S_IFMT bits. */
struct view_key {
	uint64_t ino;
	int64_t btime_ns; /* 0 where the file system keeps none */
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t type;
};

bool view_key_equal(const struct view_key *a, const struct view_key *b);

struct view_nodes;
struct view_node;
struct view_stream;

/* A descriptor open on a node, counted. */
struct view_handle {
	int fd;
	struct view_stream *stream; /* view_dir.c's, NULL for files */
	/* The rest is the table's, under its lock. */
	struct view_node *node;
	struct view_handle *next;
	unsigned int refs;
};

/* root_id gets a node that is never forgotten. Returns 0 or -ENOMEM. */
int view_nodes_new(
    uint64_t root_id, const struct view_key *root_key, struct view_nodes **ret);
/* Closes what is still open. No other call may be running. */
void view_nodes_free(struct view_nodes *t);

/* A reference to give back with view_nodes_put(), or NULL: no such node. */
struct view_node *view_nodes_get(struct view_nodes *t, uint64_t id);
void view_nodes_put(struct view_nodes *t, struct view_node *n);
/* Both are fixed for the life of a node. */
uint64_t view_node_id(const struct view_node *n);
const struct view_key *view_node_key(const struct view_node *n);

/*
 * Renames in the mount. A call that walks a path, or looks at a name, while a
 * directory on its way is being renamed may fail or see what is past: it notes
 * the generation before, and asks view_nodes_moved() after a failure.
 */
uint64_t view_nodes_generation(struct view_nodes *t);
/* Waits until no rename is running; true: one ended since, try again. */
bool view_nodes_moved(struct view_nodes *t, uint64_t generation);
void view_nodes_rename_begin(struct view_nodes *t);
void view_nodes_rename_end(struct view_nodes *t);
/* Between the two: key, if known, is at parent/name now. */
void view_nodes_move(struct view_nodes *t, const struct view_key *key,
    struct view_node *parent, const char *name);

#define VIEW_NODES_AGAIN 1

/*
 * Counts one lookup of key at parent/name; *ret_id is its node, a new one where
 * none was known, or made (what was just created cannot be known: a node with
 * this key is a dead one's, whose inode number was used again). generation is
 * the one before the name was looked at.
 * Returns 0, VIEW_NODES_AGAIN (a rename came between: look again), -ENOMEM, or
 * -ESTALE (the tree was changed so behind the mount that parent would lie
 * beneath itself).
 */
int view_nodes_seen(struct view_nodes *t, struct view_node *parent,
    const char *name, const struct view_key *key, bool made,
    uint64_t generation, uint64_t *ret_id);
void view_nodes_forget(struct view_nodes *t, uint64_t id, uint64_t nlookup);
/* As view_nodes_get(), by what it is. */
struct view_node *view_nodes_find(
    struct view_nodes *t, const struct view_key *key);
/* Its last name was removed: what has its key from now on is another file. */
void view_nodes_gone(struct view_nodes *t, struct view_node *n);

/*
 * The way to a node: path beneath base, an open descriptor of the node itself
 * (path is "") or of the nearest directory above it that has one; base is NULL
 * where that is the top.
 */
struct view_path {
	struct view_handle *base;
	char *path; /* may be longer than PATH_MAX */
	uint64_t generation;
	char small[512];
};

/* Returns 0 or -ENOMEM; view_path_fini() gives it back. */
int view_path_init(
    struct view_path *p, struct view_nodes *t, struct view_node *n);
void view_path_fini(struct view_path *p, struct view_nodes *t);

/*
 * Takes fd and stream (also when it fails) as open on the node. The handle
 * keeps the node. Returns 0, -ENOMEM, or -ESTALE: no such node.
 */
int view_handle_new(struct view_nodes *t, uint64_t id, int fd,
    struct view_stream *stream, struct view_handle **ret);
/*
 * Each use of a handle is counted, also where the kernel would not release it
 * meanwhile: the lock is what orders one worker's use before another's close.
 */
void view_handle_get(struct view_nodes *t, struct view_handle *h);
/* The last one closes. */
void view_handle_put(struct view_nodes *t, struct view_handle *h);

/* In view_dir.c; NULL is fine. */
void view_stream_free(struct view_stream *s);

#endif

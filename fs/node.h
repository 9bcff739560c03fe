/*
 * The nodes of the mounted tree that are not the inbox: the top, peers/, a
 * folder a peer, what this mount has sent into it, and .gtfs/ with its files.
 * All of it is memory; every question about it is answered at once.
 *
 * One lock guards the whole table (node_lock); functions that end in _locked
 * need it. Node ids come from a counter and are never used twice. A node lives
 * as long as the kernel knows it (lookups), it is listed in its directory, or
 * somebody holds it.
 */
#ifndef NODE_H
#define NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "outgoing.h"
#include "peers.h"
#include "sync.h"

enum node_kind {
	NODE_ROOT,
	NODE_PEERS,
	NODE_CTL,      /* .gtfs */
	NODE_CTL_FILE, /* one of its files: ctl says which */
	NODE_PEER,     /* peers/<name> */
	NODE_DIR,      /* a directory that was sent */
	NODE_FILE,     /* a file that was or is being sent */
};

/* The well-known node ids. */
enum {
	NODE_ID_ROOT = 1,
	NODE_ID_PEERS,
	NODE_ID_CTL,
	NODE_ID_CTL_FIRST, /* and one for each file of .gtfs */
	NODE_ID_FIRST = 64,
};

/* Inode numbers of these nodes, so that none is one of the backing's. */
#define NODE_INO(id) ((UINT64_C(1) << 48) | (id))

/* How many delivered files stay listed; the oldest leave first. */
#define NODE_SENT_MAX 16384

struct node {
	uint64_t id;
	enum node_kind kind;
	char *name;
	struct node *parent; /* NULL: the root, or no longer listed */
	unsigned refs;       /* lookups, children, holders, being listed */
	LIST_HEAD(, node) children;
	LIST_ENTRY(node) sibling;
	LIST_ENTRY(node) by_id, by_name;
	TAILQ_ENTRY(node) sent; /* NODE_FILE, delivered: by age */
	bool listed, in_sent;

	mode_t mode;
	struct timespec mtime, atime;
	uint64_t size; /* NODE_FILE without a transfer */

	unsigned ctl;          /* NODE_CTL_FILE */
	struct peer *peer;     /* NODE_PEER and below: referenced */
	uint64_t serial;       /* NODE_PEER: of the peer's entry */
	struct outdir *outdir; /* NODE_DIR */
	struct outgoing *out;  /* NODE_FILE: the transfer, while it matters */
	uint8_t out_id[WIRE_ID_BYTES]; /* of the last published one */
	bool delivered;
};

struct nodes;

struct nodes *nodes_new(void);
void nodes_free(struct nodes *t);
struct mutex *nodes_mutex(struct nodes *t);

/* By id; NULL: forgotten. Without taking a reference. */
struct node *node_by_id_locked(struct nodes *t, uint64_t id);
struct node *node_child_locked(
    struct nodes *t, const struct node *dir, const char *name);

/*
 * A new node listed in dir. id 0 takes the next one. NULL: out of memory.
 */
struct node *node_add_locked(struct nodes *t, struct node *dir,
    enum node_kind kind, const char *name, mode_t mode, uint64_t id);

void node_ref_locked(struct node *n, unsigned count);
/* Frees the node with its last reference. */
void node_unref_locked(struct nodes *t, struct node *n, uint64_t count);

/* Takes it (and all below it) out of its directory; it lives while it is held.
 */
void node_unlist_locked(struct nodes *t, struct node *n);

/* A new transfer for it begins: it is none of the delivered ones now. */
void node_begun_locked(struct nodes *t, struct node *n);
/* Delivered: the oldest entries beyond the limit are forgotten. */
void node_delivered_locked(struct nodes *t, struct node *n);

#endif

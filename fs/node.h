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
#include "procs.h"
#include "request.h"
#include "sync.h"

enum node_kind {
	NODE_ROOT,
	NODE_PEERS,
	NODE_CTL,        /* .gtfs */
	NODE_CTL_FILE,   /* one of its files: ctl says which */
	NODE_CTL_FOLDER, /* requests and why: ctl says which */
	NODE_PEER,       /* peers/<name> */
	NODE_DIR,        /* a directory that was sent */
	NODE_FILE,       /* a file that was or is being sent */
	NODE_LINK,       /* a symbolic link that was sent */
	NODE_CTL_TEXT,   /* in a NODE_CTL_FOLDER: ctl as that */
};

/* The well-known node ids. */
enum {
	NODE_ID_ROOT = 1,
	NODE_ID_PEERS,
	NODE_ID_CTL,
	NODE_ID_CTL_FIRST, /* and one for each file and folder of .gtfs */
	NODE_ID_FIRST = 64,
};

/* In the id of every NODE_CTL_TEXT. */
#define NODE_ID_TEXT (UINT64_C(1) << 47)

/* Inode numbers of these nodes, so that none is one of the backing's. */
#define NODE_INO(id) ((UINT64_C(1) << 48) | (id))

/* How many delivered files and links stay listed; the oldest leave first, but
 * none that a program uses. */
#define NODE_SENT_MAX 16384
/*
 * How many directories: beyond that the oldest of those that are empty here
 * and that no program uses are forgotten (as many as a receiver remembers).
 */
#define NODE_DIRS_MAX 32768

struct late;

struct node {
	uint64_t id;
	enum node_kind kind;
	char *name;
	struct node *parent; /* NULL: the root, or no longer listed */
	unsigned refs;       /* lookups, children, holders, being listed */
	LIST_HEAD(, node) children;
	LIST_ENTRY(node) sibling;
	LIST_ENTRY(node) by_id, by_name;
	/* By age: NODE_FILE and NODE_LINK, delivered; every NODE_DIR. */
	TAILQ_ENTRY(node) aged;
	bool listed, in_aged;

	mode_t mode;
	struct timespec mtime, atime;
	uint64_t size; /* NODE_FILE without a transfer */

	unsigned ctl;          /* NODE_CTL_* */
	struct peer *peer;     /* NODE_PEER and below: referenced */
	uint64_t serial;       /* NODE_PEER: of the peer's entry;
				* NODE_CTL_TEXT: texts_find's */
	struct outdir *outdir; /* NODE_DIR */
	struct outgoing *out;  /* NODE_FILE: the transfer, while it matters */
	/* NODE_FILE: of the version that was committed last; NODE_LINK. */
	uint8_t out_id[WIRE_ID_BYTES];
	bool delivered; /* there is such a version */
	bool held;      /* ... and the peer does not show it yet */
	/* NODE_FILE, in flight: what it replaces when it is committed, because
	 * it was renamed over that. Else it stays (fs/version.c). */
	struct {
		uint8_t id[WIRE_ID_BYTES];
		uint64_t size;
		bool there;
	} below;
	struct late *late; /* fs/tree_change.c: changes that wait */
	/*
	 * Who committed it (made it: NODE_DIR, NODE_LINK), and when (now_ms()),
	 * for unlink's five seconds. Who renames a file to a name that is in
	 * use counts as its writer from then on: its end shows the file.
	 */
	struct procs_id writer;
	int64_t committed_ms;
	/* Who wanted to read what was delivered, and was refused; when. */
	struct procs_id denied;
	int64_t denied_ms;
	char *target; /* NODE_LINK */
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
 * A new node listed in dir, whose mtime is now. id 0 takes the next one. Beyond
 * NODE_DIRS_MAX a directory makes an old one leave. NULL: out of memory.
 */
struct node *node_add_locked(struct nodes *t, struct node *dir,
    enum node_kind kind, const char *name, mode_t mode, uint64_t id);

void node_ref_locked(struct node *n, unsigned count);
/* Frees the node with its last reference. */
void node_unref_locked(struct nodes *t, struct node *n, uint64_t count);

/* Takes it (and all below it) out of its directory, whose mtime is now; it
 * lives while it is held. */
void node_unlist_locked(struct nodes *t, struct node *n);

/* Another place or name for a listed node, which must be free, and neither
 * itself nor below it; both directories' mtimes are now. 0 or -ENOMEM. */
int node_move_locked(
    struct nodes *t, struct node *n, struct node *dir, const char *name);

/* A new transfer for it begins: it is none of the delivered ones now. */
void node_begun_locked(struct nodes *t, struct node *n);
/*
 * Delivered: the oldest entries beyond NODE_SENT_MAX are forgotten, but none
 * that is held, or that a program uses. Nothing has changed at the peer: mtimes
 * stay.
 */
void node_delivered_locked(struct nodes *t, struct node *n);

#endif

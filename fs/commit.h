/*
 * The commit rule (design section 2, "What a written file means"): what a close
 * by which process means for a transfer.
 */
#ifndef COMMIT_H
#define COMMIT_H

#include "mount.h"
#include "outgoing.h"
#include "procs.h"

/* One open file description of a file that is being sent. */
struct open_file {
	LIST_ENTRY(open_file) entry; /* of all, under the nodes' lock */
	struct node *node;           /* held */
	/* The transfer of its last write (fs/version.h), referenced, or NULL:
	 * none yet. Under the nodes' lock. */
	struct outgoing *out;
	struct procs_file file;
	struct procs_id opener;
	struct procs_id closer; /* the last process to close it; as out */
	bool unknown;           /* who opened it cannot be told */
	bool reads;             /* for reading only: its closes mean nothing */
	_Atomic bool stdio;     /* it is its opener's 1 or 2, as last seen */
	_Atomic bool was_stdio; /* ... ever */
	_Atomic bool heirs;     /* ... or of another process that wrote last */
	_Atomic pid_t noted;    /* the last writing thread looked at */
	_Atomic bool doomed;    /* its last holder died: no commit at release */
	_Atomic bool used;      /* a program has written or closed it */
	_Atomic bool wrote;     /* it has created, emptied or written */
	_Atomic bool changed;   /* ... and that not by creating it alone */
};

enum commit_action {
	COMMIT_NOTHING,    /* answer *ret_error now (0 or a negative errno) */
	COMMIT_CHECKPOINT, /* durable there, not shown */
	COMMIT_HEIR,       /* the same, by another process than the opener */
	COMMIT_PUBLISH,
	COMMIT_ABORT, /* and answer *ret_error */
};

/* A FLUSH by thread tid. Reads /proc; never waits. *ret: the transfer,
 * referenced; NULL for COMMIT_NOTHING. */
enum commit_action commit_on_flush(struct mount *m, struct open_file *f,
    pid_t tid, struct outgoing **ret, int *ret_error);

/* It changes what the file contains: its close commits. */
void commit_note_change(struct open_file *f);
/* The same for a WRITE by thread tid: its first, and the first after a close,
 * tell whether f is its process's standard output. */
void commit_note_writer(struct open_file *f, pid_t tid);

/*
 * The commit itself, by f's opener: as outgoing_commit, held where the name is
 * one in use. When it has succeeded: version_settle_locked.
 */
int commit_publish(
    struct mount *m, struct open_file *f, struct outgoing *o, struct waiter *w);

/* The same for a transfer whose commit no program waits for. writer NULL: not
 * known. 0 (it will be settled) or -ENOMEM. */
int commit_unseen_locked(struct mount *m, struct node *n, struct outgoing *o,
    const struct procs_id *writer);

/* Has any program n open for writing, and with no error? Its close commits what
 * is under way then. */
bool commit_is_open_locked(const struct mount *m, const struct node *n);

/* RELEASE: commits what is left, or aborts; ends f. Never waits. */
void commit_release(struct mount *m, struct open_file *f);

/* Without a mount no RELEASE comes: ends all that are still open. */
void commit_release_all(struct mount *m);

#endif

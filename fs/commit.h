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
	struct outgoing *out;        /* referenced */
	struct procs_file file;
	struct procs_id opener;
	_Atomic bool unknown; /* who opened it cannot be told */
	_Atomic bool stdio;   /* it is its opener's 1 or 2, as last seen */
	_Atomic bool heirs;   /* ... or of another process that wrote last */
	_Atomic pid_t noted;  /* the last writing thread looked at */
	_Atomic bool doomed;  /* its last holder died: no commit at release */
	_Atomic bool used;    /* a program has written or closed it */
};

enum commit_action {
	COMMIT_NOTHING,    /* answer *ret_error now (0 or a negative errno) */
	COMMIT_CHECKPOINT, /* durable there, not shown */
	COMMIT_PUBLISH,
	COMMIT_ABORT,
};

/* A FLUSH by thread tid. Reads /proc; never waits. */
enum commit_action commit_on_flush(
    struct open_file *f, pid_t tid, int *ret_error);

/* A WRITE by thread tid: its first, and the first after a close, tell whether
 * f is its process's standard output. */
void commit_note_writer(struct open_file *f, pid_t tid);

/* RELEASE: commits what is left, or aborts; ends f. Never waits. */
void commit_release(struct mount *m, struct open_file *f);

/* Without a mount no RELEASE comes: ends all that are still open. */
void commit_release_all(struct mount *m);

#endif

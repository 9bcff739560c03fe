/*
 * Who has inherited a file from a process that is no ancestor of his any more:
 * a daemon, a grandchild whose parent has ended. The kernel gives such a
 * process to the nearest ancestor that takes orphans (PR_SET_CHILD_SUBREAPER),
 * at last to init, so it is found among the children of one of them.
 *
 * Runs in the threads that serve FUSE, while a close waits: a few microseconds
 * for each descriptor of each of those children.
 */
#include "procs.h"

#include "procs_holders.h"
#include "procs_stat.h"

enum {
	ANCESTORS_MAX = 64,
	CHILDREN_MAX = 1024, /* of one of them */
};

/* id's parent, its parent, and so on up to init; the count. */
static unsigned ancestors(const struct procs_id *id, pid_t ret[ANCESTORS_MAX])
{
	struct procs_status s;
	pid_t pid = id->tgid;
	unsigned n = 0;

	while (n < ANCESTORS_MAX && procs_status_read(pid, &s) == 0 &&
	       s.ppid > 0) {
		ret[n++] = s.ppid;
		pid = s.ppid;
	}
	return n;
}

static bool is_among(pid_t pid, const struct procs_id *list, unsigned n)
{
	while (n--) {
		if (list[n].tgid == pid)
			return true;
	}
	return false;
}

static bool is_listed(pid_t pid, const pid_t *list, unsigned n)
{
	while (n--) {
		if (list[n] == pid)
			return true;
	}
	return false;
}

int procs_orphans(const struct procs_id *id, const struct procs_file *file,
    const struct procs_id *but, unsigned n_but)
{
	struct procs_look look = { .file = file };
	pid_t above[ANCESTORS_MAX], children[CHILDREN_MAX];
	unsigned n_above = ancestors(id, above), held = 0;

	for (unsigned i = 0; i < n_above && !held; i++) {
		int n = procs_children(above[i], children, CHILDREN_MAX);

		if (n < 0)
			return n;
		for (int k = 0; k < n && !held; k++) {
			if (children[k] != id->tgid &&
			    !is_listed(children[k], above, n_above) &&
			    !is_among(children[k], but, n_but))
				procs_look_at(&look, children[k], &held);
		}
	}
	return held ? 1 : look.shortage;
}

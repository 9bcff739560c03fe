/*
 * Looking for a file among the descriptors of processes; internal to
 * procs_holders.c and procs_orphans.c.
 */
#ifndef PROCS_HOLDERS_H
#define PROCS_HOLDERS_H

#include "procs.h"

struct procs_look {
	const struct procs_file *file;
	/* The last mount asked for: its numbers are unique in the kernel. */
	uint64_t mnt_id;
	bool mnt_known, mnt_is_files; /* both false at first */
	int shortage; /* the first one met, negative; 0 at first */
};

/*
 * Adds to *ret_n the descriptors of the file that process pid holds for
 * writing. 0 or -errno (it has gone, or may not be looked at).
 */
int procs_look_at(struct procs_look *l, pid_t pid, unsigned *ret_n);

/* The children of a process, max at most; the count, or a shortage. */
int procs_children(pid_t pid, pid_t *ret, unsigned max);

#endif

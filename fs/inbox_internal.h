/*
 * What the modules that make up the inbox share: the parts of one inbox. Only
 * they include it (inbox, arrival, deliveries, held, requests and their like).
 *
 * Which lock orders what: none of the parts calls another one with its own lock
 * held. A file's record in the table of deliveries is busy while somebody works
 * on the file (fs/delivered.h), and that is what orders work on the disk.
 */
#ifndef INBOX_INTERNAL_H
#define INBOX_INTERNAL_H

#include <sys/queue.h>

#include "inbox.h"
#include "spool.h"
#include "sync.h"

struct arrival;
struct delivered;
struct folders;
struct links;
struct held_watch;
struct usage;

struct inbox {
	struct sink sink; /* first: the ops get a pointer to it */
	struct inbox_config config;
	int fd;
	char *path; /* absolute, links resolved when it was opened */
	struct spool spool;
	struct folders *folders;
	struct links *links;
	struct delivered *delivered;
	struct held_watch *watch;
	struct usage *usage;
	struct mutex lock;
	int64_t space_ms GUARDED_BY(lock); /* of space; 0: never asked */
	struct sink_space space GUARDED_BY(lock);
	LIST_HEAD(, arrival) arrivals GUARDED_BY(lock);
};

/* What a directory counts, for a quota, until it is looked at. */
#define DIRECTORY_BYTES 4096

static inline struct inbox *inbox_of(struct sink *s)
{
	return (struct inbox *)(void *)s;
}

/*
 * Is what the user calls the inbox still the directory that was opened? 0,
 * -ENOENT (it is gone), -ESTALE (it was moved, or mounted over), or -errno.
 */
int inbox_check_place(const struct inbox *in);

#endif

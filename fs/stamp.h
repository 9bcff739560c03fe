/*
 * What a file was when gtfs last changed it, so that it can be seen later
 * whether it is still the same and untouched (size, mtime and ctime as they
 * were). No state; any thread.
 */
#ifndef STAMP_H
#define STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

struct stamp {
	uint64_t dev, ino;
	struct wire_time born; /* zeros where the file system has none */
	uint64_t size;
	struct wire_time mtime, ctime;
	uint32_t mode; /* with the type */
};

/* Of an open descriptor (O_PATH too). 0 or -errno. */
int stamp_of(int fd, struct stamp *ret);
/* Of an entry of a directory, a link itself. 0 or -errno. */
int stamp_at(int dirfd, const char *name, struct stamp *ret);

/*
 * The same object? An inode number that was used again is told apart by the
 * time of birth.
 */
bool stamp_same(const struct stamp *a, const struct stamp *b);

/* The same, and of the same size, mtime and ctime? */
bool stamp_untouched(const struct stamp *a, const struct stamp *b);

/* The same, and of the same size and mtime: nobody has written to it? */
bool stamp_unwritten(const struct stamp *a, const struct stamp *b);

/*
 * The same, if only renamed or linked since (which changes the ctime): of the
 * same size, mode and mtime?
 */
bool stamp_moved(const struct stamp *a, const struct stamp *b);

bool stamp_time_equal(const struct wire_time *a, const struct wire_time *b);

#endif

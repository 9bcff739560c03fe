/*
 * Small text files of the state directory, read and written whole. All
 * functions block on the disk.
 */
#ifndef TEXTFILE_H
#define TEXTFILE_H

#include <stddef.h>

/* Where a file is written before it gets its name; a crash may leave it. */
#define TEXTFILE_TEMPORARY ".new"

/*
 * At most cap bytes. 0; -EPERM: no regular file (symlinks are not followed),
 * someone else's, or one that others can write; or -errno.
 */
int textfile_read(
    int dirfd, const char *name, char *buf, size_t cap, size_t *ret_len);

/* Replaces it in one step, 0600; durable on return. 0 or -errno. */
int textfile_write(int dirfd, const char *name, const char *text, size_t len);

/*
 * Makes TEXTFILE_TEMPORARY free: removes what a crash has left of it, and sets
 * aside (and says) what nobody has written as a file. 0 or -errno.
 */
int textfile_clear(int dirfd);

/*
 * Renames the file to NAME.damaged, or NAME.damaged.2 and so on where there is
 * one already. 0 or -errno.
 */
int textfile_set_aside(int dirfd, const char *name);

#endif

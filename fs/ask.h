/*
 * A command's way to a running mount: finding it, reading the files of its
 * .gtfs folder, and its control file. All of it waits for the mount's daemon,
 * but for finding.
 */
#ifndef ASK_H
#define ASK_H

#include "mounts.h"

/*
 * The mount that `where` is in, or with NULL the only one of this user. word:
 * the command, for the complaint that is made on failure. 0 and *ret (path to
 * be freed), or -errno.
 */
int ask_find(const char *word, const char *where, struct mount_entry *ret);

/*
 * The text of .gtfs/file, to be freed. 0, -ENOTCONN or -ECONNABORTED (the
 * daemon has died), or -errno.
 */
int ask_read(const struct mount_entry *m, const char *file, char **ret);

/* The names in .gtfs/folder, sorted: how many, each and the array to be freed;
 * or as ask_read. */
int ask_list(const struct mount_entry *m, const char *folder, char ***ret);

/*
 * Writes one line, with its newline, into .gtfs/control: the errno of the
 * write is the outcome and is returned. *ret_answer is what the same descriptor
 * then has to read (to be freed; NULL: nothing), whatever the outcome.
 */
int ask_tell(const struct mount_entry *m, const char *line, char **ret_answer);

#endif

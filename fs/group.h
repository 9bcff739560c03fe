/*
 * The passphrase file of --group: a secret that the machines of a group share.
 */
#ifndef GROUP_H
#define GROUP_H

#include <stddef.h>

enum { GROUP_LEAST = 8, GROUP_MOST = 1024 }; /* bytes */

struct group {
	char *passphrase; /* not a string; NULL: there is none */
	size_t len;
};

/*
 * Reads the file: a plain one of ours that nobody else can read or write, and
 * in it the passphrase, a newline at its end apart. path NULL: no group. 0, or
 * -errno after one line on stderr.
 */
int group_read(const char *path, struct group *ret);
/* Wipes it. */
void group_fini(struct group *g);

#endif

/* What the commands share, for command*.c alone. */
#ifndef COMMAND_INTERNAL_H
#define COMMAND_INTERNAL_H

#include <stdbool.h>

#include "ask.h"

struct request {
	const char *word;  /* the command */
	const char *name;  /* its NAME, or NULL */
	const char *where; /* --mount, or NULL */
	const char *quota; /* --quota, or NULL */
	bool yes;          /* --yes */
	bool json;
	struct mount_entry mount; /* the one that is meant */
};

/* Of each: the exit status. */
int command_complain_errno(const struct request *q, const char *file, int err);
/* Prefers the mount's own sentence to that of the errno. */
int command_complain_told(const struct request *q, char *answer, int err);
/* The last word on what was printed. */
int command_printed(const struct request *q);

/* NAME can be a peer's; else it was complained about. */
bool command_name_ok(const struct request *q);

/*
 * Tells "WORD NAME", with rest (or NULL) behind a tab. As ask_tell: 0 or
 * -errno, *ret_answer to be freed.
 */
int command_tell(const struct request *q, const char *rest, char **ret_answer);
/* The same, and prints what the mount says. The exit status. */
int command_tell_print(const struct request *q, const char *rest);

#endif

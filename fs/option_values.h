/*
 * The values of gtfs's own options, each checked and put into struct options.
 * Used by fs/options for --NAME VALUE and for -o NAME=VALUE alike.
 */
#ifndef OPTION_VALUES_H
#define OPTION_VALUES_H

#include "options.h"

struct option_value {
	const char *name; /* without dashes; "_" of the list is "-" here */
	/* what: as the user wrote it, for complaints. 0, -EINVAL, -ENOMEM. */
	int (*set)(struct options *o, const char *what, const char *value);
};

#define OPTION_VALUES 11
extern const struct option_value option_values[OPTION_VALUES];

/*
 * path as an absolute one: the working directory in front where it is
 * relative, no empty or "." components; links and ".." stay as they are.
 * Complains about an empty one and about a "~" that the shell has left.
 */
int option_path(const char *what, const char *path, char **ret);

#endif

/*
 * The list behind -o, item by item. Runs on the main thread, before anything
 * else; what is for libfuse is collected in options.fuse.
 */
#include "option_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"
#include "option_values.h"

#define NAME_LONGEST 32 /* no option's name is longer */

enum action {
	PASS,        /* to libfuse */
	PASS_NUMBER, /* with "=N" */
	IGNORE,      /* of mount(8), fstab(5), or what is so anyway */
	REFUSE,
	DEBUG,
};

/* mount.fuse3 always adds "dev,suid"; a gtfs mount has neither, ever. */
static const struct known {
	const char *name;
	enum action action;
	const char *why;
} known[] = {
	{ "allow_other", PASS, NULL },
	{ "allow_root", PASS, NULL },
	{ "default_permissions", PASS, NULL },
	{ "nosuid", PASS, NULL },
	{ "nodev", PASS, NULL },
	{ "noexec", PASS, NULL },
	{ "exec", PASS, NULL },
	{ "sync", PASS, NULL },
	{ "async", PASS, NULL },
	{ "dirsync", PASS, NULL },
	{ "atime", PASS, NULL },
	{ "noatime", PASS, NULL },
	{ "nodiratime", PASS, NULL },
	{ "max_read", PASS_NUMBER, NULL },
	{ "debug", DEBUG, NULL },
	{ "defaults", IGNORE, NULL },
	{ "rw", IGNORE, NULL },
	{ "dev", IGNORE, NULL },
	{ "suid", IGNORE, NULL },
	{ "relatime", IGNORE, NULL },
	{ "auto", IGNORE, NULL },
	{ "noauto", IGNORE, NULL },
	{ "user", IGNORE, NULL },
	{ "users", IGNORE, NULL },
	{ "nouser", IGNORE, NULL },
	{ "owner", IGNORE, NULL },
	{ "group", IGNORE, NULL },
	{ "nofail", IGNORE, NULL },
	{ "_netdev", IGNORE, NULL },
	{ "ro", REFUSE, "what is written here is sent; leave it out" },
	{ "fsname", REFUSE, "gtfs sets it itself; leave it out" },
	{ "subtype", REFUSE, "gtfs sets it itself; leave it out" },
	{ "auto_unmount", REFUSE,
	    "gtfs unmounts by itself when it ends; leave it out" },
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance: how many characters to insert, drop or replace. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_LONGEST + 1], len = strlen(b), corner, above;

	if (len > NAME_LONGEST)
		return len;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		corner = row[0];
		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			above = row[j];
			row[j] = least(least(row[j - 1], above) + 1,
			    corner + (a[i - 1] != b[j - 1]));
			corner = above;
		}
	}
	return row[len];
}

static void keep_nearer(
    const char *wrong, const char *name, size_t *nearest, const char **ret)
{
	size_t d = distance(wrong, name);

	/* Two slips at most, and at most half of the word. */
	if (d < *nearest && 2 * d <= strlen(name)) {
		*nearest = d;
		*ret = name;
	}
}

const char *option_nearest(const char *wrong, bool in_list)
{
	const char *ret = NULL;
	size_t nearest = 3;

	for (size_t i = 0; i < OPTION_VALUES; i++)
		keep_nearer(wrong, option_values[i].name, &nearest, &ret);
	keep_nearer(wrong, "debug", &nearest, &ret);
	if (!in_list) {
		keep_nearer(wrong, "foreground", &nearest, &ret);
		keep_nearer(wrong, "help", &nearest, &ret);
		keep_nearer(wrong, "version", &nearest, &ret);
		return ret;
	}
	for (size_t i = 0; i < KNOWN; i++)
		if (known[i].action == PASS || known[i].action == PASS_NUMBER)
			keep_nearer(wrong, known[i].name, &nearest, &ret);
	return ret;
}

static int pass_on(struct options *o, const char *item)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", o->fuse, *o->fuse ? "," : "", item) <
	    0) {
		complain("out of memory");
		return -ENOMEM;
	}
	free(o->fuse);
	o->fuse = joined;
	return 0;
}

static int take_known(struct options *o, const struct known *k,
    const char *item, const char *value)
{
	if (k->action == REFUSE) {
		complain("-o %s: %s", k->name, k->why);
		return -EINVAL;
	}
	if (k->action == PASS_NUMBER &&
	    (!value || !*value || strlen(value) > 9 ||
		strspn(value, "0123456789") != strlen(value))) {
		complain("-o %s: a number is missing; write %s=131072", k->name,
		    k->name);
		return -EINVAL;
	}
	if (k->action != PASS_NUMBER && value) {
		complain(
		    "-o %s: takes no value; leave out '=%s'", k->name, value);
		return -EINVAL;
	}
	if (k->action == DEBUG)
		o->debug = true;
	if (k->action == PASS || k->action == PASS_NUMBER)
		return pass_on(o, item);
	return 0;
}

static int take_own(
    struct options *o, const struct option_value *own, const char *value)
{
	char what[NAME_LONGEST];

	snprintf(what, sizeof(what), "-o %s", own->name);
	if (!value) {
		complain(
		    "%s: a value is missing; write %s=...", what, own->name);
		return -EINVAL;
	}
	return own->set(o, what, value);
}

/* fstab's own options have '_' where those of commands have '-'. */
static bool is_called(const char *item, const char *name)
{
	for (; *item && *name; item++, name++)
		if (*item != *name && !(*item == '_' && *name == '-'))
			return false;
	return *item == *name;
}

static bool for_fstab(const char *item)
{
	return strncmp(item, "x-", 2) == 0 || strncmp(item, "X-", 2) == 0 ||
	       strncmp(item, "comment=", 8) == 0;
}

/* item is cut at its '=' and put together again. */
static int take_item(struct options *o, char *item)
{
	char *equals, *value;
	const char *nearest;
	size_t i;
	int r;

	if (*item == '\0' || for_fstab(item))
		return 0;
	equals = strchr(item, '=');
	value = equals ? equals + 1 : NULL;
	if (equals)
		*equals = '\0';
	for (i = 0; i < OPTION_VALUES; i++)
		if (is_called(item, option_values[i].name) &&
		    (value || strcmp(item, "group") != 0)) /* fstab's own */
			return take_own(o, &option_values[i], value);
	for (i = 0; i < KNOWN && strcmp(item, known[i].name); i++)
		;
	if (i < KNOWN) {
		if (equals)
			*equals = '=';
		r = take_known(o, &known[i], item, value);
		return r;
	}
	nearest = option_nearest(item, true);
	if (nearest)
		complain(
		    "-o %s: no such option; did you mean '%s'?", item, nearest);
	else
		complain("-o %s: no such option; 'gtfs --help' and "
			 "gtfs(1) list them",
		    item);
	return -EINVAL;
}

int option_list(struct options *o, const char *list)
{
	char *copy = strdup(list), *item = copy, *to = copy, c;
	int r = 0;

	if (!copy) {
		complain("out of memory");
		return -ENOMEM;
	}
	/* Unescapes in place: what is written never passes what is read. */
	for (const char *from = list; r == 0; from++) {
		c = *from;
		if (c == '\\' && from[1]) {
			*to++ = *++from;
			continue;
		}
		if (c && c != ',') {
			*to++ = c;
			continue;
		}
		*to++ = '\0';
		r = take_item(o, item);
		item = to;
		if (!c)
			break;
	}
	free(copy);
	return r;
}

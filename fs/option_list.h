/*
 * What stands behind -o: gtfs's own options without their dashes, those of FUSE
 * that are passed on, and those of mount(8) and fstab(5) that mean nothing
 * here. Everything else is refused with the nearest name.
 */
#ifndef OPTION_LIST_H
#define OPTION_LIST_H

#include "options.h"

/*
 * Takes "name=laptop,allow_other"; a comma or backslash that belongs to a value
 * has a backslash in front. 0, or -EINVAL or -ENOMEM after a complaint.
 */
int option_list(struct options *o, const char *list);

/*
 * The name among gtfs's own options (in_list: or of those that may stand behind
 * -o) that wrong was meant to be, or NULL.
 */
const char *option_nearest(const char *wrong, bool in_list);

#endif

/*
 * The links below a directory that is to be moved. Any thread; blocks on the
 * disk, keeps nothing, and never follows a link.
 */
#ifndef LINKWALK_H
#define LINKWALK_H

/* How many entries are looked at; tests lower it. */
#define LINKWALK_MAX 100000

/*
 * Would a link in dir (a descriptor) or below it, that is allowed now, leave
 * the topmost directory where dir is moved? was and is: the depths, now and
 * then, for wire_target_ok of what is directly in dir. A link that leaves
 * already is nobody's but the user's own, and does not count. 0; -EXDEV (one
 * would leave, or that cannot be told: more than max entries, too deep,
 * unreadable); or -ENOMEM.
 */
int linkwalk_check(int dir, unsigned was, unsigned is, unsigned max);

#endif

/*
 * Confinement: a thread that handles what others have sent can do little to
 * this machine, whatever they make it do. Landlock (landlock(7), ABI 2 or
 * later), no_new_privs and a seccomp filter, each of which binds the calling
 * thread and those that it starts:
 *
 *     in, inbox, listen   read and write beneath the inbox and the state
 *     link, probe,        read; write beneath the state
 *       discovery, keeper
 *
 * and none of them runs a program. All other threads, and the helper, stay
 * outside: a Landlock domain may not look at processes outside of it, which the
 * commit rule lives on, and no_new_privs takes its power from fusermount3(1).
 * So no thread of these may be started by one of those.
 *
 * What the kernel has not is done without, and said.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stddef.h>

/*
 * In the main thread, before the first other one. The descriptors are those of
 * the directories, borrowed for this call.
 */
void confine_prepare(int inbox_fd, int state_fd);

/* For thread_on_start (net/sync.h). What fails is logged, once. */
void confine_thread(const char *name, const char *by);

#define CONFINE_STATE_MAX 128

/* "landlock 7, no_new_privs, seccomp", or "none (why)". Any thread. */
void confine_state(char ret[CONFINE_STATE_MAX]);

#endif

/*
 * The sub-commands: `gtfs peers`, `status`, `accept NAME`, `refuse NAME`,
 * `forget NAME` and `stop`. They ask or tell a running mount, and only through
 * the files of its .gtfs folder, so there is no other socket to guard.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>

/* How long `stop` waits for the mount to end. */
#define COMMAND_STOP_TIMEOUT_S 70

/*
 * Is argv[1] == word a command? A folder of that name is mounted as ./word.
 */
bool command_is(const char *word);

/*
 * Runs the command argv[1]; argv may be reordered. Sets the locale's LC_CTYPE.
 * Returns the exit status: 0, or 1 after one line on stderr that says what to
 * do.
 */
int command_run(int argc, char **argv);

#endif

/*
 * What .gtfs/control takes: one command a line, answered by a sentence for
 * people. Knows no FUSE: fs/ctl_files has the file.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

/* The command has begun; control_done is called when it ends. */
#define CONTROL_LATER 1

/* result: 0 or -errno. answer: as control_run's, and the callee's. */
typedef void control_done(void *ctx, int result, char *answer);

/*
 * Runs one command line (a trailing newline is fine):
 *     accept NAME [TAB --quota SIZE[,FILES]], refuse NAME, forget NAME
 *     verify NAME [TAB yes]
 *     pair [NAME TAB CODE]
 *     stop
 * NAME is what stands up to the tab, escaped or not; blanks belong to it.
 *
 * Returns 0 or -errno (-EINVAL: no such command, -ENOENT: no such peer; of
 * network_decide, network_set_quota, network_set_verified, network_pair); in
 * both cases *ret_answer (to be freed; or NULL out of memory) is a line for
 * people; verify's are lines `key: value` (name, fingerprint, words, verified:
 * yes, no, or -: it has no pin), pair's are the code, and what to do with it.
 * Or CONTROL_LATER: done is called once, perhaps before this returns, from
 * another thread and with no lock held; *ret_serial is for network_pair_cancel.
 * Blocks for as long as a small file takes on the disk, at most.
 */
int control_run(const struct ctl_config *c, const char *line, size_t len,
    control_done *done, void *ctx, uint64_t *ret_serial, char **ret_answer);

/*
 * "20G", "500M,1000": bytes (k, M, G, T are powers of 1000) and files, 0 where
 * there is no word about them. 0 or -EINVAL.
 */
int control_quota(const char *text, uint64_t *ret_bytes, uint64_t *ret_files);

#endif

/*
 * The text files of .gtfs/ (design section 1): what they say, and the commands
 * that control takes. Knows no FUSE: fs/tree opens and reads them.
 *
 * Each file is made anew when it is opened. Lines are tab-separated records,
 * fields escaped by escape_text.
 */
#ifndef CTL_H
#define CTL_H

#include <stddef.h>

#include "network.h"

struct ctl_config {
	struct network *network; /* borrowed */
	const char *name, *inbox, *state, *mountpoint;
	const char *fingerprint; /* of our own key */
	const char *accept;      /* "known" or "lan" */
	/* Asked to end: drains, then stops. Must not block. */
	void (*stop)(void *ctx);
	void *ctx;
};

enum ctl_file { CTL_SELF, CTL_PEERS, CTL_TRANSFERS };

/*
 * The whole content; *ret to be freed, *ret_len its bytes. 0 or -ENOMEM.
 *   self: key: value lines: name, fingerprint, port, version, pid, inbox,
 *     state, mountpoint, discovery, accept, confinement (none)
 *   peers: name, state (online|offline|key-rejected), fingerprint,
 *     address(es) comma separated or -, seen (whole seconds ago) or -, free
 *     bytes or -, pinned policy (accept|ask|refuse|-), their policy for us
 *     (accept|ask|refuse|-)
 *   transfers: id, direction (send|receive), peer, name, bytes, total or -,
 *     rate (bytes/s, over its life) or -, state, reason or -
 */
int ctl_read(const struct ctl_config *c, enum ctl_file file, char **ret,
    size_t *ret_len);

/*
 * Runs one command line (a trailing newline is fine): accept NAME, refuse
 * NAME, forget NAME, stop. NAME is the rest of the line, escaped or not.
 * Returns 0 or -errno (-EINVAL: unknown command, -ENOENT: no such peer); in
 * both cases *ret_answer (to be freed; or NULL out of memory) is a line for
 * people. May block on the disk for as long as a small file takes.
 */
int ctl_command(const struct ctl_config *c, const char *line, size_t len,
    char **ret_answer);

#endif

/*
 * The text files of .gtfs/ (design section 1): what they say. Knows no FUSE:
 * fs/ctl_files opens and reads them. What control takes is fs/control's,
 * requests/ and why/ are fs/texts's.
 *
 * Each file is made anew when it is opened. Lines are tab-separated records,
 * fields escaped by escape_text.
 */
#ifndef CTL_H
#define CTL_H

#include <stddef.h>

#include "inbox.h"
#include "network.h"

struct ctl_config {
	struct network *network; /* borrowed */
	struct inbox *arrivals;  /* borrowed; NULL: nobody counts them */
	const char *name, *inbox, *state, *mountpoint;
	const char *fingerprint;      /* of our own key */
	enum trust_default strangers; /* --accept */
	/* Asked to end: drains, then stops. Must not block. */
	void (*stop)(void *ctx);
	void *ctx;
};

enum ctl_file { CTL_SELF, CTL_PEERS, CTL_TRANSFERS };

/*
 * The whole content; *ret to be freed, *ret_len its bytes. 0 or -ENOMEM.
 *   self: key: value lines: name, fingerprint, port, version, pid, inbox,
 *     state, mountpoint, discovery, accept, confinement
 *   peers: name, state (online|offline|key-rejected), fingerprint,
 *     address(es) comma separated or -, seen (whole seconds ago) or -, free
 *     bytes or -, pinned policy (accept|ask|refuse|-), their policy for us
 *     (accept|ask|refuse|-), its key verified (yes|no|-)
 *   transfers: id, direction (send|receive), peer, name, bytes, total or -,
 *     rate (bytes/s, over its life) or -, state, reason or -
 */
int ctl_read(const struct ctl_config *c, enum ctl_file file, char **ret,
    size_t *ret_len);

#endif

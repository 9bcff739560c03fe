/*
 * The command line of `gtfs [options] DIR` (gtfs(1), section OPTIONS), and the
 * same options inside -o, so that /etc/fstab and mount(8) work.
 *
 * Looks at nothing but its arguments, the environment, the host's name and the
 * working directory: whether the paths can be used is for others to find out.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "trust.h"

#define OPTIONS_PORT     4717
#define OPTIONS_PATIENCE 60 /* seconds */
#define OPTIONS_ASK      30

/* A peer that multicast does not reach. */
struct options_peer {
	char *name; /* safe as escape_name makes them */
	char *host; /* a host name or a numeric address; for getaddrinfo(3) */
	uint16_t port;
};

struct options {
	char *mountpoint; /* absolute, as are inbox and state */
	char *name;       /* 1 to WIRE_PEER_NAME_MAX bytes, safe */
	char *inbox;
	char *state;

	/* ss_family AF_UNSPEC: every address. Its port is not set. */
	struct sockaddr_storage listen_address;
	uint16_t listen_port; /* 0: any free one */
	bool listen_given;    /* else another port will do if it is taken */

	bool discovery; /* false: off */
	struct options_peer *peers;
	unsigned n_peers;
	enum trust_default accept; /* --accept: strangers */
	char *group;               /* --group: a file, absolute; or NULL */
	bool durable;              /* --ack durable */
	unsigned patience_s;
	unsigned ask_timeout_s; /* how long a stranger's question is open */

	bool foreground; /* debug means foreground too */
	bool debug;
	char *fuse; /* for libfuse, "allow_other,noexec"; or "" */
};

/* --help or --version was asked for, and has been printed. */
#define OPTIONS_DONE 1

/*
 * Reads the command line; argv may be reordered (getopt_long(3)). Returns 0,
 * OPTIONS_DONE, or -EINVAL, -ENOMEM, -ENOENT (no home directory) after one line
 * on stderr that says what to do. On 0, *ret is to be ended with options_fini.
 */
int options_parse(int argc, char **argv, struct options *ret);
void options_fini(struct options *o);

#endif

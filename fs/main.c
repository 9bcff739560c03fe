/*
 * gtfs: a folder that is your network.
 *
 * The map of fs/ (fs -> net -> crypto; each .h says what its .c does):
 *
 *     options, complain      the command line
 *     command, command_*     gtfs peers, status, accept ...: talk to a running
 *       and what they use      mount through its .gtfs files
 *       (ask, gather, mounts,
 *       records, show, json)
 *     main, home, group,     start and end
 *       daemon
 *     confine, harden        what threads may do to this machine, and what
 *                              others may learn of this process
 *     session, ops           the FUSE session; which operation goes where
 *     node, tree and tree_*  names and attributes outside inbox/, renames that
 *       renaming, deadline     wait for the peer
 *     outbox, outbox_open,   files under peers/<name>/, requests that wait,
 *       parked, version,       which transfer a file has now, the commit rule
 *       commit, procs*,        and what /proc says for it, names of files that
 *       inuse, unshown,        are shown later, what a program copies from
 *       source
 *     ctl_files, ctl,        .gtfs/: its files, what is written into control,
 *       control, texts, why,   requests/ and why/, what happens in net
 *       events, report
 *     view and view_*        inbox/ in the mount
 *     helper, announce       arrivals as events for inotify
 *
 * and the receiving side's disk (net/sink.h):
 *
 *     inbox, arrival and     what puts the parts together; one file on its way
 *       arrival_*              in
 *     spool, spool_range     bytes that nobody sees yet
 *     publish, place, twin   names in the inbox, and what may stand there
 *     aside                  what comes out of it, so that it finds back
 *     delivered, shares,     what has arrived, and what its sender asks about
 *       reach, deliveries*,    it later
 *       again
 *     held, held_open,       what is durable and not shown yet
 *       held_watch
 *     requests, folders*,    directories and links
 *       links, link*
 *     usage, usage_walk      what each sender has there, against its quota
 *     meta, stamp,           modes and times, what a file was, who sent it,
 *       provenance, beneath    openat2(2)
 *
 * Threads: "fuse" (SESSION_WORKERS of them) answer the kernel; "view-slow" its
 * flushes in inbox/; "unshown" shows what is held; "deadline" ends renames that
 * wait; "usage" counts what is in the inbox; "inbox" (in net) ticks the
 * receiving side; "watch" looks after callers that wait to be told, or die,
 * while they are stopped; "link" one a connection to a peer; "pair" one a
 * `gtfs pair NAME`; "in" one a connection from a peer; "listen", "probe",
 * "discovery", "keeper" in net. Those of net are confined (fs/confine.h), so
 * the others are started by main or each other. The main thread waits for a
 * signal, for `gtfs stop`, or for the mount to be taken away.
 */
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "announce.h"
#include "command.h"
#include "commit.h"
#include "complain.h"
#include "confine.h"
#include "ctl_files.h"
#include "daemon.h"
#include "deadline.h"
#include "group.h"
#include "harden.h"
#include "home.h"
#include "log.h"
#include "options.h"
#include "parked.h"
#include "report.h"
#include "session.h"
#include "sync.h"
#include "tree.h"
#include "unshown.h"

/* Everything that one run holds, for run and tear_down. */
struct gtfs {
	struct options options;
	struct home home;
	struct group group;
	struct mount mount;
	struct session *session;
	struct daemon daemon;
	char fingerprint[FINGERPRINT_CHARS];
};

static int set_up_mount(struct gtfs *g)
{
	struct mount *m = &g->mount;
	struct inbox_config inbox = {
		.durable = g->options.durable,
		.arrived = report_arrival,
		.made = report_directory,
		.ctx = m,
	};
	int r;

	LIST_INIT(&m->open_files);
	m->uid = getuid();
	m->gid = getgid();
	m->nodes = nodes_new();
	m->pollers = pollers_new();
	m->watch = parked_watch_new();
	m->deadlines = deadlines_new();
	m->events = events_new(ctl_files_events_grew, m);
	m->announce = announce_new(&m->helper);
	if (!m->announce || !m->nodes || !m->pollers || !m->watch ||
	    !m->deadlines || !m->events || tree_init(m)) {
		complain("not enough memory");
		return -ENOMEM;
	}
	r = home_open_inbox(&g->options, &inbox, &m->inbox);
	if (!r)
		r = view_new(inbox_dirfd(m->inbox), &m->view);
	return r;
}

static int set_up_network(struct gtfs *g)
{
	const struct options *o = &g->options;
	struct network_config config = {
		.identity = &g->home.identity,
		.name = o->name,
		.listen = o->listen_address,
		.listen_exact = o->listen_given,
		.discovery = o->discovery,
		.accept = o->accept,
		.state_fd = g->home.state_fd,
		.patience_ms = (int)o->patience_s * 1000,
		.group = g->group.passphrase,
		.group_len = g->group.len,
		.ask_timeout_ms = (int)o->ask_timeout_s * 1000,
		.sink = inbox_sink(g->mount.inbox),
		.peer_changed = report_peer,
		.transfer_changed = report_transfer,
		.asked = report_question,
		.paired = report_paired,
		.damaged = report_damaged,
		.ctx = &g->mount,
	};
	bool port;
	int r;

	home_listen_address(o, &config.listen);
	r = network_new(&config, &g->mount.network, &port);
	if (r && !port)
		complain("cannot use the state in %s: %s%s", o->state,
		    strerror(-r),
		    r == -EPERM || r == -EACCES
			? "; all in it must be yours, and nobody else may "
			  "write there: 'chmod -R go-w' may help"
			: "");
	else if (r)
		complain("cannot listen on port %u: %s; choose another with "
			 "--listen PORT",
		    o->listen_port, strerror(-r));
	return r;
}

static void set_up_ctl(struct gtfs *g)
{
	struct ctl_config *c = &g->mount.ctl;

	c->network = g->mount.network;
	c->arrivals = g->mount.inbox;
	identity_fingerprint(g->home.identity.public, g->fingerprint);
	c->fingerprint = g->fingerprint;
	c->name = g->options.name;
	c->inbox = g->options.inbox;
	c->state = g->options.state;
	c->mountpoint = g->options.mountpoint;
	c->strangers = g->options.accept;
	c->stop = daemon_ask_stop;
	c->ctx = &g->daemon;
}

static int set_up(struct gtfs *g)
{
	const struct options *o = &g->options;
	int r = helper_start(&g->mount.helper, o->mountpoint);

	if (r)
		log_warning("no events for inotify: %s", strerror(-r));
	r = home_open(o, &g->home);
	if (!r)
		r = group_read(o->group, &g->group);
	if (!r)
		r = set_up_mount(g);
	if (!r)
		r = set_up_network(g);
	if (r)
		return r;
	g->mount.unshown = unshown_new(&g->mount);
	if (!g->mount.unshown)
		return -ENOMEM;
	set_up_ctl(g);
	r = session_prepare(o->mountpoint);
	if (r) {
		complain("cannot mount on %s: %s; name an empty folder of "
			 "yours",
		    o->mountpoint, strerror(-r));
		return r;
	}
	r = session_mount(&g->mount, o->mountpoint, o->fuse, &g->session);
	if (r) {
		complain("cannot mount on %s; is fuse3 installed, and "
			 "/dev/fuse yours to open?",
		    o->mountpoint);
		return r;
	}
	return 0;
}

/* Threads start here, after the last fork. */
static int run(struct gtfs *g)
{
	const struct options *o = &g->options;
	unsigned i;
	int r;

	confine_prepare(inbox_dirfd(g->mount.inbox), g->home.state_fd);
	thread_on_start(confine_thread);
	r = inbox_start(g->mount.inbox);
	if (!r)
		r = unshown_start(g->mount.unshown);
	if (!r)
		r = session_start(g->session, daemon_mount_ended, &g->daemon);
	if (!r)
		r = network_start(g->mount.network);
	for (i = 0; i < o->n_peers && !r; i++)
		r = network_add_peer(g->mount.network, o->peers[i].name,
		    o->peers[i].host, o->peers[i].port);
	if (r) {
		complain("cannot start: %s", strerror(-r));
		return r;
	}
	daemon_ready(&g->daemon);
	daemon_wait(&g->daemon, &g->mount, o->patience_s, o->mountpoint);
	return 0;
}

static void tear_down(struct gtfs *g)
{
	struct mount *m = &g->mount;

	unshown_stop(m->unshown);
	if (m->network)
		network_stop(m->network);
	if (g->session)
		session_stop(g->session);
	view_free(m->view);
	session_end(g->session);
	helper_stop(&m->helper);
	if (m->nodes)
		commit_release_all(m);
	unshown_free(m->unshown);
	deadlines_free(m->deadlines);
	nodes_free(m->nodes);
	network_free(m->network);
	inbox_close(m->inbox);
	announce_free(m->announce);
	events_free(m->events);
	pollers_free(m->pollers);
	parked_watch_free(m->watch);
	group_fini(&g->group);
	home_close(&g->home);
	daemon_fini(&g->daemon);
	options_fini(&g->options);
}

int main(int argc, char **argv)
{
	struct gtfs g = { .home = HOME_INIT,
		.daemon = DAEMON_INIT,
		.mount.helper = HELPER_INIT };
	int r;

	if (daemon_standard_files())
		return 1;
	setlocale(LC_CTYPE, "");
	if (argc > 1 && command_is(argv[1]))
		return command_run(argc, argv);
	r = options_parse(argc, argv, &g.options);
	if (r)
		return r == OPTIONS_DONE ? 0 : 1;
	umask(0);
	/* Many threads, little memory: few arenas, and it goes back soon. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	r = daemon_begin(&g.daemon, g.options.foreground, g.options.debug);
	if (r) {
		options_fini(&g.options);
		return r == DAEMON_PARENT_DONE ? 0 : 1;
	}
	harden();
	r = set_up(&g);
	if (!r)
		r = run(&g);
	tear_down(&g);
	return r ? 1 : 0;
}

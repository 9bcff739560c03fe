/*
 * The command line of the mount, and what is so where it says nothing. Runs
 * on the main thread, before anything else; leaves the meaning of values to
 * fs/option_values and what is behind -o to fs/option_list.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complain.h"
#include "escape.h"
#include "option_list.h"
#include "option_values.h"

#define VALUE_BASE 256 /* getopt's result for option_values[0] */

static const char help[] =
    "gtfs [options] DIR           mount: copy into DIR/peers/NAME/ to send,\n"
    "                             find in DIR/inbox/ what others have sent\n"
    "gtfs peers | status | requests | why [NAME]        (each takes --json)\n"
    "gtfs accept NAME [--quota SIZE[,FILES]] | refuse NAME | forget NAME\n"
    "gtfs verify NAME | pair | pair NAME      compare words, or type a code\n"
    "gtfs stop                    finish, say goodbye, unmount\n"
    "                             (--mount DIR if there are several mounts)\n"
    "  --name NAME                what others see; default: the host name\n"
    "  --inbox DIR                default: ~/.local/share/gtfs/inbox\n"
    "  --state DIR                default: ~/.local/state/gtfs\n"
    "  --listen [ADDR:]PORT       default: 4717, another one if it is taken\n"
    "  --discovery avahi|off      default: avahi\n"
    "  --peer NAME=HOST[:PORT]    one that multicast does not reach; "
    "repeatable\n"
    "  --accept ask|known|lan     a stranger: you are asked (default), it is\n"
    "                             refused, or let in and known from then on\n"
    "  --ask-timeout SECONDS      for the answer to a stranger; default: 30\n"
    "  --group FILE               machines with its passphrase trust each "
    "other\n"
    "  --ack durable|received     received: no fsyncs; default: durable\n"
    "  --patience SECONDS         for a peer that is lost; default: 60\n"
    "  -o OPT[,OPT...]            these without dashes, and FUSE's options\n"
    "  -f, --foreground           stay in front\n"
    "  -d, --debug                say more, and stay in front\n"
    "  --help, --version\n";

void options_fini(struct options *o)
{
	free(o->mountpoint);
	free(o->name);
	free(o->inbox);
	free(o->state);
	free(o->group);
	free(o->fuse);
	for (unsigned i = 0; i < o->n_peers; i++) {
		free(o->peers[i].name);
		free(o->peers[i].host);
	}
	free(o->peers);
	*o = (struct options){ 0 };
}

/* getopt's table: option_values, and those without a value. */
static void long_options(struct option ret[OPTION_VALUES + 5])
{
	static const struct option flags[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};

	for (int i = 0; i < OPTION_VALUES; i++)
		ret[i] = (struct option){ option_values[i].name,
			required_argument, NULL, VALUE_BASE + i };
	memcpy(ret + OPTION_VALUES, flags, sizeof(flags));
}

/* What getopt did not know: word is the argument, optopt the rest of it. */
static int complain_unknown(const char *word)
{
	const char *nearest;
	char name[64];

	if (optopt == 'f' || optopt == 'd' || optopt == 'h' || optopt == 'V') {
		complain("%s: takes no value; leave it out", word);
	} else if (optopt) {
		complain("-%c: no such option; 'gtfs --help' lists "
			 "them",
		    optopt);
	} else {
		snprintf(name, sizeof(name), "%s", word + 2);
		name[strcspn(name, "=")] = '\0';
		nearest = option_nearest(name, false);
		if (!strcmp(name, "mount") || !strcmp(name, "json"))
			complain("--%s: belongs behind a command, as "
				 "in 'gtfs peers --%s'",
			    name, name);
		else if (nearest)
			complain("--%s: no such option; did you mean "
				 "'--%s'?",
			    name, nearest);
		else
			complain("--%s: no such option; 'gtfs --help' "
				 "lists them",
			    name);
	}
	return -EINVAL;
}

static int complain_missing(void)
{
	if (optopt >= VALUE_BASE)
		complain("--%s: a value is missing; 'gtfs --help' "
			 "says which",
		    option_values[optopt - VALUE_BASE].name);
	else
		complain("-%c: a value is missing; 'gtfs --help' says "
			 "which",
		    optopt);
	return -EINVAL;
}

static int print(const char *text)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
		complain("standard output: %s", strerror(errno));
		return -EINVAL;
	}
	return OPTIONS_DONE;
}

static int take_value(struct options *o, int c)
{
	const struct option_value *v = &option_values[c - VALUE_BASE];
	char what[32];

	snprintf(what, sizeof(what), "--%s", v->name);
	return v->set(o, what, optarg);
}

/* All options; those without dashes are left behind, from optind on. */
static int take_options(
    int argc, char **argv, struct options *o, bool *ret_listed)
{
	struct option longs[OPTION_VALUES + 5];
	int c, r = 0;

	long_options(longs);
	optind = 0; /* glibc: from the start again */
	opterr = 0;
	while (r == 0 &&
	       (c = getopt_long(argc, argv, ":o:fdhV", longs, NULL)) != -1) {
		switch (c) {
		case 'f': o->foreground = true; break;
		case 'd': o->debug = true; break;
		case 'h': r = print(help); break;
		case 'V': r = print("gtfs " GTFS_VERSION "\n"); break;
		case 'o':
			*ret_listed = true;
			r = option_list(o, optarg);
			break;
		case ':': r = complain_missing(); break;
		case '?': r = complain_unknown(argv[optind - 1]); break;
		default: r = take_value(o, c); break;
		}
	}
	return r;
}

/*
 * DIR; or SOURCE DIR with -o, which is how mount(8) calls (the source, any
 * word in fstab's first field, means nothing here).
 */
static int take_folder(int n, char **words, bool listed, struct options *o)
{
	if (n == 0) {
		complain("no folder to mount is named; try "
			 "'gtfs ~/gt', or 'gtfs --help'");
		return -EINVAL;
	}
	if (n > 2 || (n == 2 && !listed)) {
		complain("%s: one folder is mounted, not more; to send "
			 "a file, copy it into DIR/peers/NAME/",
		    words[1]);
		return -EINVAL;
	}
	return option_path("the folder to mount", words[n - 1], &o->mountpoint);
}

static const char *home_directory(void)
{
	const char *home = getenv("HOME");
	const struct passwd *pw;

	if (home && home[0] == '/')
		return home;
	pw = getpwuid(geteuid()); /* at boot there is no HOME */
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
}

/* $variable/tail, or ~/fallback/tail (XDG Base Directory Specification). */
static int default_path(const char *what, const char *variable,
    const char *fallback, const char *tail, char **to)
{
	const char *base = getenv(variable), *home = home_directory();
	int n;

	if (*to)
		return 0;
	if (base && base[0] == '/') {
		n = asprintf(to, "%s/%s", base, tail);
	} else if (home) {
		n = asprintf(to, "%s/%s/%s", home, fallback, tail);
	} else {
		complain("%s: there is no home directory; give one", what);
		return -ENOENT;
	}
	if (n < 0) {
		*to = NULL;
		complain("out of memory");
		return -ENOMEM;
	}
	return 0;
}

/* The first label of the host's name. */
static int default_name(char **to)
{
	char host[HOST_NAME_MAX + 1] = "", safe[WIRE_PEER_NAME_MAX + 1];

	if (*to)
		return 0;
	gethostname(host, sizeof(host) - 1);
	escape_name(host, strcspn(host, "."), safe);
	*to = strdup(safe);
	if (!*to)
		complain("out of memory");
	return *to ? 0 : -ENOMEM;
}

int options_parse(int argc, char **argv, struct options *ret)
{
	struct options o = {
		.listen_address = { .ss_family = AF_UNSPEC },
		.listen_port = OPTIONS_PORT,
		.discovery = true,
		.accept = TRUST_ASKED,
		.durable = true,
		.patience_s = OPTIONS_PATIENCE,
		.ask_timeout_s = OPTIONS_ASK,
		.fuse = strdup(""),
	};
	bool listed = false;
	int r = o.fuse ? 0 : -ENOMEM;

	if (r == 0)
		r = take_options(argc, argv, &o, &listed);
	if (r == 0)
		r = take_folder(argc - optind, argv + optind, listed, &o);
	if (r == 0)
		r = default_name(&o.name);
	if (r == 0)
		r = default_path("--inbox", "XDG_DATA_HOME", ".local/share",
		    "gtfs/inbox", &o.inbox);
	if (r == 0)
		r = default_path("--state", "XDG_STATE_HOME", ".local/state",
		    "gtfs", &o.state);
	if (r) {
		options_fini(&o);
		return r;
	}
	o.foreground |= o.debug;
	*ret = o;
	return 0;
}

/*
 * The sub-commands: their arguments, what to ask or tell, how long to wait.
 * One thread. Those about trust are in fs/command_trust. Finding the mount and
 * its files is fs/ask's, what the lines mean fs/records's, how they look
 * fs/show's and fs/json's; the other end of the control file is fs/control in
 * the daemon.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "command_internal.h"
#include "command_trust.h"
#include "complain.h"
#include "escape.h"
#include "json.h"
#include "mounts.h"
#include "records.h"
#include "show.h"
#include "sync.h"

#define LINE_MAX   512  /* of a command; names are far shorter */
#define UNMOUNT_MS 5000 /* from the daemon's end to the mount's */

int command_complain_errno(const struct request *q, const char *file, int err)
{
	switch (err) {
	case -ENOTCONN:
	case -ECONNABORTED:
		complain("%s: the gtfs at %s has died; 'gtfs %s' mounts it "
			 "anew",
		    q->word, q->mount.path, q->mount.path);
		break;
	case -EACCES:
		complain("%s: the gtfs at %s is another user's; only they can "
			 "ask it",
		    q->word, q->mount.path);
		break;
	default:
		complain("%s: %s/.gtfs/%s: %s", q->word, q->mount.path, file,
		    strerror(-err));
		break;
	}
	return 1;
}

static int read_records(const struct request *q, const char *file,
    const struct column *columns, unsigned n_columns, struct records *ret)
{
	char *text;
	int r = ask_read(&q->mount, file, &text);

	return r ? r : records_parse(text, columns, n_columns, ret);
}

static int read_self(const struct request *q, struct records *ret)
{
	char *text;
	int r = ask_read(&q->mount, "self", &text);

	return r ? r : records_parse_pairs(text, ret);
}

int command_printed(const struct request *q)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	complain("%s: standard output: %s", q->word, strerror(errno));
	return 1;
}

static int run_peers(struct request *q)
{
	struct records peers;
	int r = read_records(q, "peers", peers_columns, PEERS_COLUMNS, &peers);

	if (r)
		return command_complain_errno(q, "peers", r);
	if (q->json) {
		json_records(stdout, &peers, peers_columns);
		putchar('\n');
	} else {
		r = show_peers(stdout, &peers);
	}
	records_fini(&peers);
	return r ? command_complain_errno(q, "peers", r) : command_printed(q);
}

static int print_status(const struct request *q, const struct records *self,
    const struct records *peers, const struct records *transfers)
{
	int r;

	if (q->json) {
		fputs("{\"self\": ", stdout);
		json_pairs(stdout, self);
		fputs(",\n\"peers\": ", stdout);
		json_records(stdout, peers, peers_columns);
		fputs(",\n\"transfers\": ", stdout);
		json_records(stdout, transfers, transfers_columns);
		fputs("}\n", stdout);
		return 0;
	}
	show_self(stdout, self);
	putchar('\n');
	r = show_peers(stdout, peers);
	putchar('\n');
	return r ? r : show_transfers(stdout, transfers);
}

static int run_status(struct request *q)
{
	struct records self = { 0 }, peers = { 0 }, transfers = { 0 };
	const char *file = "self";
	int r = read_self(q, &self);

	if (r == 0) {
		file = "peers";
		r = read_records(q, file, peers_columns, PEERS_COLUMNS, &peers);
	}
	if (r == 0) {
		file = "transfers";
		r = read_records(
		    q, file, transfers_columns, TRANSFERS_COLUMNS, &transfers);
	}
	if (r == 0)
		r = print_status(q, &self, &peers, &transfers);
	records_fini(&self);
	records_fini(&peers);
	records_fini(&transfers);
	return r ? command_complain_errno(q, file, r) : command_printed(q);
}

/* Line by line, escaped again here: it may quote what peers call themselves. */
static int print_lines(char *text)
{
	char *at = text, *line, *safe;
	size_t cap;

	while (at && (line = strsep(&at, "\n"))) {
		if (!at && !*line)
			break; /* behind the last newline */
		records_unescape(line);
		cap = 4 * strlen(line) + 1;
		safe = malloc(cap);
		if (!safe)
			return -ENOMEM;
		escape_text(line, strlen(line), safe, cap);
		puts(safe);
		free(safe);
	}
	return 0;
}

int command_complain_told(const struct request *q, char *answer, int err)
{
	if (answer) {
		answer[strcspn(answer, "\n")] = '\0';
		records_unescape(answer);
		complain("%s: %s", q->word, answer);
	} else if (err == -ENOENT && q->name) {
		complain("%s: no peer is called '%s'; 'gtfs peers' lists them",
		    q->word, q->name);
	} else if (err == -EINVAL) {
		complain("%s: the gtfs at %s does not know this command; it "
			 "may be of another version: stop and start it",
		    q->word, q->mount.path);
	} else {
		return command_complain_errno(q, "control", err);
	}
	return 1;
}

bool command_name_ok(const struct request *q)
{
	char safe[64];

	/* Folders of peers are called as escape_name calls them. */
	escape_name(q->name, strlen(q->name), safe);
	if (strcmp(safe, q->name) == 0)
		return true;
	complain("%s: no peer can be called '%s'; 'gtfs peers' lists them",
	    q->word, q->name);
	return false;
}

int command_tell(const struct request *q, const char *rest, char **ret_answer)
{
	char line[LINE_MAX];
	int r;

	snprintf(line, sizeof(line), "%s%s%s%s%s\n", q->word,
	    q->name ? " " : "", q->name ? q->name : "", rest ? "\t" : "",
	    rest ? rest : "");
	r = ask_tell(&q->mount, line, ret_answer);
	explicit_bzero(line, sizeof(line)); /* a code may be in it */
	return r;
}

int command_tell_print(const struct request *q, const char *rest)
{
	char *answer;
	int r = command_tell(q, rest, &answer);

	if (r)
		r = command_complain_told(q, answer, r);
	else if (answer && print_lines(answer))
		r = command_complain_errno(q, "control", -ENOMEM);
	else
		r = command_printed(q);
	free(answer);
	return r;
}

static int run_verb(struct request *q)
{
	return command_name_ok(q) ? command_tell_print(q, NULL) : 1;
}

/* The daemon's process, to see its end; -1 where that cannot be known. */
static int open_daemon(const struct records *self)
{
	const char *text = records_value(self, "pid");
	long pid = text ? strtol(text, NULL, 10) : 0;

	return pid > 1 ? pidfd_open((pid_t)pid, 0) : -1;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&p, 1, 0) == 1;
}

/* 0 and whether it is still there, or -errno. */
static int is_mounted(const struct request *q, bool *ret)
{
	const struct mount_entry *e;
	struct mounts m;
	int r = mounts_read(&m);

	if (r)
		return r;
	e = mounts_by_id(&m, q->mount.id);
	*ret = e && strcmp(e->path, q->mount.path) == 0;
	mounts_fini(&m);
	return 0;
}

/*
 * Waits until the daemon has ended and its mount is gone. 0, -ETIMEDOUT (it
 * has not ended), -EBUSY (it has, and the mount stays) or -errno.
 */
static int wait_stopped(const struct request *q, int pidfd)
{
	int64_t deadline = now_ms() + COMMAND_STOP_TIMEOUT_S * 1000, left;
	/* Opened before the list is read: no change goes unseen. */
	int fd = mounts_watch(), r = fd < 0 ? fd : 0;
	bool mounted = true, ended = pidfd < 0;

	while (r == 0) {
		r = is_mounted(q, &mounted);
		if (!ended && has_ended(pidfd)) {
			ended = true;
			deadline = now_ms() + UNMOUNT_MS;
		}
		if (r || (ended && !mounted))
			break;
		left = deadline - now_ms();
		r = left > 0 ? mounts_wait(fd, ended ? -1 : pidfd, (int)left)
			     : -ETIMEDOUT;
	}
	if (fd >= 0)
		close(fd);
	return r == -ETIMEDOUT && ended && pidfd >= 0 ? -EBUSY : r;
}

static int complain_stop(const struct request *q, int err)
{
	if (err == -ETIMEDOUT)
		complain("stop: the gtfs at %s has not ended in %d s; "
			 "'gtfs status' says what it still does",
		    q->mount.path, COMMAND_STOP_TIMEOUT_S);
	else if (err == -EBUSY)
		complain("stop: gtfs has ended, but %s is still mounted; "
			 "'fusermount3 -u -z %s' removes it",
		    q->mount.path, q->mount.path);
	else
		complain("stop: %s", strerror(-err));
	return 1;
}

static int run_stop(struct request *q)
{
	struct records self;
	char *answer;
	int pidfd, r = read_self(q, &self);

	if (r)
		return command_complain_errno(q, "self", r);
	pidfd = open_daemon(&self);
	records_fini(&self);
	r = ask_tell(&q->mount, "stop\n", &answer);
	/* It may be gone before it has answered. */
	if (r && ((r != -ENOTCONN && r != -ECONNABORTED) || pidfd < 0)) {
		r = command_complain_told(q, answer, r);
	} else {
		r = wait_stopped(q, pidfd);
		if (r)
			r = complain_stop(q, r);
	}
	free(answer);
	if (pidfd >= 0)
		close(pidfd);
	return r;
}

enum named { NAMED_NOT, NAMED, NAMED_MAYBE };

static const struct command {
	const char *word;
	int (*run)(struct request *q);
	enum named named; /* has a NAME */
	bool json;        /* prints records */
	const char *usage;
} commands[] = {
	{ "peers", run_peers, NAMED_NOT, true, "[--json]" },
	{ "status", run_status, NAMED_NOT, true, "[--json]" },
	{ "requests", command_requests, NAMED_NOT, true, "[--json]" },
	{ "why", command_why, NAMED_MAYBE, true, "[NAME] [--json]" },
	{ "accept", command_accept, NAMED, false,
	    "NAME [--quota SIZE[,FILES]]" },
	{ "refuse", run_verb, NAMED, false, "NAME" },
	{ "forget", run_verb, NAMED, false, "NAME" },
	{ "verify", command_verify, NAMED, false, "NAME [--yes]" },
	{ "pair", command_pair, NAMED_MAYBE, false, "[NAME]" },
	{ "stop", run_stop, NAMED_NOT, false, "" },
};

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(word, commands[i].word) == 0)
			return &commands[i];
	return NULL;
}

bool command_is(const char *word)
{
	return find_command(word) != NULL;
}

static void print_usage(const struct command *c)
{
	printf("gtfs %s %s%s[--mount DIR]\n", c->word, c->usage,
	    *c->usage ? " " : "");
}

/* One that the command has; "--" and its name stand in its usage. */
static bool has_option(const struct command *c, const char *name)
{
	return strstr(c->usage, name) != NULL;
}

static int complain_option(const struct command *c, const char *option)
{
	complain("%s: %s: no such option here; 'gtfs %s --help' lists them",
	    c->word, option, c->word);
	return -EINVAL;
}

static int complain_missing(const struct command *c, int opt)
{
	if (opt == 'q')
		complain("%s: --quota: a size is missing, as in 20G or "
			 "500M,1000",
		    c->word);
	else
		complain("%s: --mount: a folder is missing", c->word);
	return -EINVAL;
}

/* Options of all commands. 0, 1 (--help, printed), or -EINVAL. */
static int take_options(
    int argc, char **argv, const struct command *c, struct request *q)
{
	static const struct option longs[] = {
		{ "mount", required_argument, NULL, 'm' },
		{ "quota", required_argument, NULL, 'q' },
		{ "yes", no_argument, NULL, 'y' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	optind = 0; /* glibc: from the start again */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		switch (opt) {
		case 'm': q->where = optarg; break;
		case 'q': q->quota = optarg; break;
		case 'y': q->yes = true; break;
		case 'j': q->json = true; break;
		case 'h': print_usage(c); return 1;
		case ':': return complain_missing(c, optopt);
		default: return complain_option(c, argv[optind - 1]);
		}
	}
	if (q->quota && !has_option(c, "--quota"))
		return complain_option(c, "--quota");
	if (q->yes && !has_option(c, "--yes"))
		return complain_option(c, "--yes");
	if (q->json && !c->json)
		return complain_option(c, "--json");
	return 0;
}

/* What the options and words say, checked. As take_options. */
static int take_arguments(
    int argc, char **argv, const struct command *c, struct request *q)
{
	int r = take_options(argc, argv, c, q), n = argc - optind;

	if (r)
		return r;
	if (n && c->named == NAMED_NOT) {
		complain("%s: takes options only, and not '%s'; 'gtfs %s "
			 "--help' shows how",
		    c->word, argv[optind], c->word);
		return -EINVAL;
	}
	if (n > 1) {
		complain("%s: too many words (quote a name with blanks); "
			 "'gtfs %s --help' shows how",
		    c->word, c->word);
		return -EINVAL;
	}
	if (n == 0 && c->named == NAMED) {
		complain("%s: whom? the NAME of a peer is missing; 'gtfs %s "
			 "--help' shows how",
		    c->word, c->word);
		return -EINVAL;
	}
	q->name = n ? argv[optind] : NULL;
	return 0;
}

int command_run(int argc, char **argv)
{
	const struct command *c = find_command(argv[1]);
	struct request q = { 0 };
	int r;

	if (!c)
		return 1; /* the caller has asked command_is */
	q.word = c->word;
	setlocale(LC_CTYPE, "");
	r = take_arguments(argc - 1, argv + 1, c, &q);
	if (r)
		return r > 0 ? command_printed(&q) : 1;
	if (ask_find(q.word, q.where, &q.mount))
		return 1;
	r = c->run(&q);
	free(q.mount.path);
	return r;
}

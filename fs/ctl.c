/*
 * Writes the text files of .gtfs/ and runs the lines of .gtfs/control. Called
 * by the threads that serve FUSE (opening such a file is what waits for a
 * copy of the tables); keeps nothing. fs/records reads these formats.
 */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "escape.h"
#include "records.h"
#include "sync.h"

/* Room for any field: names have 255 bytes, paths 4096. */
#define FIELD_MAX (4 * 4096 + 1)
/* A command line: a verb and a name, escaped at worst. */
#define COMMAND_MAX 2048

static void put_text(FILE *out, const char *text)
{
	char safe[FIELD_MAX];

	escape_text(text, strlen(text), safe, sizeof(safe));
	fputs(safe, out);
}

/* "-": there is none. */
static void put_optional(FILE *out, const char *text)
{
	put_text(out, *text ? text : "-");
}

static void put_pair(FILE *out, const char *key, const char *value)
{
	fprintf(out, "%s: ", key);
	put_text(out, value ? value : "");
	fputc('\n', out);
}

static int write_self(const struct ctl_config *c, FILE *out)
{
	char discovery[256];

	network_discovery_state(c->network, discovery, sizeof(discovery));
	put_pair(out, "name", c->name);
	put_pair(out, "fingerprint", c->fingerprint);
	fprintf(out, "port: %u\n", network_port(c->network));
	put_pair(out, "version", GTFS_VERSION);
	fprintf(out, "pid: %ld\n", (long)getpid());
	put_pair(out, "inbox", c->inbox);
	put_pair(out, "state", c->state);
	put_pair(out, "mountpoint", c->mountpoint);
	put_pair(out, "discovery", discovery);
	put_pair(out, "accept", c->accept);
	put_pair(out, "confinement", "none");
	return 0;
}

static const char *peer_state_name(const struct peer_info *p)
{
	if (p->key_rejected)
		return "key-rejected";
	return p->state == PEER_ONLINE ? "online" : "offline";
}

static const char *pin_policy_name(const struct peer_info *p)
{
	if (!p->pinned)
		return "-";
	switch (p->pin_policy) {
	case TRUST_ACCEPT: return "accept";
	case TRUST_ASK: return "ask";
	case TRUST_REFUSE: return "refuse";
	}
	return "-";
}

static const char *their_policy_name(const struct peer_info *p)
{
	switch (p->policy) {
	case WIRE_POLICY_ACCEPT: return "accept";
	case WIRE_POLICY_ASK: return "ask";
	case WIRE_POLICY_REFUSE: return "refuse";
	}
	return "-"; /* it has not said so yet */
}

static void write_peer(FILE *out, const struct peer_info *p, int64_t now)
{
	char address[ADDRESS_TEXT_MAX];

	put_text(out, p->name);
	fprintf(out, "\t%s\t%s\t", peer_state_name(p), p->fingerprint);
	for (unsigned i = 0; i < p->n_addresses; i++) {
		address_format((const void *)&p->addresses[i], address);
		if (i)
			fputc(',', out);
		put_text(out, address);
	}
	if (!p->n_addresses)
		fputc('-', out);
	if (p->seen_ms > 0)
		fprintf(out, "\t%" PRId64,
		    now > p->seen_ms ? (now - p->seen_ms) / 1000 : 0);
	else
		fputs("\t-", out);
	if (p->space.total_bytes)
		fprintf(out, "\t%" PRIu64, p->space.free_bytes);
	else
		fputs("\t-", out);
	fprintf(out, "\t%s\t%s\n", pin_policy_name(p), their_policy_name(p));
}

static int write_peers(const struct ctl_config *c, FILE *out)
{
	struct peer_info *all;
	int64_t now = now_ms();
	int n = peers_snapshot(network_peers(c->network), &all);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		write_peer(out, &all[i], now);
	free(all);
	return 0;
}

static void write_transfer(FILE *out, const struct ledger_entry *e, int64_t now)
{
	int64_t took = (e->ended_ms ? e->ended_ms : now) - e->started_ms;

	fprintf(out, "%" PRIu64 "\t%s\t", e->id,
	    e->direction == LEDGER_SEND ? "send" : "receive");
	put_text(out, e->peer);
	fputc('\t', out);
	put_text(out, e->name);
	fprintf(out, "\t%" PRIu64, e->bytes);
	if (e->total == WIRE_SIZE_UNKNOWN)
		fputs("\t-", out);
	else
		fprintf(out, "\t%" PRIu64, e->total);
	if (took > 0)
		fprintf(out, "\t%.0f", (double)e->bytes * 1000 / (double)took);
	else
		fputs("\t-", out);
	fprintf(out, "\t%s\t", ledger_state_name(e->state));
	put_optional(out, e->reason);
	fputc('\n', out);
}

static int write_transfers(const struct ctl_config *c, FILE *out)
{
	struct ledger_entry *all;
	int64_t now = now_ms();
	int n = ledger_snapshot(network_ledger(c->network), &all);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		write_transfer(out, &all[i], now);
	free(all);
	return 0;
}

int ctl_read(
    const struct ctl_config *c, enum ctl_file file, char **ret, size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r = -EINVAL;

	if (!out)
		return -ENOMEM;
	switch (file) {
	case CTL_SELF: r = write_self(c, out); break;
	case CTL_PEERS: r = write_peers(c, out); break;
	case CTL_TRANSFERS: r = write_transfers(c, out); break;
	}
	/* A memory stream fails for want of memory only. */
	if (ferror(out) && !r)
		r = -ENOMEM;
	if (fclose(out) && !r)
		r = -ENOMEM;
	if (r) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int run_accept(const struct ctl_config *c, const char *name)
{
	return network_set_policy(c->network, name, TRUST_ACCEPT);
}

static int run_refuse(const struct ctl_config *c, const char *name)
{
	return network_set_policy(c->network, name, TRUST_REFUSE);
}

static int run_forget(const struct ctl_config *c, const char *name)
{
	return network_forget(c->network, name);
}

static int run_stop(const struct ctl_config *c, const char *name)
{
	c->stop(c->ctx);
	return 0;
}

static const struct command {
	const char *word;
	bool takes_name;
	int (*run)(const struct ctl_config *c, const char *name);
	const char *done; /* the answer, behind the name if there is one */
} commands[] = {
	{ "accept", true, run_accept, "may send to this machine" },
	{ "refuse", true, run_refuse, "is refused from now on" },
	{ "forget", true, run_forget, "is forgotten" },
	{ "stop", false, run_stop, "stopping" },
};

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (!strcmp(commands[i].word, word))
			return &commands[i];
	}
	return NULL;
}

/* A name as it stands in .gtfs/peers may have escapes; a folder has none. */
static int run(
    const struct ctl_config *c, const struct command *command, char *name)
{
	int r = command->run(c, name);

	if (r == -ENOENT && strchr(name, '\\')) {
		records_unescape(name);
		r = command->run(c, name);
	}
	return r;
}

static char *answer(const struct command *command, const char *name, int r)
{
	char safe[FIELD_MAX], *text = NULL;
	int n;

	escape_text(name, strlen(name), safe, sizeof(safe));
	if (!r && !command->takes_name)
		n = asprintf(&text, "%s\n", command->done);
	else if (!r)
		n = asprintf(&text, "%s %s\n", safe, command->done);
	else if (r == -ENOENT)
		n = asprintf(&text,
		    "no machine named %s is known: see .gtfs/peers\n", safe);
	else
		n = asprintf(&text, "%s: %s\n", safe, strerror(-r));
	return n < 0 ? NULL : text;
}

int ctl_command(
    const struct ctl_config *c, const char *line, size_t len, char **ret_answer)
{
	static const char usage[] = "the commands are: accept NAME, refuse "
				    "NAME, forget NAME, stop\n";
	char text[COMMAND_MAX], *name;
	const struct command *command;
	int r;

	if (len && line[len - 1] == '\n')
		len--;
	if (len >= sizeof(text) || memchr(line, '\0', len) ||
	    memchr(line, '\n', len))
		goto unknown;
	memcpy(text, line, len);
	text[len] = '\0';
	name = text + strcspn(text, " \t");
	if (*name)
		*name++ = '\0';
	command = find_command(text);
	if (!command || command->takes_name != (*name != '\0'))
		goto unknown;
	r = run(c, command, name);
	*ret_answer = answer(command, name, r);
	return r;

unknown:
	*ret_answer = strdup(usage);
	return -EINVAL;
}

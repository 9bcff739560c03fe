/*
 * Writes the text files of .gtfs/. Called by the threads that serve FUSE
 * (opening such a file is what waits for a copy of the tables); keeps nothing.
 * fs/records reads these formats.
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
#include "confine.h"
#include "escape.h"
#include "sync.h"

/* Room for any field: names have 255 bytes, paths 4096. */
#define FIELD_MAX (4 * 4096 + 1)

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

static const char *strangers_name(enum trust_default strangers)
{
	switch (strangers) {
	case TRUST_KNOWN: return "known";
	case TRUST_LAN: return "lan";
	case TRUST_ASKED: return "ask";
	}
	return "-";
}

static int write_self(const struct ctl_config *c, FILE *out)
{
	char discovery[256], confinement[CONFINE_STATE_MAX];

	network_discovery_state(c->network, discovery, sizeof(discovery));
	confine_state(confinement);
	put_pair(out, "name", c->name);
	put_pair(out, "fingerprint", c->fingerprint);
	fprintf(out, "port: %u\n", network_port(c->network));
	put_pair(out, "version", GTFS_VERSION);
	fprintf(out, "pid: %ld\n", (long)getpid());
	put_pair(out, "inbox", c->inbox);
	put_pair(out, "state", c->state);
	put_pair(out, "mountpoint", c->mountpoint);
	put_pair(out, "discovery", discovery);
	put_pair(out, "accept", strangers_name(c->strangers));
	put_pair(out, "confinement", confinement);
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
	fprintf(out, "\t%s\t%s\t%s\n", pin_policy_name(p), their_policy_name(p),
	    !p->pinned    ? "-"
	    : p->verified ? "yes"
			  : "no");
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

/* Who is asked is known of the peer, not of each transfer that waits. */
static bool waits_for_owner(
    const struct ledger_entry *e, const struct peer_info *peers, int n_peers)
{
	if (e->direction != LEDGER_SEND || e->state != LEDGER_WAITING)
		return false;
	for (int i = 0; i < n_peers; i++)
		if (!strcmp(peers[i].name, e->peer))
			return peers[i].asking;
	return false;
}

static void write_transfer(
    FILE *out, const struct ledger_entry *e, bool waits_for_owner, int64_t now)
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
	if (waits_for_owner) {
		fputs("waits for ", out);
		put_text(out, e->peer);
		fputs("'s owner to accept", out);
	} else {
		put_optional(out, e->reason);
	}
	fputc('\n', out);
}

static int write_transfers(const struct ctl_config *c, FILE *out)
{
	struct ledger_entry *all;
	struct peer_info *peers;
	int64_t now = now_ms();
	int n = ledger_snapshot(network_ledger(c->network), &all), n_peers;

	if (n < 0)
		return n;
	n_peers = peers_snapshot(network_peers(c->network), &peers);
	if (n_peers < 0) {
		free(all);
		return n_peers;
	}
	for (int i = 0; i < n; i++)
		write_transfer(out, &all[i],
		    waits_for_owner(&all[i], peers, n_peers), now);
	free(peers);
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

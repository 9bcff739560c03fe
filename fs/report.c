/*
 * Runs in the threads of net, with no lock held.
 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "announce.h"
#include "log.h"
#include "tree.h"
#include "words.h"

void report_peer(
    void *ctx, enum peer_change change, const struct peer_info *info)
{
	static const char *const names[] = {
		[PEER_APPEARED] = "peer-appeared",
		[PEER_WENT] = "peer-went",
		[PEER_CAME_ONLINE] = "peer-online",
		[PEER_WENT_OFFLINE] = "peer-offline",
		[PEER_CHANGED] = "peer-changed",
	};
	struct mount *m = ctx;
	char words[WORDS_COMPARE_MAX];

	if (change == PEER_ASKING) {
		words_compare(info->words, words);
		events_add(
		    m->events, "asking", info->name, words, (char *)NULL);
		return;
	}
	if (change == PEER_LET_IN) {
		events_add(m->events, "let-in", info->name, (char *)NULL);
		log_info("%s may now send to this machine, too", info->name);
		return;
	}
	if (change == PEER_WENT)
		tree_peer_gone(m, info->serial);
	events_add(m->events, names[change], info->name, info->fingerprint,
	    (char *)NULL);
	log_debug("%s: %s (%s)", names[change], info->name, info->fingerprint);
}

void report_transfer(void *ctx, const struct ledger_entry *e)
{
	struct mount *m = ctx;
	char id[24], bytes[24];

	snprintf(id, sizeof(id), "%" PRIu64, e->id);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, e->bytes);
	events_add(m->events, e->direction == LEDGER_SEND ? "send" : "receive",
	    id, e->peer, e->name, bytes, ledger_state_name(e->state), e->reason,
	    (char *)NULL);
}

static void report_asked(struct mount *m, const struct consent_question *q)
{
	char words[WORDS_COMPARE_MAX], size[24] = "-";
	char fingerprint[FINGERPRINT_CHARS];

	words_compare(q->words, words);
	identity_fingerprint(q->key, fingerprint);
	if (q->size != WIRE_SIZE_UNKNOWN)
		snprintf(size, sizeof(size), "%" PRIu64, q->size);
	events_add(m->events, "ask", q->name, fingerprint, words, q->file, size,
	    (char *)NULL);
	log_info("%s asks to be let in: gtfs requests", q->name);
}

void report_question(
    void *ctx, enum consent_change change, const struct consent_question *q)
{
	static const char *const names[] = {
		[CONSENT_ACCEPTED] = "accepted",
		[CONSENT_DECLINED] = "declined",
		[CONSENT_EXPIRED] = "expired",
		[CONSENT_WITHDRAWN] = "withdrawn",
	};
	struct mount *m = ctx;

	if (change == CONSENT_ASKED)
		report_asked(m, q);
	else
		events_add(m->events, names[change], q->name, (char *)NULL);
}

void report_damaged(void *ctx, const char *fingerprint, const char *name)
{
	struct mount *m = ctx;

	events_add(m->events, "damaged", fingerprint, *name ? name : "-",
	    (char *)NULL);
}

void report_paired(void *ctx, const char *name)
{
	struct mount *m = ctx;

	events_add(m->events, "paired", name, (char *)NULL);
}

void report_directory(void *ctx, const char *path)
{
	struct mount *m = ctx;

	announce_arrival(m->announce, path, true);
}

void report_arrival(
    void *ctx, const char *path, const char *peer, uint64_t size)
{
	struct mount *m = ctx;
	char bytes[24];

	snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
	announce_arrival(m->announce, path, false);
	events_add(m->events, "arrived", peer, path, bytes, (char *)NULL);
}

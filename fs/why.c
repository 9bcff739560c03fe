/*
 * Runs in the threads that serve FUSE. Says only what was proven: a peer's
 * policy as it has said it in the handshake or a heartbeat, our own pins.
 */
#include "why.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "link.h"
#include "show.h"
#include "words.h"

/* An idle peer is heard of once in LINK_PING_MS at least. */
#define STALLED_MS (3 * LINK_PING_MS)

static bool is_plain(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._+:@%-";

	return *name && *name != '-' && strspn(name, plain) == strlen(name);
}

void why_quote(const char *name, char ret[WHY_QUOTED_MAX])
{
	char safe[4 * WIRE_PEER_NAME_MAX + 1], *to = ret;

	escape_text(name, strlen(name), safe, sizeof(safe));
	if (is_plain(safe)) {
		strcpy(ret, safe);
		return;
	}
	*to++ = '\'';
	for (const char *at = safe; *at; at++) {
		if (*at != '\'')
			*to++ = *at;
		else
			to = stpcpy(to, "'\"'\"'");
	}
	*to++ = '\'';
	*to = '\0';
}

const char *why_word(const struct peer_info *p, int64_t now)
{
	if (p->key_rejected)
		return "key-rejected";
	if (p->state != PEER_ONLINE)
		return "offline";
	if (p->asking)
		return "asking";
	if (p->policy == WIRE_POLICY_REFUSE)
		return "refused";
	if (p->policy == WIRE_POLICY_ASK)
		return "asks";
	return now - p->seen_ms > STALLED_MS ? "stalled" : "online";
}

/* Who has proven p's name or address with another key; NULL: it has left. */
static const struct peer_info *in_its_place(
    const struct why *w, const struct peer_info *p)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->all[i].serial == p->rejected_by)
			return &w->all[i];
	return NULL;
}

static void put_key_rejected(
    FILE *out, const struct why *w, const struct peer_info *p, const char *name)
{
	const struct peer_info *other = in_its_place(w, p);
	char quoted[WHY_QUOTED_MAX] = "";

	fputs("another machine answers in its place, with another key than "
	      "the one that is pinned, and nothing is sent to it.",
	    out);
	if (other) {
		why_quote(other->name, quoted);
		fprintf(out, " That one has the folder %s, fingerprint %s.",
		    quoted, other->fingerprint);
	}
	fprintf(
	    out, " If %s was set up anew, type 'gtfs forget %s'", name, name);
	if (other)
		fprintf(out, " and then 'gtfs accept %s'", quoted);
	else
		fputs(", and accept it again when it is back", out);
	fputs("; if you know of nothing like that, somebody may be in "
	      "between.\n",
	    out);
}

static void put_age(FILE *out, const struct why *w, const struct peer_info *p)
{
	char age[SHOW_CELL_MAX];

	if (p->seen_ms <= 0 || p->seen_ms > w->now) {
		fputs(" since gtfs was started here", out);
		return;
	}
	show_age((uint64_t)(w->now - p->seen_ms) / 1000, age);
	if (strcmp(age, "now"))
		fprintf(out, " for %s", age);
	else
		fputs(" for less than a second", out);
}

static void put_words(FILE *out, const struct peer_info *p)
{
	char words[WORDS_COMPARE_MAX];

	if (!p->has_words)
		return;
	words_compare(p->words, words);
	fprintf(out, " Both screens must show the words: %s.", words);
}

/* What copying to it meets. */
static void put_there(FILE *out, const struct why *w, const struct peer_info *p,
    const char *name, const char *own)
{
	const char *word = why_word(p, w->now);

	if (!strcmp(word, "key-rejected")) {
		put_key_rejected(out, w, p, name);
	} else if (!strcmp(word, "offline")) {
		fputs("not heard of", out);
		put_age(out, w, p);
		fputs(": it is off, asleep, on another network, or gtfs does "
		      "not run there.\n",
		    out);
	} else if (!strcmp(word, "asking")) {
		fprintf(out,
		    "waiting for its owner to accept this machine: on %s, "
		    "'gtfs requests' shows the question%s.",
		    name,
		    p->has_words ? "; accept the one with these words" : "");
		put_words(out, p);
		fputc('\n', out);
	} else if (!strcmp(word, "asks")) {
		fputs("online; its owner will be asked when something is "
		      "copied to it, and the copy waits for the answer.\n",
		    out);
	} else if (!strcmp(word, "refused")) {
		fprintf(out,
		    "it does not let this machine in: its owner has not "
		    "accepted it, or has declined. There, 'gtfs accept %s' "
		    "lets it in; or type 'gtfs pair' there and 'gtfs pair %s' "
		    "here.\n",
		    own, name);
	} else if (!strcmp(word, "stalled")) {
		fputs("connected, but silent", out);
		put_age(out, w, p);
		fputs(": what is being copied waits; it is overloaded, asleep, "
		      "or the network between drops what is sent.\n",
		    out);
	} else if (!p->policy) {
		fputs("online; it has not said yet whether it takes files.\n",
		    out);
	} else {
		fputs("online, and takes what is copied to it.\n", out);
	}
}

/* What becomes of its files. */
static void put_here(
    FILE *out, const struct why *w, const struct peer_info *p, const char *name)
{
	if (p->pinned && p->pin_policy == TRUST_ACCEPT)
		fputs("Its files are let in here.\n", out);
	else if (p->pinned && p->pin_policy == TRUST_REFUSE)
		fprintf(out,
		    "Its files are refused here; 'gtfs accept %s' lets them "
		    "in.\n",
		    name);
	else if (p->asking)
		fputs("A yes lets its files in here, too.\n", out);
	else if (w->strangers == TRUST_LAN && !p->pinned)
		fputs("Its files are let in here from the first one on "
		      "(--accept lan).\n",
		    out);
	else if (w->strangers == TRUST_KNOWN)
		fprintf(out,
		    "It is not known here, and its files are refused; 'gtfs "
		    "accept %s' lets them in.\n",
		    name);
	else
		fprintf(out,
		    "You will be asked before its first file is let in here; "
		    "'gtfs accept %s' says yes now.\n",
		    name);
}

int why_text(
    const struct why *w, const struct peer_info *p, bool asks_here, char **ret)
{
	char name[WHY_QUOTED_MAX], own[WHY_QUOTED_MAX], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool failed;

	if (!out)
		return -ENOMEM;
	why_quote(p->name, name);
	why_quote(w->own_name, own);
	fprintf(out, "%s: ", name);
	put_there(out, w, p, name, own);
	if (asks_here)
		fprintf(out,
		    "It asks to be let in here: 'gtfs requests' shows what it "
		    "wants to send, 'gtfs accept %s' says yes.\n",
		    name);
	else
		put_here(out, w, p, name);
	if (p->pinned && p->verified)
		fputs("Its key is verified.\n", out);
	else if (p->pinned && p->has_words)
		fprintf(out,
		    "Its key is not verified: 'gtfs verify %s' shows the words "
		    "that both screens must have.\n",
		    name);
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}

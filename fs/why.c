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

	return *name && strspn(name, plain) == strlen(name);
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

	fputs("another machine answers in its place, with another key, and "
	      "nothing is sent to that.",
	    out);
	if (other) {
		why_quote(other->name, quoted);
		fprintf(out,
		    " That one has the folder %s, and the fingerprint %s, "
		    "which 'gtfs status' shows there.",
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

/* We may have another name there, and only the words tell. */
static void put_asking(
    FILE *out, const struct peer_info *p, const char *name, const char *own)
{
	char words[WORDS_COMPARE_MAX];

	fprintf(out,
	    "its owner is being asked to let this machine in: on %s, 'gtfs "
	    "requests' shows the question, and 'gtfs accept %s' says yes.",
	    name, own);
	if (p->has_words) {
		words_compare(p->words, words);
		fprintf(out, " Both screens must show the words: %s.", words);
	}
	fputc('\n', out);
}

static void put_refused(
    FILE *out, const struct why *w, const char *name, const char *own)
{
	fprintf(out,
	    "it does not let this machine in: its owner has said no or has "
	    "not answered, to it or to another machine at its address, or "
	    "lets in no strangers. On %s, 'gtfs accept %s' lets "
	    "this machine in, if that is its name there: 'gtfs peers' lists "
	    "it with the fingerprint %s.\n",
	    name, own, w->own_fingerprint);
}

/* Where offers are welcome. */
static void put_online(FILE *out, const struct peer_info *p)
{
	const struct sink_space *s = &p->space;

	if (!p->policy)
		fputs("online; it has not said yet whether it takes files.\n",
		    out);
	else if ((s->total_bytes && !s->free_bytes) ||
		 (s->total_files && !s->free_files))
		fputs("online, but its disk is full, except for what gtfs "
		      "leaves free: copies to it fail until its owner makes "
		      "room there.\n",
		    out);
	else
		fputs("online, and takes what is copied to it.\n", out);
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
		put_asking(out, p, name, own);
	} else if (!strcmp(word, "asks")) {
		fputs("online; its owner will be asked when something is "
		      "copied to it, and the copy waits for the answer.\n",
		    out);
	} else if (!strcmp(word, "refused")) {
		put_refused(out, w, name, own);
	} else if (!strcmp(word, "stalled")) {
		fputs("connected, but silent", out);
		put_age(out, w, p);
		fputs(": what is being copied waits; it is overloaded, asleep, "
		      "or the network between drops what is sent.\n",
		    out);
	} else {
		put_online(out, p);
	}
}

/* What becomes of its files. */
static void put_here(FILE *out, const struct why *w, const struct peer_info *p,
    const struct why_here *here, const char *name)
{
	if (here->asks)
		fprintf(out,
		    "It asks to be let in here: 'gtfs requests' shows what it "
		    "wants to send, 'gtfs accept %s' says yes.\n",
		    name);
	else if (p->damaged)
		fprintf(out,
		    "What was known of it here is damaged, and its files are "
		    "refused: if the fingerprint %s is still the one that "
		    "'gtfs status' shows there, 'gtfs accept %s' lets them "
		    "in; otherwise type 'gtfs forget %s'.\n",
		    p->fingerprint, name, name);
	else if (p->pinned && p->pin_policy == TRUST_ACCEPT)
		fputs("Its files are let in here.\n", out);
	else if (p->pinned && p->pin_policy == TRUST_REFUSE)
		fprintf(out,
		    "Its files are refused here; 'gtfs accept %s' lets them "
		    "in.\n",
		    name);
	else if (p->asking)
		fputs("A yes lets its files in here, too.\n", out);
	else if (w->strangers == TRUST_LAN && p->here == WIRE_POLICY_REFUSE)
		fprintf(out,
		    "Its files are refused here: %u machines have been let in "
		    "that nobody has accepted (--accept lan), and no more are; "
		    "'gtfs accept %s' lets them in, and 'gtfs forget' makes "
		    "room.\n",
		    TRUST_AUTOMATIC_MAX, name);
	else if (w->strangers == TRUST_LAN)
		fputs("Its files are let in here from the first one on "
		      "(--accept lan).\n",
		    out);
	else if (w->strangers == TRUST_KNOWN)
		fprintf(out,
		    "It is not known here, and its files are refused; 'gtfs "
		    "accept %s' lets them in.\n",
		    name);
	else if (here->quiet)
		fprintf(out,
		    "Its files are not let in here, and it cannot ask for a "
		    "while, as questions from there were declined or not "
		    "answered; 'gtfs accept %s' lets them in now.\n",
		    name);
	else
		fprintf(out,
		    "You will be asked before its first file is let in here; "
		    "'gtfs accept %s' says yes now.\n",
		    name);
}

/* What it may still send. */
static void put_share(FILE *out, const struct usage_share *s, const char *name)
{
	char has[SHOW_CELL_MAX], may[SHOW_CELL_MAX], least[SHOW_CELL_MAX];

	if (s->files) {
		show_bytes(s->bytes, has);
		show_bytes(s->may.bytes, may);
		fprintf(out,
		    "It has %s of %s and %" PRIu64 " of %" PRIu64
		    " files in the inbox; 'gtfs accept %s --quota SIZE' "
		    "changes how much it may have.\n",
		    has, may, s->files, s->may.files, name);
	}
	if (s->disk_full) {
		show_bytes(s->floor, least);
		fprintf(out,
		    "This disk is full, except for %s that gtfs leaves free: "
		    "nothing more gets in until there is room.\n",
		    least);
	}
}

int why_text(const struct why *w, const struct peer_info *p,
    const struct why_here *here, char **ret)
{
	char name[WHY_QUOTED_MAX], own[WHY_QUOTED_MAX], *text = NULL;
	char label[4 * WIRE_PEER_NAME_MAX + 1];
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool failed;

	if (!out)
		return -ENOMEM;
	why_quote(p->name, name);
	why_quote(w->own_name, own);
	escape_text(p->name, strlen(p->name), label, sizeof(label));
	fprintf(out, "%s: ", label);
	put_there(out, w, p, name, own);
	put_here(out, w, p, here, name);
	if (here->share && p->pinned && p->pin_policy == TRUST_ACCEPT)
		put_share(out, here->share, name);
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

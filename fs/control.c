/*
 * Runs in the threads that serve FUSE; keeps nothing but, while a pairing goes
 * on, whom its answer is for.
 */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "records.h"
#include "why.h"
#include "words.h"

/* Room for a line: a verb, a name that is escaped at worst, a word. */
#define LINE_MAX_BYTES 2048
#define SAFE_MAX       (4 * LINE_MAX_BYTES + 1)

/* A command under way. */
struct call {
	const struct ctl_config *config;
	char *name;       /* or NULL */
	const char *rest; /* behind the tab, or NULL */
	control_done *done;
	void *ctx;
	uint64_t *ret_serial;
	char *answer; /* its own, or NULL: what the table and the errno say */
};

static void answer(struct call *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void answer(struct call *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&a->answer, fmt, ap) < 0)
		a->answer = NULL;
	va_end(ap);
}

static const char *safe(const char *text, char ret[SAFE_MAX])
{
	escape_text(text, strlen(text), ret, SAFE_MAX);
	return ret;
}

/* --- who may send ----------------------------------------------------------
 */

/* Digits, and a letter that multiplies. */
static int take_size(const char **at, uint64_t *ret)
{
	static const char units[] = "kMGT";
	const char *unit;
	uint64_t n;
	char *end;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(*at, &end, 10);
	if (errno)
		return -EINVAL;
	unit = *end ? strchr(units, *end) : NULL;
	*at = unit ? end + 1 : end;
	for (; unit; unit = unit == units ? NULL : unit - 1)
		if (__builtin_mul_overflow(n, 1000, &n))
			return -EINVAL;
	*ret = n;
	return 0;
}

int control_quota(const char *text, uint64_t *ret_bytes, uint64_t *ret_files)
{
	uint64_t bytes, files = 0;
	int r = take_size(&text, &bytes);

	if (!r && *text == ',') {
		text++;
		r = take_size(&text, &files);
	}
	if (r || *text)
		return -EINVAL;
	*ret_bytes = bytes;
	*ret_files = files;
	return 0;
}

/* Is it " (2)", " (3)" or the like? */
static bool is_number(const char *tail)
{
	size_t digits;

	if (strncmp(tail, " (", 2))
		return false;
	digits = strspn(tail + 2, "0123456789");
	return digits && !strcmp(tail + 2 + digits, ")");
}

/* Does one ask as "NAME (2)", because another machine has this name? */
static bool find_namesake(const struct call *a, struct consent_question *ret)
{
	size_t len = strlen(a->name);
	struct consent_question *all;
	bool found = false;
	int n = consent_snapshot(network_consent(a->config->network), &all);

	if (n < 0)
		return false;
	for (int i = 0; i < n && !found; i++) {
		found = !strncmp(all[i].name, a->name, len) &&
			is_number(all[i].name + len);
		if (found)
			*ret = all[i];
	}
	free(all);
	return found;
}

/* Leaves *ret as it is where nobody is listed by that name. */
static void find_listed(struct call *a, struct peer_info *ret)
{
	struct peer *p =
	    peers_find_name(network_peers(a->config->network), a->name);

	if (!p)
		return;
	peer_info(p, ret);
	peer_put(p);
}

/*
 * Answers the question of that name, else lets in the machine that is listed so
 * -- unless a namesake of it is the one that asks.
 */
static int let_in(struct call *a, uint8_t ret_key[IDENTITY_KEY_BYTES])
{
	struct network *n = a->config->network;
	char quoted[WHY_QUOTED_MAX], words[WORDS_COMPARE_MAX], text[SAFE_MAX];
	struct peer_info info = { .pinned = false };
	struct consent_question q;
	int r;

	find_listed(a, &info);
	if (!consent_find(network_consent(n), a->name, &q)) {
		memcpy(ret_key, q.key, IDENTITY_KEY_BYTES);
		return network_answer(n, q.serial, true);
	}
	if (!(info.pinned && info.pin_policy == TRUST_ACCEPT) &&
	    find_namesake(a, &q)) {
		why_quote(q.name, quoted);
		words_compare(q.words, words);
		answer(a,
		    "%s asks for nothing, but another machine of that name "
		    "does, with the words %s: 'gtfs accept %s' lets that one "
		    "in; 'gtfs requests' shows all who ask\n",
		    safe(a->name, text), words, quoted);
		return -EBUSY;
	}
	r = network_decide(n, a->name, true);
	/* Whose question was declined may have a folder only now. */
	find_listed(a, &info);
	memcpy(ret_key, info.key, IDENTITY_KEY_BYTES);
	return r;
}

/* Whom exactly: several may call themselves the same. */
static void answer_let_in(struct call *a, const struct peer_info *p)
{
	char words[WORDS_COMPARE_MAX], text[SAFE_MAX];

	if (p->has_words)
		words_compare(p->words, words);
	answer(a, "%s may send to this machine: fingerprint %s%s%s\n",
	    safe(p->name, text), p->fingerprint, p->has_words ? ", words " : "",
	    p->has_words ? words : "");
}

/* "--quota 20G". 0 or -EINVAL. */
static int take_quota(struct call *a, uint64_t *ret_bytes, uint64_t *ret_files)
{
	static const char option[] = "--quota ";
	const char *value;
	char text[SAFE_MAX];

	if (strncmp(a->rest, option, strlen(option))) {
		answer(a, "'%s' is no option of accept: --quota is\n",
		    safe(a->rest, text));
		return -EINVAL;
	}
	value = a->rest + strlen(option);
	if (!control_quota(value, ret_bytes, ret_files))
		return 0;
	answer(a,
	    "--quota: '%s' is no SIZE[,FILES]; for example 20G, or 500M,1000\n",
	    safe(value, text));
	return -EINVAL;
}

static int run_accept(struct call *a)
{
	struct network *n = a->config->network;
	uint8_t key[IDENTITY_KEY_BYTES];
	uint64_t bytes = 0, files = 0;
	struct peer_info info;
	struct peer *p;
	int r = a->rest ? take_quota(a, &bytes, &files) : 0;

	if (!r)
		r = let_in(a, key);
	p = r ? NULL : peers_find_key(network_peers(n), key);
	if (!p)
		return r;
	peer_info(p, &info);
	peer_put(p);
	if (a->rest)
		r = network_set_quota(n, info.name, bytes, files);
	if (!r)
		answer_let_in(a, &info);
	return r;
}

/* Once is no to a question, which pins nothing; twice is for good. */
static int run_refuse(struct call *a)
{
	struct network *n = a->config->network;
	struct consent_question q;
	bool asked = !consent_find(network_consent(n), a->name, &q);
	char text[SAFE_MAX];
	int r = network_decide(n, a->name, false);

	if (!r && asked)
		answer(a,
		    "%s is declined, and may ask again in %d minutes; refuse "
		    "it once more to refuse it for good\n",
		    safe(a->name, text), CONSENT_DECLINED_MS / 60000);
	return r;
}

static int run_forget(struct call *a)
{
	char text[SAFE_MAX];
	int r = network_forget(a->config->network, a->name);

	if (r != -ENODATA)
		return r;
	answer(a,
	    "%s is here now, and there was nothing to forget: it was never "
	    "accepted or refused for good; if its question was declined, it "
	    "may ask again at once\n",
	    safe(a->name, text));
	return 0;
}

/* --- who it is -------------------------------------------------------------
 */

struct words_of {
	char fingerprint[FINGERPRINT_CHARS];
	bool has_words, pinned, verified;
	char words[WORDS_COMPARE_MAX];
};

/* Of a peer, or of who asks and is none yet. */
static int find_words(
    const struct ctl_config *c, const char *name, struct words_of *ret)
{
	struct peer *p = peers_find_name(network_peers(c->network), name);
	struct consent *consent = network_consent(c->network);
	struct consent_question q;
	struct peer_info info;

	if (p) {
		peer_info(p, &info);
		peer_put(p);
		strcpy(ret->fingerprint, info.fingerprint);
		ret->pinned = info.pinned;
		ret->verified = info.pinned && info.verified;
		ret->has_words = info.has_words;
		if (info.has_words)
			words_compare(info.words, ret->words);
	}
	if (p ? !ret->has_words && !consent_find_key(consent, info.key, &q)
	      : !consent_find(consent, name, &q)) {
		identity_fingerprint(q.key, ret->fingerprint);
		ret->has_words = true;
		words_compare(q.words, ret->words);
		return 0;
	}
	return p ? 0 : -ENOENT;
}

static int mark_verified(struct call *a)
{
	char text[SAFE_MAX];
	int r = network_set_verified(a->config->network, a->name);

	if (!r)
		answer(a, "%s is verified\n", safe(a->name, text));
	return r;
}

static int run_verify(struct call *a)
{
	struct words_of w = { .has_words = false };
	int r = find_words(a->config, a->name, &w);
	char text[SAFE_MAX];

	if (r)
		return r;
	safe(a->name, text);
	if (a->rest && strcmp(a->rest, "yes"))
		return -EINVAL;
	if (!w.has_words) {
		answer(a,
		    "there are no words for %s yet: they come with its first "
		    "question, or ours, and with 'gtfs pair'; until then "
		    "compare fingerprints: there %s, here %s\n",
		    text, w.fingerprint, a->config->fingerprint);
		return -ENODATA;
	}
	if (a->rest && !w.pinned) {
		answer(a,
		    "%s is not let in here yet: accept it first, if the words "
		    "are the same\n",
		    text);
		return -EACCES;
	}
	if (a->rest)
		return mark_verified(a);
	answer(a, "name: %s\nfingerprint: %s\nwords: %s\nverified: %s\n", text,
	    w.fingerprint, w.words,
	    !w.pinned    ? "-"
	    : w.verified ? "yes"
			 : "no");
	return 0;
}

/* --- pairing ---------------------------------------------------------------
 */

struct pairing {
	control_done *done;
	void *ctx;
	char name[SAFE_MAX]; /* safe */
};

static const char *pairing_sentence(int r)
{
	switch (r) {
	case 0: return "and this machine trust each other now";
	case -EINVAL:
		return "was not asked: a code is a digit and two words, as in "
		       "7-word-word";
	case -EKEYREJECTED:
		return "shows another code, or another machine answers in its "
		       "place: look again; after 3 wrong tries, 'gtfs pair' "
		       "there shows a new one";
	case -EACCES:
		return "shows no code now: run 'gtfs pair' there; if one of "
		       "the two has refused the other, 'gtfs accept' takes "
		       "that back first";
	case -EHOSTUNREACH: return "is not there now";
	case -ETIMEDOUT: return "did not answer in time; try again";
	case -EBUSY: return "has to wait: other pairings are under way";
	case -ECANCELED: return "was not paired: interrupted";
	default: return NULL;
	}
}

static char *pairing_answer(const char *name, int r)
{
	const char *sentence = pairing_sentence(r);
	char *text;

	if (asprintf(
		&text, "%s %s\n", name, sentence ? sentence : strerror(-r)) < 0)
		return NULL;
	return text;
}

static void pairing_done(void *ctx, int result)
{
	struct pairing *p = ctx;

	p->done(p->ctx, result, pairing_answer(p->name, result));
	free(p);
}

static int pair_with(struct call *a)
{
	struct pairing *p = malloc(sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->done = a->done;
	p->ctx = a->ctx;
	safe(a->name, p->name);
	r = network_pair(a->config->network, a->name, a->rest, pairing_done, p,
	    a->ret_serial);
	if (!r)
		return CONTROL_LATER;
	if (r != -ENOENT)
		a->answer = pairing_answer(p->name, r);
	free(p);
	return r;
}

static int run_pair(struct call *a)
{
	char code[WORDS_CODE_MAX], own[WHY_QUOTED_MAX];
	int r;

	if (a->name)
		return a->rest ? pair_with(a) : -EINVAL;
	r = network_pair_begin(a->config->network, code);
	if (r)
		return r;
	why_quote(a->config->name, own);
	answer(a,
	    "%s\nOn the other machine, within 10 minutes, type this code "
	    "behind: gtfs pair %s\n",
	    code, own);
	explicit_bzero(code, sizeof(code));
	return 0;
}

static int run_stop(struct call *a)
{
	a->config->stop(a->config->ctx);
	return 0;
}

/* --- lines -----------------------------------------------------------------
 */

enum takes { TAKES_NOTHING, TAKES_NAME, TAKES_EITHER };

static const struct command {
	const char *word;
	enum takes takes;
	bool rest; /* may be behind the name */
	int (*run)(struct call *a);
	const char *done; /* the answer, behind the name if there is one */
} commands[] = {
	{ "accept", TAKES_NAME, true, run_accept, "may send to this machine" },
	{ "refuse", TAKES_NAME, false, run_refuse, "is refused from now on" },
	{ "forget", TAKES_NAME, false, run_forget, "is forgotten" },
	{ "verify", TAKES_NAME, true, run_verify, "" },
	{ "pair", TAKES_EITHER, true, run_pair, "" },
	{ "stop", TAKES_NOTHING, false, run_stop, "stopping" },
};

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].word, word))
			return &commands[i];
	return NULL;
}

/* A name as it stands in .gtfs/peers may have escapes; a folder has none. */
static int run(const struct command *command, struct call *a)
{
	int r = command->run(a);

	if (r == -ENOENT && a->name && strchr(a->name, '\\')) {
		records_unescape(a->name);
		r = command->run(a);
	}
	return r;
}

static void answer_plainly(struct call *a, const struct command *command, int r)
{
	char text[SAFE_MAX];

	safe(a->name ? a->name : command->word, text);
	if (!r && !a->name)
		answer(a, "%s\n", command->done);
	else if (!r)
		answer(a, "%s %s\n", text, command->done);
	else if (r == -ENOENT)
		answer(a, "no peer is called '%s'; 'gtfs peers' lists them\n",
		    text);
	else if (r == -ESTALE)
		answer(a,
		    "the machine that was shown as %s is called otherwise by "
		    "now; 'gtfs peers' and 'gtfs requests' list all\n",
		    text);
	else
		answer(a, "%s: %s\n", text, strerror(-r));
}

/* Cuts the line at its first blank and at its tab. NULL: it is no command. */
static const struct command *split(char *line, struct call *a)
{
	const struct command *command;
	char *name = line + strcspn(line, " \t"), *rest;

	if (*name)
		*name++ = '\0';
	rest = strchr(name, '\t');
	if (rest)
		*rest++ = '\0';
	command = find_command(line);
	if (!command || (rest && !command->rest))
		return NULL;
	if (command->takes == TAKES_NAME && !*name)
		return NULL;
	if ((command->takes == TAKES_NOTHING && *name) || (rest && !*name))
		return NULL;
	a->name = *name ? name : NULL;
	a->rest = rest;
	return command;
}

int control_run(const struct ctl_config *c, const char *line, size_t len,
    control_done *done, void *ctx, uint64_t *ret_serial, char **ret_answer)
{
	static const char usage[] =
	    "the commands are: accept NAME, refuse NAME, forget NAME, verify "
	    "NAME, pair [NAME], stop (gtfs(1) has more)\n";
	struct call a = {
		.config = c, .done = done, .ctx = ctx, .ret_serial = ret_serial
	};
	const struct command *command = NULL;
	char text[LINE_MAX_BYTES];
	int r = -EINVAL;

	if (len && line[len - 1] == '\n')
		len--;
	if (len < sizeof(text) && !memchr(line, '\0', len) &&
	    !memchr(line, '\n', len)) {
		memcpy(text, line, len);
		text[len] = '\0';
		command = split(text, &a);
	}
	if (!command) {
		*ret_answer = strdup(usage);
		return -EINVAL;
	}
	r = run(command, &a);
	if (r != CONTROL_LATER && !a.answer)
		answer_plainly(&a, command, r);
	if (r != CONTROL_LATER)
		*ret_answer = a.answer;
	explicit_bzero(text, len); /* a code may be in it */
	return r;
}

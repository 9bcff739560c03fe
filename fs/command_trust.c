/*
 * What the mount knows comes through its files; what a person knows (do the
 * words match? what is the code?) from the terminal, or from standard input
 * where that is none. A code is never an argument: those are everybody's to
 * read.
 */
#include "command_trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command_internal.h"
#include "complain.h"
#include "gather.h"
#include "json.h"
#include "show.h"
#include "why.h"
#include "words.h"

#define TYPED_MAX 256

int command_requests(struct request *q)
{
	struct records requests;
	int r = gather_requests(&q->mount, &requests);

	if (r)
		return command_complain_errno(q, "requests", r);
	if (q->json) {
		json_records(stdout, &requests, requests_columns);
		putchar('\n');
	} else {
		r = show_requests(stdout, &requests);
	}
	records_fini(&requests);
	return r ? command_complain_errno(q, "requests", r)
		 : command_printed(q);
}

int command_why(struct request *q)
{
	struct records why;
	int r;

	if (q->name && !command_name_ok(q))
		return 1;
	r = gather_why(&q->mount, q->name, &why);
	if (r == -ENOENT && q->name)
		return command_complain_told(q, NULL, r);
	if (r)
		return command_complain_errno(q, "why", r);
	if (q->json) {
		json_records(stdout, &why, why_columns);
		putchar('\n');
	} else {
		r = show_why(stdout, &why);
	}
	records_fini(&why);
	return r ? command_complain_errno(q, "why", r) : command_printed(q);
}

int command_accept(struct request *q)
{
	char rest[TYPED_MAX];

	if (!command_name_ok(q))
		return 1;
	if (!q->quota)
		return command_tell_print(q, NULL);
	if (strlen(q->quota) > 64 || strpbrk(q->quota, "\t\n")) {
		complain("accept: --quota: '%s' is no SIZE[,FILES]; for "
			 "example 20G, or 500M,1000",
		    q->quota);
		return 1;
	}
	snprintf(rest, sizeof(rest), "--quota %s", q->quota);
	return command_tell_print(q, rest);
}

/* --- words -----------------------------------------------------------------
 */

/* One line of a person's, without its end. 0, or -ENODATA: there is none. */
static int read_line(char *ret, size_t cap)
{
	size_t len;

	if (!fgets(ret, (int)cap, stdin))
		return -ENODATA;
	len = strlen(ret);
	while (len && (ret[len - 1] == '\n' || ret[len - 1] == '\r'))
		ret[--len] = '\0';
	return 0;
}

static int ask_person(struct request *q)
{
	char typed[TYPED_MAX], quoted[WHY_QUOTED_MAX];

	fputs("Do both screens show the same words? [y/N] ", stdout);
	fflush(stdout);
	if (!read_line(typed, sizeof(typed)) &&
	    (typed[0] == 'y' || typed[0] == 'Y'))
		return command_tell_print(q, "yes");
	why_quote(q->name, quoted);
	complain("verify: %s stays unverified; if the words differ, somebody "
		 "is in between: 'gtfs refuse %s' keeps it out",
	    q->name, quoted);
	return 1;
}

int command_verify(struct request *q)
{
	struct records said = { 0 };
	const char *verified;
	bool known, pinned;
	char *answer;
	int r;

	if (!command_name_ok(q))
		return 1;
	r = command_tell(q, NULL, &answer);
	if (r || !answer) {
		r = command_complain_told(q, answer, r ? r : -EIO);
		free(answer);
		return r;
	}
	r = records_parse_pairs(answer, &said);
	if (r)
		return command_complain_errno(q, "control", r);
	verified = records_value(&said, "verified");
	known = verified && !strcmp(verified, "yes");
	pinned = verified && strcmp(verified, "-") != 0;
	show_self(stdout, &said);
	records_fini(&said);
	r = command_printed(q);
	if (r || known)
		return r;
	if (q->yes)
		return command_tell_print(q, "yes");
	/* The words of a question are marked once that is answered. */
	return pinned && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)
		   ? ask_person(q)
		   : 0;
}

/* --- codes -----------------------------------------------------------------
 */

/* What the person types, as words_code() writes it. 0, or an exit status. */
static int read_code(const struct request *q, char ret_code[WORDS_CODE_MAX])
{
	char typed[TYPED_MAX];
	int r;

	if (isatty(STDIN_FILENO)) {
		fprintf(
		    stderr, "The code that 'gtfs pair' shows on %s: ", q->name);
		fflush(stderr);
	}
	if (read_line(typed, sizeof(typed))) {
		complain("pair: no code was typed; run 'gtfs pair' on %s, it "
			 "shows one",
		    q->name);
		return 1;
	}
	r = words_code_normalise(typed, ret_code);
	if (r && words_code_unknown(typed))
		complain("pair: word %d of the code is not one of the list: "
			 "look again; this was no guess",
		    words_code_unknown(typed));
	else if (r)
		complain("pair: a code is a digit and two words, as in "
			 "7-word-word; this was no guess");
	explicit_bzero(typed, sizeof(typed));
	return r ? 1 : 0;
}

int command_pair(struct request *q)
{
	char code[WORDS_CODE_MAX];
	int r;

	if (!q->name)
		return command_tell_print(q, NULL);
	if (!command_name_ok(q))
		return 1;
	setvbuf(stdin, NULL, _IONBF, 0); /* no copy of the code stays */
	r = read_code(q, code);
	if (!r)
		r = command_tell_print(q, code);
	explicit_bzero(code, sizeof(code));
	return r;
}

/* Tests fs/why.h: for every state of a peer, a sentence that helps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "why.h"
#include "words.h"

#define NOW 1000000

static struct peer_info peers[2];
static struct why why;
static struct why_here here;
static char *text;

/* laptop: online, accepts us, is a stranger; the other one is elsewhere. */
static int setup(void **state)
{
	static const char *const names[] = { "laptop", "laptop (2)" };

	memset(peers, 0, sizeof(peers));
	for (int i = 0; i < 2; i++) {
		peers[i].serial = (uint64_t)i + 1;
		peers[i].key[0] = (uint8_t)(i + 1);
		strcpy(peers[i].name, names[i]);
		strcpy(peers[i].heard_name, i ? "other" : "laptop");
		strcpy(peers[i].fingerprint, i ? "ijkl-mnop" : "abcd-efgh");
		peers[i].state = PEER_ONLINE;
		peers[i].policy = WIRE_POLICY_ACCEPT;
		peers[i].seen_ms = NOW - 1000;
	}
	why = (struct why){ .all = peers,
		.n = 2,
		.own_name = "desk",
		.own_fingerprint = "qrst-uvwx",
		.strangers = TRUST_ASKED,
		.now = NOW };
	here = (struct why_here){ .asks = false };
	text = NULL;
	return 0;
}

static int teardown(void **state)
{
	free(text);
	return 0;
}

static void ask(bool asks_here)
{
	free(text);
	here.asks = asks_here;
	assert_int_equal(why_text(&why, &peers[0], &here, &text), 0);
	assert_true(text[0] && text[strlen(text) - 1] == '\n');
}

static void assert_says(const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

static void assert_silent(const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' is in: %s", part, text);
}

#define WORD(want) assert_string_equal(why_word(&peers[0], NOW), want)

static void accepted_and_online(void **state)
{
	peers[0].pinned = true;
	ask(false);
	WORD("online");
	assert_string_equal(text,
	    "laptop: online, and takes what is copied to it.\n"
	    "Its files are let in here.\n");
	peers[0].policy = 0;
	ask(false);
	WORD("online");
	assert_says("has not said yet");
}

static void its_owner_will_be_asked(void **state)
{
	peers[0].policy = WIRE_POLICY_ASK;
	ask(false);
	WORD("asks");
	assert_says("its owner will be asked");
}

static void its_owner_is_being_asked(void **state)
{
	char words[WORDS_COMPARE_MAX];

	peers[0].policy = WIRE_POLICY_ASK;
	peers[0].asking = true;
	ask(false);
	WORD("asking");
	assert_silent("words");
	peers[0].has_words = true;
	memset(peers[0].words, 0x5a, sizeof(peers[0].words));
	words_compare(peers[0].words, words);
	ask(false);
	assert_says(words);
	assert_says("on laptop, 'gtfs requests'");
	assert_says("'gtfs accept desk' says yes. Both");
	assert_says("A yes lets its files in here, too.");
	peers[0].pinned = true;
	peers[0].pin_policy = TRUST_REFUSE;
	ask(false);
	assert_says("refused here");
}

static void it_does_not_let_us_in(void **state)
{
	peers[0].policy = WIRE_POLICY_REFUSE;
	ask(false);
	WORD("refused");
	/* We may be desk (2) there: only the fingerprint is ours alone. */
	assert_says("On laptop, 'gtfs accept desk' lets this machine in");
	assert_says("'gtfs peers' lists it with the fingerprint qrst-uvwx.");
}

static void its_key_has_changed(void **state)
{
	peers[0].key_rejected = true;
	peers[0].state = PEER_OFFLINE;
	peers[0].pinned = true;
	ask(false);
	WORD("key-rejected");
	assert_says("'gtfs forget laptop'");
	assert_silent("folder"); /* nobody is there now */
	/* The one that did it, and no other one of that name. */
	strcpy(peers[1].heard_name, "laptop");
	ask(false);
	assert_silent("folder");
	peers[0].rejected_by = peers[1].serial;
	strcpy(peers[1].heard_name, "other");
	ask(false);
	assert_says(
	    "has the folder 'laptop (2)', and the fingerprint ijkl-mnop");
	assert_says("'gtfs forget laptop' and then 'gtfs accept 'laptop (2)''");
}

static void it_is_offline(void **state)
{
	peers[0].state = PEER_OFFLINE;
	peers[0].seen_ms = NOW - 600000;
	ask(false);
	WORD("offline");
	assert_says("not heard of for 10 min");
	peers[0].seen_ms = 0;
	ask(false);
	assert_says("not heard of since gtfs was started here");
}

static void it_is_stalled(void **state)
{
	peers[0].seen_ms = NOW - 30000;
	ask(false);
	WORD("stalled");
	assert_says("silent for 30 s");
}

static void what_becomes_of_its_files(void **state)
{
	ask(false);
	assert_says("You will be asked before its first file");
	ask(true);
	assert_says("It asks to be let in here");
	assert_says("'gtfs accept laptop'");
	assert_silent("You will be asked");
	here.quiet = true; /* its owner has just declined */
	ask(false);
	assert_says("it cannot ask for a while");
	assert_says("'gtfs accept laptop' lets them in now");
	assert_silent("You will be asked");
	why.strangers = TRUST_KNOWN;
	ask(false);
	assert_says("'gtfs accept laptop' lets them in");
	why.strangers = TRUST_LAN;
	ask(false);
	assert_says("--accept lan");
	peers[0].pinned = true;
	peers[0].pin_policy = TRUST_REFUSE;
	ask(false);
	assert_says("refused here; 'gtfs accept laptop'");
	peers[0].damaged = true;
	ask(false);
	assert_says("damaged, and its files are refused: if the fingerprint "
		    "abcd-efgh is");
	assert_says("'gtfs accept laptop' lets them in; otherwise type 'gtfs "
		    "forget laptop'.");
	peers[0].damaged = false;
	peers[0].pin_policy = TRUST_ASK; /* as a stranger */
	ask(false);
	assert_says("--accept lan");
	here.quiet = false;
	why.strangers = TRUST_ASKED;
	ask(false);
	assert_says("You will be asked");
}

/* A limit that people meet has a figure, and a way to change it. */
static void how_much_it_may_have(void **state)
{
	struct usage_share share = { .bytes = 1200000,
		.files = 7,
		.may = { 20000000000, 1000 },
		.floor = 1000000000 };

	here.share = &share;
	ask(false);
	assert_silent("inbox"); /* no stranger has anything there */
	peers[0].pinned = true;
	ask(false);
	assert_says("It has 1.2 MB of 20 GB and 7 of 1000 files in the inbox; "
		    "'gtfs accept laptop --quota SIZE'");
	assert_silent("full");
	share.disk_full = true;
	share.files = 0;
	ask(false);
	assert_silent("in the inbox");
	assert_says("This disk is full, except for 1.0 GB");
}

static void no_more_are_let_in(void **state)
{
	why.strangers = TRUST_LAN;
	peers[0].here = WIRE_POLICY_REFUSE;
	ask(false);
	assert_says("refused here: 1024 machines have been let in");
	assert_says("'gtfs accept laptop'");
	peers[0].here = WIRE_POLICY_ACCEPT;
	ask(false);
	assert_says("from the first one on");
}

static void its_disk_is_full(void **state)
{
	peers[0].space = (struct sink_space){ .total_bytes = 1000 };
	ask(false);
	assert_says("laptop: online, but its disk is full");
	peers[0].space.free_bytes = 1;
	ask(false);
	assert_says("takes what is copied");
}

static void whether_it_is_verified(void **state)
{
	peers[0].pinned = true;
	ask(false);
	assert_silent("verified");
	peers[0].has_words = true;
	ask(false);
	assert_says("not verified: 'gtfs verify laptop'");
	peers[0].verified = true;
	ask(false);
	assert_says("Its key is verified.");
	peers[0].pinned = false; /* of a pin that is gone */
	ask(false);
	assert_silent("verified");
}

/* People paste what is in quotes, and terminals obey what is in names. */
static void names_are_harmless(void **state)
{
	static const char *const pairs[][2] = {
		{ "laptop", "laptop" },
		{ "a.b-c_d", "a.b-c_d" },
		{ "lap top", "'lap top'" },
		{ "", "''" },
		{ "x;reboot", "'x;reboot'" },
		{ "$(reboot)", "'$(reboot)'" },
		{ "it's", "'it'\"'\"'s'" },
		{ "\x1b[31m", "'\\x1b[31m'" },
		{ "a\nb", "'a\\nb'" },
	};
	char quoted[WHY_QUOTED_MAX], longest[WIRE_PEER_NAME_MAX + 1] = "";

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		why_quote(pairs[i][0], quoted);
		assert_string_equal(quoted, pairs[i][1]);
	}
	memset(longest, '\'', WIRE_PEER_NAME_MAX);
	why_quote(longest, quoted);
	assert_int_equal(strlen(quoted), 5 * WIRE_PEER_NAME_MAX + 2);
	memset(longest, '\x1b', WIRE_PEER_NAME_MAX);
	why_quote(longest, quoted);
	assert_int_equal(strlen(quoted), 4 * WIRE_PEER_NAME_MAX + 2);
	strcpy(peers[0].name, "\x1b[2J$(x)");
	ask(true);
	assert_silent("\x1b");
	assert_says("gtfs accept '\\x1b[2J$(x)'");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(accepted_and_online),
		TEST(its_owner_will_be_asked),
		TEST(its_owner_is_being_asked),
		TEST(it_does_not_let_us_in),
		TEST(its_key_has_changed),
		TEST(it_is_offline),
		TEST(it_is_stalled),
		TEST(what_becomes_of_its_files),
		TEST(how_much_it_may_have),
		TEST(no_more_are_let_in),
		TEST(its_disk_is_full),
		TEST(whether_it_is_verified),
		TEST(names_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

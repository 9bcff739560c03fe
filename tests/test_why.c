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
		.strangers = TRUST_ASKED,
		.now = NOW };
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
	assert_int_equal(why_text(&why, &peers[0], asks_here, &text), 0);
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
	assert_says("'gtfs requests'");
	assert_says("accept the one with these words. Both");
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
	assert_says("'gtfs accept desk'");
	assert_says("'gtfs pair' there and 'gtfs pair laptop' here");
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
	assert_says("has the folder 'laptop (2)', fingerprint ijkl-mnop");
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
	peers[0].pin_policy = TRUST_ASK;
	ask(false);
	assert_says("You will be asked");
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
		{ "-rf", "'-rf'" },
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
		TEST(whether_it_is_verified),
		TEST(names_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

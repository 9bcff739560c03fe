/*
 * Tests net/peers.h: two machines that ask each other at once show, and keep,
 * the words of one connection: that of the lesser key.
 */
#include "ask_fixture.h"
#include "consent.h"

enum { ROUNDS_MAX = 120 }; /* keys are random: both orders come */

/* Its question is open here as well, with these words. */
static uint64_t put_theirs(
    struct play *p, struct consent *c, int fd, uint8_t ret_words[32])
{
	struct consent_question q = { .name = "laptop", .file = "theirs" };
	uint64_t serial;

	memcpy(q.key, p->me.id.public, sizeof(q.key));
	memset(q.words, 9, sizeof(q.words));
	memcpy(ret_words, q.words, sizeof(q.words));
	assert_int_equal(address_parse("10.0.0.7:1", 0, &q.address), 0);
	assert_int_equal(consent_ask(c, &q, fd, &serial), 0);
	return serial;
}

static void shown(struct play *p, struct consent *c, const uint8_t *words)
{
	struct consent_question q;
	struct peer_info *all;

	assert_int_equal(consent_find(c, "laptop", &q), 0);
	assert_memory_equal(q.words, words, sizeof(q.words));
	assert_memory_equal(
	    world_info(&p->w, "laptop").words, words, sizeof(q.words));
	assert_int_equal(peers_snapshot(p->w.peers, &all), 1);
	assert_memory_equal(all[0].words, words, sizeof(q.words));
	free(all);
}

enum owner { SAYS_NOTHING, SAYS_YES_BEFORE, SAYS_YES_AFTER, OWNERS };

/* Our owner says yes to the question, as network_decide does. */
static void accept_theirs(struct play *p, struct consent *c)
{
	struct trust_decision d = { .policy = TRUST_ACCEPT };
	struct consent_question q;

	assert_int_equal(consent_find(c, "laptop", &q), 0);
	d.words = q.words;
	d.since_ms = q.asked_ms;
	assert_int_equal(peers_pin(p->w.peers, q.key, q.name, &d, NULL), 0);
	assert_int_equal(consent_settle(c, q.serial, true), 0);
}

/* first: the question of the other side comes before ours. Returns whether the
 * words were ours. */
static bool cross(bool first, enum owner owner)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct wire_msg answer = { .type = WIRE_ANSWER };
	uint8_t theirs[32];
	const uint8_t *words;
	struct outgoing *o;
	struct told write;
	struct play p;
	size_t taken;
	bool ours;

	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	p.w.peers->config.consent = c;
	consent_crosses(c, peers_crossing, p.w.peers);
	ours = memcmp(p.w.me.id.public, p.me.id.public, 32) < 0;
	if (first)
		put_theirs(&p, c, fd, theirs);
	o = new_file(&p, "a file");
	told_init(&write);
	assert_int_equal(
	    outgoing_write(o, "x", 1, 0, &write.w, &taken), OUTGOING_PARKED);
	expect(p.c, WIRE_ASK);
	if (!first)
		put_theirs(&p, c, fd, theirs);
	words = ours ? conn_words(p.c) : theirs;
	shown(&p, c, words);

	/* Its owner says yes: that is what is kept, whatever ours does. */
	if (owner == SAYS_YES_BEFORE)
		accept_theirs(&p, c);
	answer.answer.code = WIRE_OK;
	send_msg(p.c, &answer);
	expect(p.c, WIRE_OFFER);
	if (owner == SAYS_YES_AFTER)
		accept_theirs(&p, c);
	assert_true(world_info(&p.w, "laptop").pinned);
	assert_memory_equal(world_info(&p.w, "laptop").words, words, 32);
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	told_fini(&write);
	play_close(&p);
	consent_free(c);
	close(fd);
	return ours;
}

static void both_orders_agree(void **state)
{
	bool seen[OWNERS][2][2] = { 0 };

	(void)state;
	for (unsigned i = 0; i < ROUNDS_MAX; i++)
		seen[i / 2 % OWNERS][i % 2][cross(i % 2, i / 2 % OWNERS)] =
		    true;
	for (unsigned i = 0; i < OWNERS * 4; i++)
		assert_true(seen[i / 4][i / 2 % 2][i % 2]);
}

/* Nobody asks here but the other side, or not any more. */
static void one_question_has_its_own_words(void **state)
{
	struct consent *c = consent_new(CONSENT_TIMEOUT_MS, NULL, NULL);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct consent_question q;
	uint8_t theirs[32];
	struct play p;

	(void)state;
	play_open(&p, WIRE_POLICY_ASK, 60 * 1000);
	p.w.peers->config.consent = c;
	consent_crosses(c, peers_crossing, p.w.peers);
	consent_withdraw(c, put_theirs(&p, c, fd, theirs));
	put_theirs(&p, c, fd, theirs);
	assert_int_equal(consent_find(c, "laptop", &q), 0);
	assert_memory_equal(q.words, theirs, sizeof(theirs));
	assert_false(world_info(&p.w, "laptop").has_words);
	play_close(&p);
	consent_free(c);
	close(fd);
}

/* Both have asked, and our owner was quicker: those words are the pair's. */
static void two_who_ask_each_other_keep_the_same_words(void **state)
{
	const uint8_t words[TRUST_WORDS_BYTES] = { 7 };
	const struct trust_decision accepted = { .policy = TRUST_ACCEPT,
		.words = words };
	struct trust_pin pin;
	struct waits f;
	struct play p;

	play_open(&p, WIRE_POLICY_ASK, PATIENCE_MS);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	assert_int_equal(
	    trust_decide(p.w.trust, p.me.id.public, "laptop", &accepted, NULL),
	    0);
	peers_pinned(p.w.peers, p.me.id.public);
	answer_ask(p.c, WIRE_OK);
	arrives(&f, p.c);
	assert_memory_equal(
	    world_info(&p.w, "laptop").words, words, sizeof(words));
	waits_fini(&f);

	/* It has forgotten us since: the new question's words count. */
	assert_int_equal(trust_find(p.w.trust, p.me.id.public, &pin), 0);
	EVENTUALLY(now_ms() > pin.words_ms);
	play_says(&p, WIRE_POLICY_ASK);
	waits_init(&f, &p, "a file");
	expect_ask(&p, "a file");
	answer_ask(p.c, WIRE_OK);
	arrives(&f, p.c);
	assert_memory_equal(
	    world_info(&p.w, "laptop").words, conn_words(p.c), sizeof(words));
	waits_fini(&f);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_who_ask_each_other_keep_the_same_words),
		cmocka_unit_test(both_orders_agree),
		cmocka_unit_test(one_question_has_its_own_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

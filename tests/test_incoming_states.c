/*
 * Tests net/incoming.h: which messages each state of a connection allows, in
 * which order, of whom; directories and late metadata.
 */
#include "incoming_fixture.h"

/* --- what this state does not allow
 * --------------------------------------------
 */

enum { IDLE, OPEN, FAILED, DONE, STATES };

/* Is this message an end of the connection in that state? */
static bool forbidden(unsigned at, enum wire_type type)
{
	switch (type) {
	case WIRE_PING:
	case WIRE_BYE: return false;
	case WIRE_OFFER:
	case WIRE_MKDIR:
	case WIRE_PATCH: return at == OPEN;
	case WIRE_ABORT: return at == IDLE; /* another tag than 0 */
	case WIRE_WRITE:
	case WIRE_TRUNCATE:
	case WIRE_RESERVE:
	case WIRE_META:
	case WIRE_CHECKPOINT:
	case WIRE_COMMIT: return at == IDLE || at == DONE;
	default: return true; /* what only receivers say */
	}
}

static struct wire_msg message(enum wire_type type, uint64_t seq)
{
	struct wire_msg m = { .type = type };

	switch (type) {
	case WIRE_PING: m.ping.cookie = 1; break;
	case WIRE_PONG: m.pong.policy = WIRE_POLICY_ACCEPT; break;
	case WIRE_OFFER:
		m.offer.id[0] = 1;
		strcpy(m.offer.name, "x");
		break;
	case WIRE_ACCEPT: m.accept.max_write = 1; break;
	case WIRE_REFUSE: m.refuse.code = WIRE_EIO; break;
	case WIRE_WRITE:
		m.write.bytes = (const uint8_t *)"x";
		m.write.len = 1;
		m.write.seq = seq;
		break;
	case WIRE_TRUNCATE: m.truncate.seq = seq; break;
	case WIRE_RESERVE:
		m.reserve.seq = seq;
		m.reserve.len = 1;
		break;
	case WIRE_META: m.meta.seq = seq; break;
	case WIRE_ACK: m.ack.state = WIRE_APPLIED; break;
	case WIRE_ABORT: return abort_of(7);
	case WIRE_MKDIR:
		m.mkdir.id[0] = 1;
		strcpy(m.mkdir.name, "x");
		break;
	case WIRE_PATCH: m.patch.id[0] = 1; break;
	default: m.commit.seq = seq; break;
	}
	return m;
}

/* A connection in that state, the transfer's tag 7. */
static void bring_to(struct server *s, struct sending *t, unsigned at)
{
	server_open(s, TRUST_LAN);
	s->sink.fail_at = at == FAILED ? 2 : 0;
	s->sink.fail_with = -EIO;
	server_start(s);
	memset(t, 0, sizeof(*t));
	if (at == IDLE)
		return;
	begin(t, s->pair.a, 7);
	expect(s->pair.a, WIRE_ACCEPT);
	put_write(t, "x", 0);
	if (at == DONE)
		put_seal(t, WIRE_COMMIT);
	ack(t, at == DONE ? WIRE_PUBLISHED : WIRE_APPLIED);
}

static void only_what_the_state_allows(void **state)
{
	static const enum wire_type types[] = { WIRE_PING, WIRE_PONG, WIRE_BYE,
		WIRE_OFFER, WIRE_ACCEPT, WIRE_REFUSE, WIRE_WRITE, WIRE_TRUNCATE,
		WIRE_RESERVE, WIRE_META, WIRE_CHECKPOINT, WIRE_COMMIT, WIRE_ACK,
		WIRE_ABORT, WIRE_MKDIR, WIRE_PATCH, WIRE_RESULT };
	struct server s;
	struct sending t;

	for (unsigned at = 0; at < STATES; at++)
		for (unsigned i = 0; i < N_OF(types); i++) {
			struct wire_msg m;

			bring_to(&s, &t, at);
			m = message(types[i], t.seq + 1);
			send_msg(s.pair.a, &m);
			if (server_end(&s) !=
			    (forbidden(at, types[i]) ? -EPROTO : CONN_EOF))
				fail_msg("%s in state %u: %d",
				    wire_type_name(types[i]), at, s.result);
			assert_int_equal(s.sink.aborted,
			    (at == OPEN || at == FAILED) +
				(at != OPEN && types[i] == WIRE_OFFER));
			assert_int_equal(s.sink.published != NULL, at == DONE);
			end(&t);
			server_close(&s);
		}
}

static void operations_keep_their_order(void **state)
{
	static const int wrong[] = { -1, 0, 2, 1000 };
	struct server s;
	struct sending t;

	for (unsigned i = 0; i < N_OF(wrong); i++) {
		struct wire_msg m;

		bring_to(&s, &t, OPEN);
		m = message(WIRE_TRUNCATE, t.seq + (uint64_t)(int64_t)wrong[i]);
		send_msg(s.pair.a, &m);
		assert_int_equal(server_end(&s), -EPROTO);
		assert_int_equal(s.sink.aborted, 1);
		end(&t);
		server_close(&s);
	}
	bring_to(&s, &t, OPEN);
	{
		struct wire_msg m = abort_of(8); /* another transfer's tag */

		send_msg(s.pair.a, &m);
	}
	assert_int_equal(server_end(&s), -EPROTO);
	end(&t);
	server_close(&s);
}

/* --- whom we let in
 * ----------------------------------------------------------- */

static void strangers_get_what_the_policy_says(void **state)
{
	static const struct {
		enum trust_default strangers;
		int pinned;
		bool in;
	} cases[] = { { TRUST_KNOWN, -1, false }, { TRUST_LAN, -1, true },
		{ TRUST_KNOWN, TRUST_ACCEPT, true },
		{ TRUST_KNOWN, TRUST_ASK, false },
		{ TRUST_LAN, TRUST_ASK, true },
		{ TRUST_LAN, TRUST_REFUSE, false } };
	struct server s;
	struct sending t;

	for (unsigned i = 0; i < N_OF(cases); i++) {
		struct trust_pin pin;
		struct wire_msg m;

		server_open(&s, cases[i].strangers);
		if (cases[i].pinned >= 0)
			assert_int_equal(
			    trust_pin(s.w.trust, s.sender.id.public, "mine",
				(enum trust_policy)cases[i].pinned, NULL),
			    0);
		server_start(&s);
		m = expect(s.pair.a, WIRE_PONG);
		assert_int_equal(m.pong.policy,
		    cases[i].in ? WIRE_POLICY_ACCEPT : WIRE_POLICY_REFUSE);
		begin(&t, s.pair.a, 5);
		m = expect(s.pair.a, cases[i].in ? WIRE_ACCEPT : WIRE_REFUSE);
		if (!cases[i].in) {
			assert_int_equal(m.refuse.code, WIRE_EACCES);
			put_everything(&t); /* was in flight: dropped */
		}
		m = message(WIRE_PING, 0);
		send_msg(s.pair.a, &m);
		expect(s.pair.a, WIRE_PONG);
		assert_int_equal(s.sink.calls, cases[i].in);
		if (cases[i].in) {
			assert_int_equal(
			    trust_find(s.w.trust, s.sender.id.public, &pin), 0);
			assert_int_equal(pin.policy, TRUST_ACCEPT);
			assert_string_equal(s.sink.peer,
			    cases[i].pinned >= 0 ? "mine" : "laptop");
		}
		end(&t);
		assert_int_equal(server_end(&s), CONN_EOF);
		server_close(&s);
	}
}

/* --- directories and late metadata
 * ----------------------------------------------
 */

static int request(struct server *s, struct wire_msg *m, uint64_t req)
{
	struct wire_msg answer;

	if (m->type == WIRE_MKDIR)
		m->mkdir.req = req;
	else
		m->patch.req = req;
	send_msg(s->pair.a, m);
	answer = expect(s->pair.a, WIRE_RESULT);
	assert_int_equal(answer.result.req, req);
	return wire_code_to_errno(answer.result.code);
}

static void directories_and_patches_are_answered(void **state)
{
	struct server *s = *state;
	struct wire_msg dir = message(WIRE_MKDIR, 0);
	struct wire_msg patch = message(WIRE_PATCH, 0);
	struct wire_msg m;

	assert_int_equal(request(s, &dir, 1), 0);
	patch.patch.meta.mask = WIRE_META_MODE;
	patch.patch.meta.mode = 0700;
	assert_int_equal(request(s, &patch, 2), 0);
	assert_int_equal(s->sink.dirs, 1);
	assert_string_equal(s->sink.dir.name, "x");
	assert_int_equal(s->sink.patches, 1);
	assert_int_equal(s->sink.meta.mode, 0700);
	s->sink.fail_at = 3;
	s->sink.fail_with = -ENOTDIR;
	assert_int_equal(request(s, &dir, 3), -ENOTDIR);
	s->sink.fail_at = 4;
	s->sink.fail_with = -ESTALE;
	assert_int_equal(request(s, &patch, UINT64_MAX), -ESTALE);
	/* Not of strangers who are not let in. */
	assert_int_equal(
	    trust_pin(s->w.trust, s->sender.id.public, "x", TRUST_REFUSE, NULL),
	    0);
	assert_int_equal(request(s, &dir, 5), -EACCES);
	assert_int_equal(request(s, &patch, 6), -EACCES);
	assert_int_equal(s->sink.calls, 4);
	m = message(WIRE_PING, 0);
	m.ping.cookie = 1234;
	send_msg(s->pair.a, &m);
	m = expect(s->pair.a, WIRE_PONG);
	if (m.pong.cookie == 0) /* that of the beginning */
		m = expect(s->pair.a, WIRE_PONG);
	assert_int_equal(m.pong.cookie, 1234);
	assert_int_equal(m.pong.policy, WIRE_POLICY_REFUSE);
	assert_int_equal(server_end(s), CONN_EOF);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_the_state_allows),
		cmocka_unit_test(operations_keep_their_order),
		cmocka_unit_test(strangers_get_what_the_policy_says),
		TEST(directories_and_patches_are_answered),
	};

	/* A COMMIT that does not match is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests net/incoming.h: which messages each state of a connection allows, in
 * which order, of whom.
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
	case WIRE_ASK: /* it is accepted already */
	case WIRE_BYE: return false;
	case WIRE_OFFER: return at == OPEN;
	case WIRE_MKDIR:
	case WIRE_PATCH:
	case WIRE_SYMLINK:
	case WIRE_SETXATTR:
	case WIRE_RENAME:
	case WIRE_SHOW:
	case WIRE_WITHDRAW: return false;
	case WIRE_ABORT: return at == IDLE; /* another tag than 0 */
	case WIRE_WRITE:
	case WIRE_TRUNCATE:
	case WIRE_RESERVE:
	case WIRE_META:
	case WIRE_XATTR:
	case WIRE_MOVE:
	case WIRE_READ:
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
	case WIRE_ASK: strcpy(m.ask.name, "x"); break;
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
	case WIRE_XATTR:
		m.xattr.seq = seq;
		strcpy(m.xattr.xattr.name, "user.x");
		break;
	case WIRE_MOVE:
		m.move.seq = seq;
		strcpy(m.move.name, "x");
		break;
	case WIRE_READ: m.read.len = 1; break;
	case WIRE_DATA:
	case WIRE_RESULT: break;
	case WIRE_MKDIR: return request_of(0, 1, 1);
	case WIRE_PATCH: return request_of(1, 1, 1);
	case WIRE_SYMLINK: return request_of(2, 1, 1);
	case WIRE_SETXATTR: return request_of(3, 1, 1);
	case WIRE_RENAME: return request_of(4, 1, 1);
	case WIRE_SHOW: return request_of(5, 1, 1);
	case WIRE_WITHDRAW: return request_of(6, 1, 1);
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
		WIRE_ABORT, WIRE_XATTR, WIRE_MOVE, WIRE_READ, WIRE_DATA,
		WIRE_MKDIR, WIRE_PATCH, WIRE_RESULT, WIRE_SYMLINK,
		WIRE_SETXATTR, WIRE_RENAME, WIRE_SHOW, WIRE_WITHDRAW };
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
	static const enum wire_type types[] = { WIRE_WRITE, WIRE_TRUNCATE,
		WIRE_RESERVE, WIRE_META, WIRE_XATTR, WIRE_MOVE, WIRE_CHECKPOINT,
		WIRE_COMMIT };
	static const int wrong[] = { -1, 0, 2, 1000 };
	struct server s;
	struct sending t;

	for (unsigned i = 0; i < N_OF(types) * N_OF(wrong); i++) {
		int by = wrong[i % N_OF(wrong)];
		struct wire_msg m;

		bring_to(&s, &t, OPEN);
		m = message(
		    types[i / N_OF(wrong)], t.seq + (uint64_t)(int64_t)by);
		send_msg(s.pair.a, &m);
		assert_int_equal(server_end(&s), -EPROTO);
		assert_int_equal(s.sink.aborted, 1);
		assert_int_equal(s.sink.calls, 2);
		end(&t);
		server_close(&s);
	}
}

static void an_abort_is_of_the_last_offer(void **state)
{
	struct wire_msg m = abort_of(8);
	struct server s;
	struct sending t;

	bring_to(&s, &t, OPEN);
	send_msg(s.pair.a, &m);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_the_state_allows),
		cmocka_unit_test(operations_keep_their_order),
		cmocka_unit_test(an_abort_is_of_the_last_offer),
		cmocka_unit_test(strangers_get_what_the_policy_says),
	};

	/* A COMMIT that does not match is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

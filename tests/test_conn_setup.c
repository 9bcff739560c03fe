/*
 * Tests net/conn_setup.c (conn_dial and conn_accept of net/conn.h) against
 * others that do not keep to the protocol, are too slow, or are ourselves.
 */
#include "net_fixture.h"

#include "bytes.h"
#include "handshake.h"

static struct machine alice, bob;
static struct sockaddr_storage where;
static int listen_fd;

static int setup(void **state)
{
	machine_init(&alice, "alice", 0);
	machine_init(&bob, "bob", 0);
	listen_fd = loopback_listen(&where);
	return 0;
}

static int teardown(void **state)
{
	close(listen_fd);
	return 0;
}

/* What conn_accept says to a caller that sends this and then is silent. */
static int accept_bytes(const uint8_t *bytes, size_t len, bool end, int *ret_fd)
{
	int out = loopback_connect(&where);
	int in = loopback_accept(listen_fd);
	struct conn *c = NULL;
	int r;

	assert_int_equal(send(out, bytes, len, 0), (ssize_t)len);
	if (end)
		shutdown(out, SHUT_WR);
	r = conn_accept(&bob.self, in, -1, &c);
	assert_true(r < 0);
	assert_null(c);
	/* The socket stays the caller's. */
	assert_int_equal(fcntl(in, F_GETFD), FD_CLOEXEC);
	close(in);
	if (ret_fd)
		*ret_fd = out;
	else
		close(out);
	return r;
}

static void garbage_is_not_accepted(void **state)
{
	uint8_t b[WIRE_PREAMBLE_BYTES + 2 + 4000];

	assert_int_equal(accept_bytes((const uint8_t *)"GET / HTTP/1.1\r\n\r\n",
			     18, false, NULL),
	    -EPROTO);
	fill(b, sizeof(b), 3);
	assert_int_equal(accept_bytes(b, sizeof(b), false, NULL), -EPROTO);

	/* A good preamble, then a message 1 that is none. */
	wire_preamble_encode(b);
	put_be16(b + WIRE_PREAMBLE_BYTES, 0xffff);
	assert_int_equal(accept_bytes(b, sizeof(b), false, NULL), -EBADMSG);
	put_be16(b + WIRE_PREAMBLE_BYTES, 0);
	assert_int_equal(
	    accept_bytes(b, WIRE_PREAMBLE_BYTES + 2, false, NULL), -EBADMSG);
	put_be16(b + WIRE_PREAMBLE_BYTES, 5);
	assert_int_equal(
	    accept_bytes(b, WIRE_PREAMBLE_BYTES + 7, false, NULL), -EBADMSG);
	/* Ends everywhere in it. */
	for (size_t i = 0; i < WIRE_PREAMBLE_BYTES + 7; i++)
		assert_int_equal(accept_bytes(b, i, true, NULL), -ECONNRESET);
}

static void another_major_version_is_told_ours(void **state)
{
	uint8_t b[WIRE_PREAMBLE_BYTES], ours[WIRE_PREAMBLE_BYTES];
	struct conn *c = NULL;
	struct dial d;
	int fd;

	wire_preamble_encode(b);
	b[4] = WIRE_MAJOR + 1;
	assert_int_equal(
	    accept_bytes(b, sizeof(b), false, &fd), -EPROTONOSUPPORT);
	assert_int_equal(
	    recv(fd, ours, sizeof(ours), MSG_WAITALL), sizeof(ours));
	wire_preamble_encode(b);
	assert_memory_equal(ours, b, sizeof(b));
	close(fd);

	dial_start(&d, &alice, &where);
	fd = loopback_accept(listen_fd);
	b[4] = WIRE_MAJOR + 1;
	assert_int_equal(send(fd, b, sizeof(b), 0), sizeof(b));
	assert_int_equal(dial_end(&d), -EPROTONOSUPPORT);
	assert_int_equal(d.major, WIRE_MAJOR + 1);
	close(fd);
	assert_null(c);
}

static void another_minor_version_is_not_refused(void **state)
{
	/* Its preamble is bound into the handshake, whatever it says. */
	struct machine newer;
	struct pair p;

	machine_init(&newer, "newer", 0);
	newer.self.hello.minor = WIRE_MINOR + 7;
	pair_open(&p, &newer, &bob);
	assert_int_equal(conn_remote_hello(p.b)->minor, WIRE_MINOR + 7);
	pair_close(&p);
	pair_open(&p, &bob, &newer);
	assert_int_equal(conn_remote_hello(p.a)->minor, WIRE_MINOR + 7);
	pair_close(&p);
}

static void our_own_key_is_no_peer(void **state)
{
	struct conn *c = NULL;
	struct dial d;
	int fd;

	dial_start(&d, &alice, &where);
	fd = loopback_accept(listen_fd);
	assert_int_equal(conn_accept(&alice.self, fd, -1, &c), -ELOOP);
	assert_int_equal(dial_end(&d), -ELOOP);
	assert_null(c);
	close(fd);
}

static void a_dial_ends_in_time_or_when_woken(void **state)
{
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct sockaddr_storage nobody;
	uint64_t one = 1;
	struct conn *c = NULL;
	int fd, in;

	/* The kernel connects; nobody ever answers. */
	assert_int_equal(conn_dial(&alice.self, (struct sockaddr *)&where,
			     QUIET_MS, -1, &c, NULL),
	    -ETIMEDOUT);
	close(loopback_accept(listen_fd));

	assert_int_equal(write(wake, &one, sizeof(one)), sizeof(one));
	assert_int_equal(conn_dial(&alice.self, (struct sockaddr *)&where,
			     DEADLINE_MS, wake, &c, NULL),
	    -ECANCELED);
	fd = loopback_accept(listen_fd);
	assert_int_equal(conn_accept(&bob.self, fd, wake, &c), -ECONNRESET);
	close(fd);

	fd = loopback_connect(&where);
	in = loopback_accept(listen_fd);
	assert_int_equal(conn_accept(&bob.self, in, wake, &c), -ECANCELED);
	close(in);
	close(fd);

	close(loopback_listen(&nobody));
	assert_int_equal(conn_dial(&alice.self, (struct sockaddr *)&nobody,
			     DEADLINE_MS, -1, &c, NULL),
	    -ECONNREFUSED);
	assert_null(c);
	close(wake);
}

/* Passes bytes from one socket to another, one of them changed. */
struct relay {
	int from, to;
	long flip; /* which byte; -1: none */
	pthread_t thread;
};

static void *relay_run(void *arg)
{
	struct relay *r = arg;
	uint8_t b[4096];
	long at = 0;
	ssize_t n;

	while ((n = recv(r->from, b, sizeof(b), 0)) > 0) {
		if (r->flip >= at && r->flip < at + n)
			b[r->flip - at] ^= 1;
		at += n;
		if (send(r->to, b, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	}
	shutdown(r->to, SHUT_WR);
	return NULL;
}

/* One handshake through a relay that changes a byte; true: it was noticed. */
static bool flipped(long there, long back)
{
	struct sockaddr_storage middle;
	int middle_fd = loopback_listen(&middle);
	struct relay r[2];
	struct conn *c = NULL;
	struct dial d;
	bool noticed;
	int in, out, fd, result;

	dial_start(&d, &alice, &middle);
	in = loopback_accept(middle_fd);
	fcntl(in, F_SETFL, 0);
	out = loopback_connect(&where);
	fd = loopback_accept(listen_fd);
	r[0] = (struct relay){ in, out, there, 0 };
	r[1] = (struct relay){ out, in, back, 0 };
	assert_int_equal(thread_start(&r[0].thread, "r", relay_run, &r[0]), 0);
	assert_int_equal(thread_start(&r[1].thread, "r", relay_run, &r[1]), 0);
	result = conn_accept(&bob.self, fd, -1, &c);
	/* Who notices hangs up, and the other one learns of it. */
	if (result)
		close(fd);
	noticed = result < 0;
	if (dial_end(&d) == 0) {
		conn_free(d.conn);
	} else {
		noticed = true;
	}
	conn_free(c);
	pthread_join(r[0].thread, NULL);
	pthread_join(r[1].thread, NULL);
	close(in);
	close(out);
	close(middle_fd);
	return noticed;
}

static void every_changed_byte_of_a_handshake_is_noticed(void **state)
{
	enum {
		FIRST = WIRE_PREAMBLE_BYTES + 2 + 32 + 32,
		BACK = WIRE_PREAMBLE_BYTES + 2 + 32 + 48 + 30,
	};

	assert_false(flipped(-1, -1));
	/* The lengths are left out: a longer message is waited for. */
	for (long i = 0; i < FIRST; i += 3)
		if (i < WIRE_PREAMBLE_BYTES || i > WIRE_PREAMBLE_BYTES + 1)
			assert_true(flipped(i, -1));
	for (long i = 4; i < BACK; i += 3)
		if (i < 5 || i > WIRE_PREAMBLE_BYTES + 1)
			assert_true(flipped(-1, i));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage_is_not_accepted),
		cmocka_unit_test(another_major_version_is_told_ours),
		cmocka_unit_test(another_minor_version_is_not_refused),
		cmocka_unit_test(our_own_key_is_no_peer),
		cmocka_unit_test(a_dial_ends_in_time_or_when_woken),
		cmocka_unit_test(every_changed_byte_of_a_handshake_is_noticed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* Tests net/conn.h: handshakes and records, over TCP on loopback. */
#include "net_fixture.h"

#include "conn_internal.h"

static struct machine alice, bob;

static int make_machines(void **state)
{
	machine_init(&alice, "alice", 4717);
	machine_init(&bob,
	    "b\xc3\xb6"
	    "b",
	    0);
	return 0;
}

static int pair_setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	pair_open(p, &alice, &bob);
	*state = p;
	return 0;
}

static int pair_teardown(void **state)
{
	pair_close(*state);
	free(*state);
	return 0;
}

static struct wire_msg ping(uint64_t cookie)
{
	struct wire_msg m = { .type = WIRE_PING };

	m.ping.cookie = cookie;
	return m;
}

static struct wire_msg write_of(const uint8_t *bytes, size_t len, uint64_t seq)
{
	struct wire_msg m = { .type = WIRE_WRITE };

	m.write.seq = seq;
	m.write.offset = seq * 10;
	m.write.bytes = bytes;
	m.write.len = len;
	return m;
}

static void expect_ping(struct conn *c, uint64_t cookie)
{
	struct wire_msg m;

	assert_int_equal(conn_receive(c, DEADLINE_MS, -1, &m), 0);
	assert_int_equal(m.type, WIRE_PING);
	assert_int_equal(m.ping.cookie, cookie);
}

/* --- after the handshake ---------------------------------------------------
 */

static void both_sides_know_each_other(void **state)
{
	struct pair *p = *state;
	const struct sockaddr_in *a =
	    (const struct sockaddr_in *)conn_remote_address(p->a);

	assert_memory_equal(
	    conn_remote_key(p->a), bob.id.public, IDENTITY_KEY_BYTES);
	assert_memory_equal(
	    conn_remote_key(p->b), alice.id.public, IDENTITY_KEY_BYTES);
	assert_string_equal(conn_remote_hello(p->a)->name, bob.self.hello.name);
	assert_string_equal(conn_remote_hello(p->b)->name, "alice");
	assert_int_equal(conn_remote_hello(p->b)->port, 4717);
	assert_int_equal(conn_remote_hello(p->a)->port, 0);
	assert_string_equal(conn_cipher(p->a), conn_cipher(p->b));
	assert_int_equal(a->sin_family, AF_INET);
	assert_int_equal(a->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

static void messages_go_both_ways_in_order(void **state)
{
	struct pair *p = *state;
	struct wire_msg m;

	for (uint64_t i = 1; i <= 300; i++) {
		m = ping(i);
		assert_int_equal(conn_send(p->a, &m), 0);
		m = ping(i + 1000);
		assert_int_equal(conn_try_send(p->b, &m), 0);
		if (i % 7 == 0)
			for (uint64_t j = i - 6; j <= i; j++) {
				expect_ping(p->b, j);
				expect_ping(p->a, j + 1000);
			}
	}
	assert_false(conn_pending(p->a));
	assert_true(conn_heard_ms(p->b) > 0 && conn_sent_ms(p->a) > 0);
}

static void queued_messages_leave_together(void **state)
{
	struct pair *p = *state;
	struct wire_msg m;
	uint64_t n = 0;

	for (;;) {
		m = ping(n + 1);
		if (conn_queue(p->a, &m))
			break;
		n++;
	}
	assert_in_range(n, 4, 1000);
	assert_true(conn_pending(p->a));
	expect_quiet(p->b);
	assert_int_equal(conn_flush(p->a), 0);
	assert_false(conn_pending(p->a));
	for (uint64_t i = 1; i <= n; i++)
		expect_ping(p->b, i);
}

struct sender {
	struct conn *c;
	const uint8_t *bytes;
	const size_t *sizes;
	unsigned n;
	pthread_t thread;
	int result;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;

	s->result = conn_reserve_output(s->c, WIRE_WRITE_MAX);
	for (unsigned i = 0; i < s->n && !s->result; i++) {
		struct wire_msg m = write_of(s->bytes, s->sizes[i], i);

		s->result = conn_send(s->c, &m);
	}
	return NULL;
}

static void large_writes_arrive_and_the_memory_is_given_back(
    void **state) NO_THREAD_ANALYSIS
{
	static const size_t sizes[] = { 1, WIRE_WRITE_MAX, 4096, 100000,
		WIRE_WRITE_MAX - 1, 17, WIRE_WRITE_MAX, 65536, 3,
		WIRE_WRITE_MAX, WIRE_WRITE_MAX, WIRE_WRITE_MAX };
	struct pair *p = *state;
	uint8_t *bytes = malloc(WIRE_WRITE_MAX);
	struct sender s = {
		.c = p->a, .bytes = bytes, .sizes = sizes, .n = N_OF(sizes)
	};
	int wake = eventfd(1, EFD_CLOEXEC);
	size_t small_in = p->b->in_cap, small_out = p->a->out_cap;
	struct wire_msg m;

	fill(bytes, WIRE_WRITE_MAX, 0);
	assert_int_equal(thread_start(&s.thread, "sender", send_all, &s), 0);
	for (unsigned i = 0; i < N_OF(sizes); i++) {
		assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &m), 0);
		assert_int_equal(m.type, WIRE_WRITE);
		assert_int_equal(m.write.seq, i);
		assert_int_equal(m.write.offset, i * 10);
		assert_int_equal(m.write.len, sizes[i]);
		assert_memory_equal(m.write.bytes, bytes, sizes[i]);
	}
	pthread_join(s.thread, NULL);
	assert_int_equal(s.result, 0);

	/* A long rest begins: both are small again. */
	assert_true(p->b->in_cap > WIRE_WRITE_MAX);
	assert_int_equal(conn_receive(p->b, DEADLINE_MS, wake, &m), CONN_WOKEN);
	assert_int_equal(p->b->in_cap, small_in);
	assert_true(p->a->out_cap > WIRE_WRITE_MAX);
	assert_int_equal(conn_reserve_output(p->a, 0), 0);
	assert_int_equal(p->a->out_cap, small_out);
	m = ping(5);
	assert_int_equal(conn_send(p->a, &m), 0);
	expect_ping(p->b, 5);
	close(wake);
	free(bytes);
}

/* The messages that have a payload; the largest there may be. */
static struct wire_msg payload_of(enum wire_type type, const uint8_t *bytes)
{
	struct wire_msg m = { .type = type };

	switch (type) {
	case WIRE_DATA:
		m.data.bytes = bytes;
		m.data.len = WIRE_WRITE_MAX;
		break;
	case WIRE_XATTR:
		strcpy(m.xattr.xattr.name, "user.a");
		m.xattr.xattr.bytes = bytes;
		m.xattr.xattr.len = WIRE_XATTR_MAX;
		break;
	case WIRE_SETXATTR:
		m.setxattr.id[0] = 1;
		strcpy(m.setxattr.xattr.name, "user.b");
		m.setxattr.xattr.bytes = bytes;
		m.setxattr.xattr.len = WIRE_XATTR_MAX;
		break;
	case WIRE_SYMLINK:
		m.symlink.id[0] = m.symlink.parent[0] = 1;
		strcpy(m.symlink.name, "link");
		m.symlink.bytes = bytes;
		m.symlink.len = WIRE_TARGET_MAX;
		break;
	default: m = write_of(bytes, WIRE_WRITE_MAX, 1);
	}
	return m;
}

struct way {
	struct conn *c;
	const struct wire_msg *m;
	int (*take)(struct conn *c, const struct wire_msg *m);
	pthread_t thread;
	int result;
};

static void *go_way(void *arg)
{
	struct way *w = arg;
	int64_t until = now_ms() + DEADLINE_MS;

	w->result = w->take(w->c, w->m);
	while (!w->result && conn_pending(w->c)) {
		struct pollfd p = { .fd = conn_fd(w->c), .events = POLLOUT };

		if (now_ms() > until)
			w->result = -ETIMEDOUT;
		poll(&p, 1, DEADLINE_MS);
		conn_flush(w->c);
	}
	return NULL;
}

static void every_payload_finds_its_room(void **state) NO_THREAD_ANALYSIS
{
	static const enum wire_type types[] = { WIRE_WRITE, WIRE_DATA,
		WIRE_XATTR, WIRE_SETXATTR, WIRE_SYMLINK };
	static int (*const ways[])(struct conn *,
	    const struct wire_msg *) = { conn_send, conn_try_send, conn_queue };
	struct pair *p = *state;
	uint8_t *bytes = malloc(WIRE_WRITE_MAX);
	size_t small_in = p->b->in_cap, small_out = p->a->out_cap;
	int wake = eventfd(1, EFD_CLOEXEC);
	const uint8_t *sent, *got;
	struct wire_msg m, back;

	fill(bytes, WIRE_WRITE_MAX, 0);
	for (size_t i = 0; i < WIRE_TARGET_MAX; i++)
		bytes[i] |= 0x80; /* a target has no NUL, and no '/' first */
	for (unsigned i = 0; i < N_OF(types) * N_OF(ways); i++) {
		struct way w = { .c = p->a, .m = &m };
		size_t len;

		w.take = ways[i % N_OF(ways)];
		m = payload_of(types[i / N_OF(ways)], bytes);
		len = wire_payload(&m, &sent);
		assert_int_equal(thread_start(&w.thread, "way", go_way, &w), 0);
		assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &back), 0);
		pthread_join(w.thread, NULL);
		assert_int_equal(w.result, 0);
		assert_int_equal(back.type, m.type);
		assert_int_equal(wire_payload(&back, &got), len);
		assert_memory_equal(got, bytes, len);
		/* The largest yet was received, and a long rest begins. */
		assert_true(p->b->in_cap >= len && p->a->out_cap >= len);
		assert_int_equal(
		    conn_receive(p->b, DEADLINE_MS, wake, &back), CONN_WOKEN);
		assert_int_equal(
		    conn_receive(p->a, DEADLINE_MS, wake, &back), CONN_WOKEN);
		assert_int_equal(p->b->in_cap, small_in);
		assert_int_equal(p->a->out_cap, small_out);
	}
	close(wake);
	free(bytes);
}

static void a_payload_waits_behind_what_is_pending(void **state)
{
	struct pair *p = *state;
	uint8_t *bytes = malloc(WIRE_XATTR_MAX);
	struct wire_msg m = ping(1), large;

	fill(bytes, WIRE_XATTR_MAX, 0);
	large = payload_of(WIRE_SETXATTR, bytes);
	assert_int_equal(conn_queue(p->a, &m), 0);
	assert_int_equal(conn_queue(p->a, &large), -EAGAIN);
	assert_int_equal(conn_flush(p->a), 0);
	expect_ping(p->b, 1);
	expect_quiet(p->b);
	/* Now, or with the room made for both. */
	assert_int_equal(conn_queue(p->a, &large), 0);
	assert_int_equal(conn_flush(p->a), 0);
	assert_int_equal(conn_reserve_output(p->a, WIRE_XATTR_MAX), 0);
	assert_int_equal(conn_queue(p->a, &m), 0);
	assert_int_equal(conn_queue(p->a, &large), 0);
	assert_int_equal(conn_flush(p->a), 0);
	assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &m), 0);
	assert_int_equal(m.type, WIRE_SETXATTR);
	expect_ping(p->b, 1);
	assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &m), 0);
	assert_int_equal(m.type, WIRE_SETXATTR);
	assert_int_equal(m.setxattr.xattr.len, WIRE_XATTR_MAX);
	assert_memory_equal(m.setxattr.xattr.bytes, bytes, WIRE_XATTR_MAX);
	free(bytes);
}

/* Seals m and takes the record out of the connection: no byte has left. */
static size_t seal(struct conn *c, const struct wire_msg *m, uint8_t *ret)
{
	size_t len;

	assert_int_equal(conn_queue(c, m), 0);
	mutex_lock(&c->send_lock);
	len = c->out_len - c->out_off;
	memcpy(ret, c->out + c->out_off, len);
	c->out_off = c->out_len = 0;
	mutex_unlock(&c->send_lock);
	return len;
}

/* Puts bytes on the wire and waits until the other side could read them. */
static void put(struct conn *from, struct conn *to, const uint8_t *p, size_t n)
{
	struct pollfd poll_to = { .fd = conn_fd(to), .events = POLLIN };

	assert_int_equal(send(conn_fd(from), p, n, 0), (ssize_t)n);
	assert_int_equal(poll(&poll_to, 1, DEADLINE_MS), 1);
}

static void records_may_come_in_any_pieces(void **state)
{
	struct pair *p = *state;
	uint8_t bytes[300], wire[1000];
	struct wire_msg m;
	size_t len;

	fill(bytes, sizeof(bytes), 0);
	m = write_of(bytes, sizeof(bytes), 1);
	assert_int_equal(conn_reserve_output(p->a, sizeof(bytes)), 0);
	len = seal(p->a, &m, wire);
	m = ping(2);
	len += seal(p->a, &m, wire + len);
	for (size_t i = 0; i < len; i++) {
		put(p->a, p->b, wire + i, 1);
		if (conn_receive(p->b, 0, -1, &m) == -ETIMEDOUT)
			continue;
		if (m.type == WIRE_WRITE) {
			assert_true(i < len - 1);
			assert_memory_equal(
			    m.write.bytes, bytes, sizeof(bytes));
		} else {
			assert_int_equal(i, len - 1);
			assert_int_equal(m.ping.cookie, 2);
			return;
		}
	}
	fail();
}

static void what_is_woken_and_what_has_time(void **state)
{
	struct pair *p = *state;
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;
	struct wire_msg m;
	int64_t before = now_ms();

	assert_int_equal(conn_receive(p->b, 0, wake, &m), -ETIMEDOUT);
	assert_int_equal(conn_receive(p->b, QUIET_MS, wake, &m), -ETIMEDOUT);
	assert_in_range(now_ms() - before, QUIET_MS, DEADLINE_MS);
	assert_int_equal(write(wake, &one, sizeof(one)), sizeof(one));
	assert_int_equal(conn_receive(p->b, -1, wake, &m), CONN_WOKEN);
	/* It is not consumed, and a message goes before it. */
	assert_int_equal(conn_receive(p->b, -1, wake, &m), CONN_WOKEN);
	m = ping(3);
	assert_int_equal(conn_send(p->a, &m), 0);
	EVENTUALLY(conn_receive(p->b, -1, wake, &m) == 0);
	assert_int_equal(m.ping.cookie, 3);
	close(wake);
}

/* Fills the socket until one more WRITE is pending; the count sealed. */
static unsigned fill_socket(struct conn *c, const uint8_t *bytes)
{
	unsigned n = 0;
	struct wire_msg m;

	assert_int_equal(conn_reserve_output(c, WIRE_WRITE_MAX), 0);
	while (!conn_pending(c)) {
		m = write_of(bytes, WIRE_WRITE_MAX, n++);
		assert_int_equal(conn_try_send(c, &m), 0);
	}
	return n;
}

static void a_full_socket_takes_nothing_and_drains(void **state)
{
	struct pair *p = *state;
	uint8_t *bytes = malloc(WIRE_WRITE_MAX);
	struct wire_msg m, lost;
	unsigned n, got = 0;
	bool drained = false;
	int r;

	fill(bytes, WIRE_WRITE_MAX, 7);
	n = fill_socket(p->a, bytes);
	lost = ping(77);
	assert_int_equal(conn_try_send(p->a, &lost), -EAGAIN);
	assert_int_equal(conn_flush(p->a), -EAGAIN);
	while (got < n || !drained) {
		r = conn_receive(p->b, 1, -1, &m);
		if (r == 0) {
			assert_int_equal(m.type, WIRE_WRITE);
			assert_int_equal(m.write.seq, got++);
			assert_memory_equal(
			    m.write.bytes, bytes, WIRE_WRITE_MAX);
		}
		r = drained ? -ETIMEDOUT : conn_receive(p->a, 1, -1, &m);
		assert_true(r == -ETIMEDOUT || r == CONN_DRAINED);
		drained |= r == CONN_DRAINED;
	}
	/* What was not taken is nowhere, and the counters still agree. */
	assert_false(conn_pending(p->a));
	m = ping(78);
	assert_int_equal(conn_try_send(p->a, &m), 0);
	expect_ping(p->b, 78);
	free(bytes);
}

enum { THREADS = 4, EACH = 200 };

static void *send_pings(void *arg)
{
	struct sender *s = arg;

	for (uint64_t i = 0; i < EACH && !s->result; i++) {
		struct wire_msg m = ping((uint64_t)s->n << 32 | (i + 1));

		s->result = conn_send(s->c, &m);
	}
	return NULL;
}

static void threads_may_send_at_once(void **state)
{
	struct pair *p = *state;
	struct sender s[THREADS];
	uint64_t last[THREADS] = { 0 };
	struct wire_msg m;

	for (unsigned i = 0; i < THREADS; i++) {
		s[i] = (struct sender){ .c = p->a, .n = i };
		assert_int_equal(
		    thread_start(&s[i].thread, "sender", send_pings, &s[i]), 0);
	}
	for (unsigned i = 0; i < THREADS * EACH; i++) {
		unsigned who;

		assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &m), 0);
		who = (unsigned)(m.ping.cookie >> 32);
		assert_in_range(who, 0, THREADS - 1);
		assert_int_equal((uint32_t)m.ping.cookie, ++last[who]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(s[i].thread, NULL);
		assert_int_equal(s[i].result, 0);
	}
}

/* --- endings ---------------------------------------------------------------
 */

static void an_end_between_messages_is_eof(void **state)
{
	struct pair *p = *state;
	struct wire_msg m = ping(1);

	assert_int_equal(conn_send(p->a, &m), 0);
	conn_shutdown(p->a);
	expect_ping(p->b, 1);
	assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &m), CONN_EOF);
	assert_int_equal(conn_receive(p->b, 0, -1, &m), CONN_EOF);
	assert_int_equal(conn_receive(p->a, DEADLINE_MS, -1, &m), CONN_EOF);
	assert_int_equal(conn_send(p->a, &m), -EPIPE);
}

static void an_end_inside_a_record_is_no_eof(void **state)
{
	struct pair *p = *state;
	struct wire_msg m = ping(1);
	uint8_t wire[200];
	size_t len = seal(p->a, &m, wire);

	put(p->a, p->b, wire, len - 1);
	conn_shutdown(p->a);
	assert_int_equal(conn_receive(p->b, DEADLINE_MS, -1, &m), -ECONNRESET);
}

static void a_changed_byte_ends_the_connection(void **state)
{
	struct wire_msg m = ping(1);
	uint8_t wire[200], good[200];
	struct pair p;
	size_t len;

	/* Every third byte: header, ciphertext, tag. */
	for (size_t i = 0;; i += 3) {
		pair_open(&p, &alice, &bob);
		len = seal(p.a, &m, wire);
		if (i >= len)
			break;
		wire[i] ^= 0x40;
		put(p.a, p.b, wire, len);
		/* A longer length would wait for more: the end comes. */
		conn_shutdown(p.a);
		assert_true(conn_receive(p.b, DEADLINE_MS, -1, &m) < 0);
		pair_close(&p);
		m = ping(1);
	}
	/* A record twice, and one left out. */
	put(p.a, p.b, wire, len);
	expect_ping(p.b, 1);
	put(p.a, p.b, wire, len);
	assert_int_equal(conn_receive(p.b, DEADLINE_MS, -1, &m), -EBADMSG);
	m = ping(2);
	len = seal(p.a, &m, good);
	put(p.a, p.b, good, len);
	assert_int_equal(conn_receive(p.b, DEADLINE_MS, -1, &m), -EBADMSG);
	pair_close(&p);
}

static void nonsense_in_a_good_record_is_refused(void **state)
{
	static const uint8_t plain[][20] = { { 0 }, { 99 }, { WIRE_PING, 1 },
		{ WIRE_TRUNCATE } };
	struct wire_msg m;
	uint8_t wire[100];
	size_t len;

	for (unsigned i = 0; i < N_OF(plain); i++) {
		struct pair p;

		pair_open(&p, &alice, &bob);
		mutex_lock(&p.a->send_lock);
		assert_int_equal(
		    record_seal(&p.a->send_key, plain[i], sizeof(plain[i]),
			wire, sizeof(wire), &len),
		    0);
		mutex_unlock(&p.a->send_lock);
		put(p.a, p.b, wire, len);
		assert_int_equal(
		    conn_receive(p.b, DEADLINE_MS, -1, &m), -EBADMSG);
		pair_close(&p);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(both_sides_know_each_other),
		TEST(messages_go_both_ways_in_order),
		TEST(queued_messages_leave_together),
		TEST(large_writes_arrive_and_the_memory_is_given_back),
		TEST(every_payload_finds_its_room),
		TEST(a_payload_waits_behind_what_is_pending),
		TEST(records_may_come_in_any_pieces),
		TEST(what_is_woken_and_what_has_time),
		TEST(a_full_socket_takes_nothing_and_drains),
		TEST(threads_may_send_at_once),
		TEST(an_end_between_messages_is_eof),
		TEST(an_end_inside_a_record_is_no_eof),
		cmocka_unit_test(a_changed_byte_ends_the_connection),
		cmocka_unit_test(nonsense_in_a_good_record_is_refused),
	};

	return cmocka_run_group_tests(tests, make_machines, NULL);
}

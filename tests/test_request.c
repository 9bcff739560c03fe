/*
 * Tests net/request.h, and with it net/treeop and net/packed: what is asked of
 * a peer about what was delivered. The peer is played by the test.
 */
#include "outgoing_fixture.h"

#include <malloc.h>

enum { PATIENCE_MS = 15000, WINDOW = 32 };

static const uint8_t id[WIRE_ID_BYTES] = { 9, 8, 7 };

static void setup_play(struct play *p)
{
	play_open(p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
}

/* What is asked for waits for the peer's first word, so that it goes out
 * together. */
static void setup_waiting(struct play *p)
{
	play_open(p, 0, PATIENCE_MS);
}

/* --- what is said ----------------------------------------------------------
 */

/* What comes of the requests below; the number of the last. */
static uint64_t expect_every(
    struct play *p, struct outdir *dir, const uint8_t link_id[WIRE_ID_BYTES])
{
	static uint8_t value[WIRE_XATTR_MAX];
	struct wire_msg m;

	m = expect(p->c, WIRE_MKDIR);
	assert_string_equal(m.mkdir.name, "dir");
	assert_int_equal(m.mkdir.mode, 0750);
	m = expect(p->c, WIRE_PATCH);
	assert_memory_equal(m.patch.id, outdir_id(dir), WIRE_ID_BYTES);
	m = expect(p->c, WIRE_PATCH);
	assert_memory_equal(m.patch.id, id, WIRE_ID_BYTES);
	assert_int_equal(m.patch.meta.mtime.nsec, 34);
	m = expect(p->c, WIRE_SETXATTR);
	assert_string_equal(m.setxattr.xattr.name, "user.a");
	assert_int_equal(m.setxattr.xattr.len, WIRE_XATTR_MAX);
	fill(value, WIRE_XATTR_MAX, 5);
	assert_memory_equal(m.setxattr.xattr.bytes, value, WIRE_XATTR_MAX);
	m = expect(p->c, WIRE_SYMLINK);
	assert_memory_equal(m.symlink.id, link_id, WIRE_ID_BYTES);
	assert_memory_equal(m.symlink.parent, outdir_id(dir), WIRE_ID_BYTES);
	assert_int_equal(m.symlink.len, WIRE_TARGET_MAX);
	assert_memory_equal(m.symlink.bytes, "x/xx", 4);
	m = expect(p->c, WIRE_RENAME);
	assert_memory_equal(m.rename.id, id, WIRE_ID_BYTES);
	assert_memory_equal(m.rename.parent, outdir_id(dir), WIRE_ID_BYTES);
	assert_string_equal(m.rename.name, "new");
	assert_true(m.rename.hold);
	m = expect(p->c, WIRE_SHOW);
	assert_memory_equal(m.show.id, id, WIRE_ID_BYTES);
	m = expect(p->c, WIRE_WITHDRAW);
	assert_memory_equal(m.withdraw.id, link_id, WIRE_ID_BYTES);
	return m.withdraw.req;
}

static void every_request_says_what_was_asked(void **state)
{
	struct wire_meta meta = { .mask = WIRE_META_MTIME,
		.mtime = { 12, 34 } };
	struct wire_xattr x = { .name = "user.a", .len = WIRE_XATTR_MAX };
	uint8_t *value = malloc(WIRE_XATTR_MAX), link_id[WIRE_ID_BYTES];
	char target[WIRE_TARGET_MAX + 1];
	struct outdir *dir;
	struct wire_msg m;
	struct play p;
	uint64_t last;

	setup_play(&p);
	fill(value, WIRE_XATTR_MAX, 5);
	x.bytes = value;
	memset(target, 'x', WIRE_TARGET_MAX);
	target[WIRE_TARGET_MAX] = '\0';
	target[1] = '/';
	assert_int_equal(outdir_new(p.peer, NULL, "dir", 02750, &dir), 0);
	assert_int_equal(outdir_meta(dir, &meta), 0);
	assert_int_equal(request_patch(p.peer, id, &meta), 0);
	assert_int_equal(request_xattr(p.peer, id, &x), 0);
	assert_int_equal(
	    request_symlink(p.peer, dir, "link", target, link_id), 0);
	assert_int_equal(request_rename(p.peer, id, dir, "new", true, NULL), 0);
	assert_int_equal(request_show(p.peer, id, NULL), 0);
	assert_int_equal(request_withdraw(p.peer, link_id), 0);
	memset(value, 0, WIRE_XATTR_MAX); /* all was copied */
	memset(target, 0, sizeof(target));

	last = expect_every(&p, dir, link_id);
	/* None of these had waited for an answer; gtfs stop would wait. */
	assert_int_equal(peers_busy(p.w.peers), 8);
	for (uint64_t r = last - 7; r <= last; r++) {
		m.mkdir.req = r;
		answer(p.c, &m, WIRE_OK);
	}
	EVENTUALLY(peers_busy(p.w.peers) == 0);
	assert_true(dir->made);
	outdir_put(dir);
	free(value);
	play_close(&p);
}

static void results_go_to_who_waits(void **state)
{
	static const enum wire_code codes[] = { WIRE_OK, WIRE_ESTALE,
		WIRE_ENOENT, WIRE_EXDEV };
	static const int results[] = { 0, -ESTALE, -ENOENT, -EXDEV };
	struct asker a[N_OF(codes)], gone;
	struct wire_msg m[N_OF(codes) + 1];
	struct play p;

	setup_play(&p);
	asker_init(&gone);
	assert_int_equal(request_show(p.peer, id, &gone.w), 0);
	for (unsigned i = 0; i < N_OF(codes); i++) {
		asker_init(&a[i]);
		assert_int_equal(
		    request_rename(p.peer, id, NULL, "x", false, &a[i].w), 0);
	}
	m[0] = expect(p.c, WIRE_SHOW);
	for (unsigned i = 0; i < N_OF(codes); i++)
		m[i + 1] = expect(p.c, WIRE_RENAME);
	assert_true(request_forget(p.peer, &gone.w));
	assert_false(request_forget(p.peer, &gone.w));
	answer(p.c, &m[0], WIRE_EIO);
	for (unsigned i = 0; i < N_OF(codes); i++) {
		assert_int_equal(asker_times(&a[i]), 0);
		answer(p.c, &m[i + 1], codes[i]);
		assert_int_equal(asker_wait(&a[i]), results[i]);
		assert_false(request_forget(p.peer, &a[i].w));
		asker_fini(&a[i]);
	}
	assert_int_equal(asker_times(&gone), 0);
	asker_fini(&gone);
	play_close(&p);
}

static void many_are_under_way_at_once(void **state)
{
	enum { MANY = 500 };
	struct wire_meta meta = { .mask = WIRE_META_MTIME };
	struct wire_msg m[MANY];
	unsigned seen = 0;
	struct play p;

	setup_waiting(&p);
	for (unsigned i = 0; i < MANY; i++) {
		meta.mtime.sec = i;
		assert_int_equal(request_patch(p.peer, id, &meta), 0);
	}
	send_pong(p.c, WIRE_POLICY_ACCEPT);
	while (seen < WINDOW) {
		m[seen] = expect(p.c, WIRE_PATCH);
		seen++;
	}
	expect_quiet(p.c);
	for (unsigned i = 0; i < MANY; i++) {
		/* In order, and never more than that many unanswered. */
		while (seen < MANY && seen <= i) {
			m[seen] = expect(p.c, WIRE_PATCH);
			seen++;
		}
		assert_int_equal(m[i].patch.meta.mtime.sec, i);
		answer(p.c, &m[i], WIRE_OK);
	}
	EVENTUALLY(peers_busy(p.w.peers) == 0);
	play_close(&p);
}

/* --- when things break -----------------------------------------------------
 */

static void a_cut_asks_again_from_the_first_unanswered(void **state)
{
	enum { N = 6 };
	struct wire_msg m[N];
	struct asker a[N];
	struct play p;

	for (unsigned answered = 0; answered <= N; answered++) {
		setup_play(&p);
		for (unsigned i = 0; i < N; i++) {
			char name[8];

			snprintf(name, sizeof(name), "%u", i);
			asker_init(&a[i]);
			assert_int_equal(request_rename(p.peer, id, NULL, name,
					     false, &a[i].w),
			    0);
		}
		for (unsigned i = 0; i < N; i++)
			m[i] = expect(p.c, WIRE_RENAME);
		for (unsigned i = 0; i < answered; i++) {
			answer(p.c, &m[i], WIRE_OK);
			assert_int_equal(asker_wait(&a[i]), 0);
		}
		play_cut(&p);
		if (answered < N)
			play_again(&p);
		for (unsigned i = answered; i < N; i++) {
			assert_int_equal(asker_times(&a[i]), 0);
			m[i] = expect(p.c, WIRE_RENAME);
			assert_int_equal(m[i].rename.name[0], '0' + (int)i);
			/* Done before, says an honest peer. */
			answer(p.c, &m[i], WIRE_OK);
			assert_int_equal(asker_wait(&a[i]), 0);
		}
		EVENTUALLY(peers_busy(p.w.peers) == 0);
		for (unsigned i = 0; i < N; i++)
			asker_fini(&a[i]);
		play_close(&p);
	}
}

static void a_result_to_nothing_ends_the_connection(void **state)
{
	struct wire_msg m[2];
	struct play p;

	for (unsigned wrong = 0; wrong < 3; wrong++) {
		setup_play(&p);
		assert_int_equal(request_show(p.peer, id, NULL), 0);
		m[0] = expect(p.c, WIRE_SHOW);
		assert_int_equal(request_show(p.peer, id, NULL), 0);
		m[1] = expect(p.c, WIRE_SHOW);
		if (wrong == 0) { /* never asked */
			m[0].show.req = m[1].show.req + 1;
		} else if (wrong == 1) { /* out of turn */
			m[0] = m[1];
		} else { /* twice */
			answer(p.c, &m[0], WIRE_OK);
		}
		answer(p.c, &m[0], WIRE_OK);
		expect_end(p.c);
		play_close(&p);
	}
}

static void the_end_is_told_to_who_waits(void **state)
{
	struct wire_msg bye = { .type = WIRE_BYE };
	struct asker a[2];
	struct play p;

	/* The peer leaves for good: nobody has pinned it. */
	setup_play(&p);
	for (unsigned i = 0; i < 2; i++) {
		asker_init(&a[i]);
		assert_int_equal(request_show(p.peer, id, &a[i].w), 0);
		expect(p.c, WIRE_SHOW);
	}
	close(p.listen_fd);
	p.listen_fd = -1;
	send_msg(p.c, &bye);
	EVENTUALLY((peers_tick(p.w.peers), asker_times(&a[1])));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(asker_wait(&a[i]), -EHOSTUNREACH);
		asker_fini(&a[i]);
	}
	assert_int_equal(request_show(p.peer, id, NULL), -EHOSTUNREACH);
	assert_int_equal(request_withdraw(p.peer, id), -EHOSTUNREACH);
	play_close(&p);

	/* gtfs ends, after its drain took too long. */
	setup_play(&p);
	asker_init(&a[0]);
	assert_int_equal(request_show(p.peer, id, &a[0].w), 0);
	expect(p.c, WIRE_SHOW);
	peers_stop(p.w.peers);
	assert_int_equal(asker_wait(&a[0]), -ECANCELED);
	assert_int_equal(request_show(p.peer, id, NULL), -EHOSTUNREACH);
	asker_fini(&a[0]);
	play_close(&p);
}

/* What begins something; what ends it waits for the peer to be back. */
static void what_cannot_work_is_refused_at_once(void **state)
{
	struct wire_meta meta = { .mask = WIRE_META_MTIME };
	struct wire_xattr x = { .name = "user.a" };
	uint8_t link_id[WIRE_ID_BYTES];
	struct outdir *dir, *other;
	struct asker a;
	struct play p;

	setup_play(&p);
	asker_init(&a);
	assert_int_equal(outdir_new(p.peer, NULL, "d", 0755, &dir), 0);
	expect(p.c, WIRE_MKDIR);
	send_pong(p.c, WIRE_POLICY_REFUSE);
	world_wait(&p.w, &p.w.changes[PEER_CHANGED], 2);
	assert_int_equal(
	    outdir_new(p.peer, NULL, "other", 0755, &other), -EACCES);
	assert_int_equal(outdir_rename(dir, NULL, "e", &a.w), -EACCES);
	assert_int_equal(outdir_meta(dir, &meta), -EACCES);
	assert_int_equal(request_patch(p.peer, id, &meta), -EACCES);
	assert_int_equal(request_xattr(p.peer, id, &x), -EACCES);
	assert_int_equal(
	    request_rename(p.peer, id, dir, "new", false, &a.w), -EACCES);
	assert_int_equal(
	    request_symlink(p.peer, dir, "link", "x", link_id), -EACCES);
	assert_int_equal(request_show(p.peer, id, NULL), 0);
	assert_int_equal(request_withdraw(p.peer, id), 0);
	expect(p.c, WIRE_SHOW);
	expect(p.c, WIRE_WITHDRAW);
	assert_int_equal(asker_times(&a), 0);
	asker_fini(&a);
	outdir_put(dir);
	play_close(&p);
}

static void what_was_not_sent_can_be_cancelled(void **state)
{
	struct wire_meta meta = { .mask = WIRE_META_MTIME };
	struct wire_msg m;
	struct asker a[3];
	struct play p;

	setup_waiting(&p);
	for (unsigned i = 0; i < 3; i++)
		asker_init(&a[i]);
	assert_int_equal(
	    request_rename(p.peer, id, NULL, "sent", false, &a[0].w), 0);
	for (unsigned i = 1; i < WINDOW; i++)
		assert_int_equal(request_patch(p.peer, id, &meta), 0);
	assert_int_equal(
	    request_rename(p.peer, id, NULL, "never", false, &a[1].w), 0);
	assert_int_equal(
	    request_rename(p.peer, id, NULL, "waits", false, &a[2].w), 0);
	send_pong(p.c, WIRE_POLICY_ACCEPT);
	m = expect(p.c, WIRE_RENAME);
	for (unsigned i = 1; i < WINDOW; i++)
		expect(p.c, WIRE_PATCH);
	assert_false(request_cancel(p.peer, &a[0].w));
	assert_true(request_cancel(p.peer, &a[1].w));
	assert_false(request_cancel(p.peer, &a[1].w));
	for (unsigned i = 0; i < WINDOW; i++, m.rename.req++)
		answer(p.c, &m, WIRE_OK);
	m = expect(p.c, WIRE_RENAME);
	assert_string_equal(m.rename.name, "waits");
	assert_false(request_cancel(p.peer, &a[2].w));
	answer(p.c, &m, WIRE_OK);
	assert_int_equal(asker_wait(&a[0]), 0);
	assert_int_equal(asker_wait(&a[2]), 0);
	assert_int_equal(asker_times(&a[1]), 0);
	assert_false(request_cancel(p.peer, &a[2].w));
	EVENTUALLY(peers_busy(p.w.peers) == 0);
	/* On the connection that broke it may have been done. */
	asker_init(&a[0]);
	assert_int_equal(
	    request_rename(p.peer, id, NULL, "x", false, &a[0].w), 0);
	expect(p.c, WIRE_RENAME);
	play_cut(&p);
	assert_false(request_cancel(p.peer, &a[0].w));
	play_again(&p);
	m = expect(p.c, WIRE_RENAME);
	answer(p.c, &m, WIRE_OK);
	assert_int_equal(asker_wait(&a[0]), 0);
	for (unsigned i = 0; i < 3; i++)
		asker_fini(&a[i]);
	play_close(&p);
}

static void a_queue_is_bounded_and_small(void **state)
{
	uint8_t *value = calloc(1, WIRE_XATTR_MAX);
	struct wire_meta meta = { .mask = WIRE_META_MTIME };
	struct wire_xattr x = { .name = "user.a", .bytes = value };
	struct mallinfo2 before, after;
	struct play p;
	unsigned n = 0;
	int r;

	setup_play(&p);
	before = mallinfo2();
	while ((r = request_patch(p.peer, id, &meta)) == 0)
		n++;
	after = mallinfo2();
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(n, PEER_TREEOPS_MAX);
	/* (A sanitizer's allocator does not count here.) */
	assert_in_range(after.uordblks - before.uordblks, 0, n * 200);
	play_close(&p);

	setup_play(&p);
	x.len = WIRE_XATTR_MAX;
	for (n = 0; (r = request_xattr(p.peer, id, &x)) == 0; n++)
		;
	assert_int_equal(r, -EAGAIN);
	assert_in_range(n, 16, PEER_TREEOP_BYTES_MAX / WIRE_XATTR_MAX + 1);
	free(value);
	play_close(&p);
}

/* Every connection has a file that somebody holds open. */
static void requests_do_not_wait_for_open_files(void **state)
{
	struct outgoing *o[PEER_LINKS_MAX];
	struct got *g = calloc(PEER_LINKS_MAX, sizeof(*g));
	struct asker a;
	struct wire_msg m;
	struct pollfd fds[PEER_LINKS_MAX];
	struct play p;
	unsigned n, i;

	setup_play(&p);
	asker_init(&a);
	n = p.w.peers->links_max;
	assert_in_range(n, 1, PEER_LINKS_MAX);
	for (i = 0; i < n; i++) {
		o[i] = new_file(&p, "held open");
		got_init(&g[i], i ? accept_caller(p.listen_fd, &p.me) : p.c);
		got_accept(&g[i]);
		EVENTUALLY(!strcmp(outgoing_state_name(o[i]), "active"));
		fds[i] =
		    (struct pollfd){ .fd = conn_fd(g[i].c), .events = POLLIN };
	}
	assert_int_equal(request_show(p.peer, id, &a.w), 0);
	assert_int_equal(poll(fds, n, DEADLINE_MS), 1);
	for (i = 0; !fds[i].revents; i++)
		;
	m = expect(g[i].c, WIRE_SHOW);
	/* Its own operations go on meanwhile. */
	write_now(o[i], "x", 1, 0);
	got_next(&g[i], WIRE_WRITE);
	answer(g[i].c, &m, WIRE_OK);
	assert_int_equal(asker_wait(&a), 0);
	EVENTUALLY(peers_busy(p.w.peers) == n);
	for (i = 0; i < n; i++) {
		outgoing_abort(o[i], -ECANCELED);
		outgoing_put(o[i]);
		expect(g[i].c, WIRE_ABORT);
		if (i)
			conn_free(g[i].c);
		got_fini(&g[i]);
	}
	asker_fini(&a);
	free(g);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_says_what_was_asked),
		cmocka_unit_test(results_go_to_who_waits),
		cmocka_unit_test(many_are_under_way_at_once),
		cmocka_unit_test(a_cut_asks_again_from_the_first_unanswered),
		cmocka_unit_test(a_result_to_nothing_ends_the_connection),
		cmocka_unit_test(the_end_is_told_to_who_waits),
		cmocka_unit_test(what_cannot_work_is_refused_at_once),
		cmocka_unit_test(what_was_not_sent_can_be_cancelled),
		cmocka_unit_test(a_queue_is_bounded_and_small),
		cmocka_unit_test(requests_do_not_wait_for_open_files),
	};

	/* What a peer could not do is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

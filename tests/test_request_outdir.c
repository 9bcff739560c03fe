/*
 * Tests the directories of net/request.h: where they are, and that the peer
 * knows them when something is put into them. The peer is played by the test.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

static const uint8_t id[WIRE_ID_BYTES] = { 9, 8, 7 };

static void setup_play(struct play *p)
{
	play_open(p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
}

static void a_renamed_directory_is_where_it_went(void **state)
{
	struct outdir *a, *b, *sub;
	struct wire_msg m[3];
	struct asker w[3];
	struct play p;

	setup_play(&p);
	for (unsigned i = 0; i < 3; i++)
		asker_init(&w[i]);
	assert_int_equal(outdir_new(p.peer, NULL, "a", 0755, &a), 0);
	assert_int_equal(outdir_new(p.peer, NULL, "b", 0755, &b), 0);
	assert_int_equal(outdir_new(p.peer, a, "sub", 0755, &sub), 0);
	for (unsigned i = 0; i < 3; i++)
		m[i] = expect(p.c, WIRE_MKDIR);
	for (unsigned i = 0; i < 3; i++)
		answer(p.c, &m[i], WIRE_OK);
	assert_int_equal(outdir_rename(sub, b, "moved", &w[0].w), 0);
	assert_int_equal(outdir_rename(a, sub, "deep", &w[1].w), 0);
	assert_int_equal(outdir_rename(sub, NULL, "lost", &w[2].w), 0);
	for (unsigned i = 0; i < 3; i++)
		m[i] = expect(p.c, WIRE_RENAME);
	assert_memory_equal(m[0].rename.id, outdir_id(sub), WIRE_ID_BYTES);
	assert_memory_equal(m[0].rename.parent, outdir_id(b), WIRE_ID_BYTES);
	assert_string_equal(m[0].rename.name, "moved");
	assert_false(m[0].rename.hold);
	assert_ptr_equal(sub->parent, a);
	answer(p.c, &m[0], WIRE_OK);
	answer(p.c, &m[1], WIRE_OK);
	answer(p.c, &m[2], WIRE_EXDEV);
	assert_int_equal(asker_wait(&w[0]), 0);
	assert_int_equal(asker_wait(&w[1]), 0);
	assert_int_equal(asker_wait(&w[2]), -EXDEV);
	assert_ptr_equal(sub->parent, b);
	assert_string_equal(sub->mkdir.name, "moved");
	assert_memory_equal(sub->mkdir.parent, outdir_id(b), WIRE_ID_BYTES);
	assert_ptr_equal(a->parent, sub);
	for (unsigned i = 0; i < 3; i++)
		asker_fini(&w[i]);
	/* Parents live as long as what is below them. */
	outdir_put(b);
	outdir_put(sub);
	outdir_put(a);
	play_close(&p);
}

/* The MKDIRs of a, and of sub in it. */
static void expect_both(struct play *p, enum wire_code code)
{
	struct wire_msg m[2];

	for (unsigned i = 0; i < 2; i++) {
		m[i] = expect(p->c, WIRE_MKDIR);
		assert_string_equal(m[i].mkdir.name, i ? "sub" : "a");
	}
	answer(p->c, &m[0], code);
	answer(p->c, &m[1], code);
}

/* A peer that has started again knows no directory. */
static void directories_are_made_again_when_needed(void **state)
{
	uint8_t link_id[WIRE_ID_BYTES];
	struct outdir *a, *sub;
	struct outgoing *o;
	struct wire_msg m;
	struct play p;
	struct got g;

	setup_play(&p);
	assert_int_equal(outdir_new(p.peer, NULL, "a", 0755, &a), 0);
	assert_int_equal(outdir_new(p.peer, a, "sub", 0755, &sub), 0);
	expect_both(&p, WIRE_OK);
	EVENTUALLY(outdir_is_made(sub) && has_idle_link(p.peer));
	assert_int_equal(request_show(p.peer, id, NULL), 0);
	expect(p.c, WIRE_SHOW);
	play_cut(&p);
	play_again(&p);
	m = expect(p.c, WIRE_SHOW);
	answer(p.c, &m, WIRE_OK);
	assert_false(outdir_is_made(a) || outdir_is_made(sub));
	assert_int_equal(request_symlink(p.peer, sub, "1", "x", link_id), 0);
	assert_int_equal(request_symlink(p.peer, sub, "2", "x", link_id), 0);
	expect_both(&p, WIRE_OK);
	for (unsigned i = 0; i < 2; i++) {
		m = expect(p.c, WIRE_SYMLINK);
		answer(p.c, &m, WIRE_OK);
	}
	EVENTUALLY(outdir_is_made(sub) && peers_busy(p.w.peers) == 0);
	EVENTUALLY(has_idle_link(p.peer));

	/* It says so: once it is believed. */
	assert_int_equal(try_new(p.peer, sub, "x", &o), 0);
	write_now(o, "x", 1, 0);
	got_init(&g, p.c);
	expect(p.c, WIRE_WRITE);
	got_refuse(&g, WIRE_ESTALE);
	got_fini(&g);
	expect_both(&p, WIRE_OK);
	got_init(&g, p.c);
	got_next(&g, WIRE_WRITE);
	assert_int_equal(outgoing_error(o), 0);
	got_refuse(&g, WIRE_ESTALE);
	EVENTUALLY(outgoing_error(o) == -ESTALE);
	got_fini(&g);
	outgoing_put(o);
	outdir_put(a);
	outdir_put(sub);
	play_close(&p);
}

/* A peer that lies about it makes no circle of them. */
static void a_directory_is_never_below_itself(void **state)
{
	struct outdir *a, *sub;
	struct outgoing *o;
	struct wire_msg m;
	struct asker w;
	struct play p;

	setup_play(&p);
	asker_init(&w);
	assert_int_equal(outdir_new(p.peer, NULL, "a", 0755, &a), 0);
	m = expect(p.c, WIRE_MKDIR);
	answer(p.c, &m, WIRE_OK);
	assert_int_equal(outdir_new(p.peer, a, "sub", 0755, &sub), 0);
	m = expect(p.c, WIRE_MKDIR);
	answer(p.c, &m, WIRE_EIO);
	assert_int_equal(outdir_rename(a, sub, "deep", &w.w), 0);
	m = expect(p.c, WIRE_RENAME);
	answer(p.c, &m, WIRE_OK);
	assert_int_equal(asker_wait(&w), 0);
	assert_null(a->parent);
	assert_int_equal(try_new(p.peer, sub, "x", &o), 0);
	expect(p.c, WIRE_MKDIR);
	expect(p.c, WIRE_OFFER);
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	outdir_put(a);
	outdir_put(sub);
	asker_fini(&w);
	play_close(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_renamed_directory_is_where_it_went),
		cmocka_unit_test(directories_are_made_again_when_needed),
		cmocka_unit_test(a_directory_is_never_below_itself),
	};

	/* What a peer could not do is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

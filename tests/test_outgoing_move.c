/*
 * Tests what a program does to an open file beside writing: attributes, another
 * name or directory, space. Against a peer that the test plays.
 */
#include "outgoing_fixture.h"

enum { PATIENCE_MS = 15000 };

static void open_accepted(struct play *p, struct outgoing **ret, struct got *g)
{
	play_open(p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	*ret = new_file(p, "a file");
	got_init(g, p->c);
	got_accept(g);
}

static void close_all(struct play *p, struct outgoing *o, struct got *g)
{
	outgoing_abort(o, -ECANCELED);
	outgoing_put(o);
	got_fini(g);
	play_close(p);
}

static struct wire_xattr attribute(const char *name, const void *v, size_t len)
{
	struct wire_xattr x = { .bytes = v, .len = len, .remove = v == NULL };

	snprintf(x.name, sizeof(x.name), "%s", name);
	return x;
}

static void attributes_are_operations(void **state)
{
	uint8_t *large = malloc(WIRE_XATTR_MAX);
	struct wire_xattr x;
	struct outgoing *o;
	struct told t;
	struct wire_msg m;
	struct play p;
	struct got g;

	fill(large, WIRE_XATTR_MAX, 3);
	open_accepted(&p, &o, &g);
	told_init(&t);
	x = attribute("user.large", large, WIRE_XATTR_MAX);
	assert_int_equal(outgoing_xattr(o, &x), 0);
	/* Bounded, as these are not waited for. */
	assert_int_equal(outgoing_xattr(o, &x), -ENOSPC);
	memset(large, 0, WIRE_XATTR_MAX); /* it was copied */
	m = got_next(&g, WIRE_XATTR);
	assert_string_equal(m.xattr.xattr.name, "user.large");
	assert_int_equal(m.xattr.xattr.len, WIRE_XATTR_MAX);
	fill(large, WIRE_XATTR_MAX, 3);
	assert_memory_equal(m.xattr.xattr.bytes, large, WIRE_XATTR_MAX);
	got_ack(&g, g.seq, WIRE_APPLIED, WIRE_OK);
	EVENTUALLY(outgoing_xattr(o, &x) == 0);
	x = attribute("user.empty", "", 0);
	assert_int_equal(outgoing_xattr(o, &x), 0);
	x = attribute("user.gone", NULL, 0);
	assert_int_equal(outgoing_xattr(o, &x), 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_next(&g, WIRE_XATTR);
	m = got_next(&g, WIRE_XATTR);
	assert_false(m.xattr.xattr.remove);
	assert_int_equal(m.xattr.xattr.len, 0);
	m = got_next(&g, WIRE_XATTR);
	assert_true(m.xattr.xattr.remove);
	assert_string_equal(m.xattr.xattr.name, "user.gone");
	got_publish(&g);
	assert_int_equal(told_wait(&t), 0);
	told_fini(&t);
	free(large);
	close_all(&p, o, &g);
}

/* The peer's answer to the MKDIR of the queue, so that only others follow. */
static struct outdir *new_dir(struct play *p, struct outdir *parent,
    const char *name, enum wire_code code)
{
	struct outdir *d;
	struct wire_msg m;

	assert_int_equal(outdir_new(p->peer, parent, name, 0755, &d), 0);
	m = expect(p->c, WIRE_MKDIR);
	assert_memory_equal(m.mkdir.id, outdir_id(d), WIRE_ID_BYTES);
	answer(p->c, &m, code);
	EVENTUALLY(peers_busy(p->w.peers) == 0 && has_idle_link(p->peer));
	return d;
}

static void a_move_is_an_operation(void **state)
{
	static const uint8_t top[WIRE_ID_BYTES];
	struct outdir *made;
	struct outgoing *o;
	struct told t;
	struct wire_msg m;
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	made = new_dir(&p, NULL, "made", WIRE_OK);
	o = new_file(&p, ".x.AbC123");
	write_now(o, "x", 1, 0);
	assert_int_equal(outgoing_move(o, made, "x"), 0);
	assert_int_equal(outgoing_move(o, NULL, "y"), 0);
	/* It lives as long as it is needed. */
	outdir_put(made);
	got_init(&g, p.c);
	assert_string_equal(g.offer.name, ".x.AbC123");
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	m = got_next(&g, WIRE_MOVE);
	assert_memory_equal(m.move.parent, outdir_id(made), WIRE_ID_BYTES);
	assert_string_equal(m.move.name, "x");
	m = got_next(&g, WIRE_MOVE);
	assert_memory_equal(m.move.parent, top, WIRE_ID_BYTES);
	assert_string_equal(m.move.name, "y");
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	got_publish(&g);
	assert_int_equal(told_wait(&t), 0);
	told_fini(&t);
	close_all(&p, o, &g);
}

/* Nothing has confirmed the directories: they are asked for first, and the
 * connection does not stop for it; after a cut once more. */
static void where_it_goes_is_made_first(void **state)
{
	struct outdir *top, *sub;
	struct outgoing *o;
	struct told t;
	struct wire_msg m[2];
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	top = new_dir(&p, NULL, "top", WIRE_ENOSPC);
	sub = new_dir(&p, top, "sub", WIRE_ESTALE);
	o = new_file(&p, "a file");
	write_now(o, "x", 1, 0);
	assert_int_equal(outgoing_move(o, sub, "moved"), 0);
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	for (unsigned i = 0; i < 2; i++) {
		got_init(&g, p.c);
		assert_string_equal(g.offer.name, "a file");
		got_accept(&g);
		got_next(&g, WIRE_WRITE);
		m[0] = expect(p.c, WIRE_MKDIR);
		assert_string_equal(m[0].mkdir.name, "top");
		m[1] = expect(p.c, WIRE_MKDIR);
		assert_string_equal(m[1].mkdir.name, "sub");
		assert_memory_equal(
		    m[1].mkdir.parent, outdir_id(top), WIRE_ID_BYTES);
		if (i == 0) {
			/* The COMMIT has not left: no byte of it was read. */
			mutex_lock(&o->lock);
			o->commit_sent = false;
			mutex_unlock(&o->lock);
			got_fini(&g);
			play_cut(&p);
			play_again(&p);
		}
	}
	got_next(&g, WIRE_MOVE);
	got_next(&g, WIRE_COMMIT);
	answer(p.c, &m[0], WIRE_OK);
	answer(p.c, &m[1], WIRE_OK);
	got_ack(&g, g.seq, WIRE_PUBLISHED, WIRE_OK);
	assert_int_equal(told_wait(&t), 0);
	assert_true(top->made && sub->made);
	outdir_put(sub);
	outdir_put(top);
	told_fini(&t);
	close_all(&p, o, &g);
}

static void where_it_cannot_go_is_its_error(void **state)
{
	struct outdir *dir;
	struct outgoing *o;
	struct told t;
	struct wire_msg m;
	struct play p;
	struct got g;

	play_open(&p, WIRE_POLICY_ACCEPT, PATIENCE_MS);
	told_init(&t);
	dir = new_dir(&p, NULL, "dir", WIRE_ENOSPC);
	o = new_file(&p, "a file");
	assert_int_equal(outgoing_move(o, dir, "moved"), 0);
	assert_int_equal(outgoing_checkpoint(o, &t.w), OUTGOING_PARKED);
	got_init(&g, p.c);
	got_accept(&g);
	m = expect(p.c, WIRE_MKDIR);
	got_next(&g, WIRE_MOVE);
	answer(p.c, &m, WIRE_EDQUOT);
	got_ack(&g, g.seq, WIRE_APPLIED, WIRE_ESTALE);
	assert_int_equal(told_wait(&t), -EDQUOT);
	assert_int_equal(outgoing_move(o, NULL, "x"), -EDQUOT);
	got_next(&g, WIRE_CHECKPOINT);
	assert_int_equal(expect(p.c, WIRE_ABORT).abort.tag, g.offer.tag);
	outdir_put(dir);
	told_fini(&t);
	close_all(&p, o, &g);
}

static void space_is_asked_for_in_every_way(void **state)
{
	static const struct {
		enum wire_reserve how;
		uint64_t size;
	} cases[] = { { WIRE_RESERVE_KEEP, 5 }, { WIRE_RESERVE_CHECK, 5 },
		{ WIRE_RESERVE_PUNCH, 5 }, { WIRE_RESERVE_ZERO_KEEP, 5 },
		{ WIRE_RESERVE_EXTEND, 20 }, { WIRE_RESERVE_ZERO, 30 } };
	struct outgoing *o;
	struct wire_msg m;
	struct told t;
	struct play p;
	struct got g;

	open_accepted(&p, &o, &g);
	write_now(o, "hello", 5, 0);
	got_next(&g, WIRE_WRITE);
	for (unsigned i = 0; i < N_OF(cases); i++) {
		told_init(&t);
		assert_int_equal(outgoing_reserve(o, 10, i == 5 ? 20 : 10,
				     cases[i].how, &t.w),
		    OUTGOING_PARKED);
		assert_int_equal(outgoing_size(o), cases[i].size);
		m = got_next(&g, WIRE_RESERVE);
		assert_int_equal(m.reserve.how, cases[i].how);
		got_ack(&g, g.seq, WIRE_APPLIED, WIRE_OK);
		assert_int_equal(told_wait(&t), 0);
		told_fini(&t);
	}
	/* Nobody waits for a look; that it does not fit is the next error. */
	assert_int_equal(
	    outgoing_reserve(o, 0, 1 << 20, WIRE_RESERVE_CHECK, NULL), 0);
	got_next(&g, WIRE_RESERVE);
	got_ack(&g, g.seq, WIRE_APPLIED, WIRE_ENOSPC);
	EVENTUALLY(outgoing_error(o) == -ENOSPC);
	close_all(&p, o, &g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_are_operations),
		cmocka_unit_test(a_move_is_an_operation),
		cmocka_unit_test(where_it_goes_is_made_first),
		cmocka_unit_test(where_it_cannot_go_is_its_error),
		cmocka_unit_test(space_is_asked_for_in_every_way),
	};

	/* What a peer could not do is said; here it is expected. */
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

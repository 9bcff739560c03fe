/* Transfers that wait until a person has let them in. */
#ifndef ASK_FIXTURE_H
#define ASK_FIXTURE_H

#include "outgoing_fixture.h"

#define PATIENCE_MS 1000

/* A file whose write and commit wait. */
struct waits {
	struct outgoing *o;
	struct told write, commit;
};

static inline void waits_init(struct waits *f, struct play *p, const char *name)
{
	size_t taken;

	told_init(&f->write);
	told_init(&f->commit);
	f->o = new_file(p, name);
	assert_int_equal(
	    outgoing_write(f->o, "hello", 5, 0, &f->write.w, &taken),
	    OUTGOING_PARKED);
	assert_int_equal(
	    outgoing_commit(f->o, false, &f->commit.w), OUTGOING_PARKED);
}

static inline void waits_fini(struct waits *f)
{
	outgoing_put(f->o);
	told_fini(&f->write);
	told_fini(&f->commit);
}

/* It goes on, on this connection, and ends well. */
static inline void arrives(struct waits *f, struct conn *c)
{
	struct got g;

	got_init(&g, c);
	got_accept(&g);
	got_next(&g, WIRE_WRITE);
	got_publish(&g);
	assert_int_equal(told_wait(&f->write), 5);
	assert_int_equal(told_wait(&f->commit), 0);
	assert_memory_equal(g.bytes, "hello", 5);
	got_fini(&g);
}

static inline void fails(struct waits *f, int err)
{
	assert_int_equal(told_wait(&f->write), err);
	assert_int_equal(told_wait(&f->commit), err);
	assert_int_equal(outgoing_error(f->o), err);
}

static inline void answer_ask(struct conn *c, enum wire_code code)
{
	struct wire_msg m = { .type = WIRE_ANSWER };

	m.answer.code = code;
	send_msg(c, &m);
}

static inline void expect_ask(struct play *p, const char *name)
{
	assert_string_equal(expect(p->c, WIRE_ASK).ask.name, name);
}

static inline bool is_asking(struct play *p)
{
	struct peer_info info;

	peer_info(p->peer, &info);
	return info.asking;
}

#endif

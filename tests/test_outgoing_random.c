/*
 * Random operations on one open file, through net/outgoing, real connections
 * and net/incoming into a sink in memory, beside a model of the file: what is
 * read back, and what is published, is what a local file would have. Versions
 * follow each other, with and without waiting for the commit before.
 */
#include "route_fixture.h"

enum {
	PATIENCE_MS = 15000,
	SIZE_MAX_HERE = 300 * 1000,
	OPERATIONS = 6000,
	ONCE_PER_VERSION = 400, /* operations */
	READERS = 8,
};

struct model {
	uint8_t bytes[SIZE_MAX_HERE];
	size_t size;
};

/* A reader that is on its way, and what it has to find. */
struct reading {
	struct told t;
	bool busy;
	uint8_t got[SIZE_MAX_HERE], must[SIZE_MAX_HERE];
	size_t len;
};

struct run {
	struct route route;
	struct model model;
	struct outgoing *o;
	struct told commit;
	bool committing;
	uint64_t random;
	uint8_t scratch[SIZE_MAX_HERE];
	struct reading reads[READERS];
};

static uint64_t any(struct run *r, uint64_t below)
{
	r->random = r->random * UINT64_C(6364136223846793005) + 1442695;
	return (r->random >> 33) % below;
}

/* --- the model ---------------------------------------------------------------
 */

static void model_size(struct model *m, size_t size)
{
	if (size > m->size)
		memset(m->bytes + m->size, 0, size - m->size);
	m->size = size;
}

static void model_write(
    struct model *m, const uint8_t *bytes, size_t len, size_t at)
{
	if (at + len > m->size)
		model_size(m, at + len);
	memcpy(m->bytes + at, bytes, len);
}

/* --- operations
 * --------------------------------------------------------------- */

static void settle_read(struct reading *g)
{
	if (!g->busy)
		return;
	assert_int_equal(told_wait(&g->t), g->len);
	assert_memory_equal(g->got, g->must, g->len);
	told_fini(&g->t);
	g->busy = false;
}

static void do_write(struct run *r)
{
	size_t at = any(r, SIZE_MAX_HERE - 1), taken = 0;
	size_t len = any(r, 3) ? any(r, 3000) + 1 : any(r, 200000) + 1;
	struct told t;
	int64_t n;

	if (len > SIZE_MAX_HERE - at)
		len = SIZE_MAX_HERE - at;
	fill(r->scratch, len, any(r, 1000000));
	for (size_t done = 0; done < len; done += (size_t)n) {
		told_init(&t);
		n = outgoing_write(r->o, r->scratch + done, len - done,
		    at + done, &t.w, &taken);
		n = n == 0 ? (int64_t)taken : told_result(&t, (int)n);
		told_fini(&t);
		assert_true(n > 0);
	}
	model_write(&r->model, r->scratch, len, at);
}

static void do_truncate(struct run *r)
{
	size_t size = any(r, SIZE_MAX_HERE);

	assert_int_equal(outgoing_truncate(r->o, size), 0);
	model_size(&r->model, size);
}

static void do_reserve(struct run *r)
{
	size_t at = any(r, SIZE_MAX_HERE - 1);
	size_t len = any(r, SIZE_MAX_HERE - at) + 1;
	struct told t;

	if (len > SIZE_MAX_HERE - at)
		len = SIZE_MAX_HERE - at;
	told_init(&t);
	assert_int_equal(told_result(&t, outgoing_reserve(r->o, at, len,
					     WIRE_RESERVE_EXTEND, &t.w)),
	    0);
	if (at + len > r->model.size)
		model_size(&r->model, at + len);
	told_fini(&t);
}

/* It need not have ended when the next operation is made. */
static void do_read(struct run *r)
{
	struct reading *g = &r->reads[any(r, READERS)];
	size_t at = any(r, SIZE_MAX_HERE), len = any(r, SIZE_MAX_HERE) + 1;
	size_t left = at < r->model.size ? r->model.size - at : 0;
	int n;

	settle_read(g);
	g->len = len < left ? len : left;
	memcpy(g->must, r->model.bytes + at, g->len);
	told_init(&g->t);
	n = outgoing_read(r->o, g->got, len, at, &g->t.w);
	assert_int_equal(n, g->len ? OUTGOING_PARKED : 0);
	g->busy = n == OUTGOING_PARKED;
	if (!g->busy)
		told_fini(&g->t);
}

static void do_checkpoint(struct run *r)
{
	struct told t;

	told_init(&t);
	assert_int_equal(told_result(&t, outgoing_checkpoint(r->o, &t.w)), 0);
	told_fini(&t);
}

/* --- versions
 * ------------------------------------------------------------------ */

static void wait_commit(struct run *r)
{
	if (!r->committing)
		return;
	assert_int_equal(told_wait(&r->commit), 0);
	told_fini(&r->commit);
	r->committing = false;
}

static void begin(struct run *r, struct outgoing *after)
{
	struct outgoing_plan plan = {
		.name = "a file", .mode = 0640, .size = WIRE_SIZE_UNKNOWN
	};

	if (after && r->committing) {
		plan.after = after;
	} else if (after) {
		plan.base = outgoing_id(after);
		plan.base_size = outgoing_size(after);
	}
	assert_int_equal(outgoing_new(r->route.peer, &plan, &r->o), 0);
	assert_int_equal(outgoing_size(r->o), r->model.size);
}

static void do_version(struct run *r)
{
	struct outgoing *last = r->o;

	wait_commit(r);
	told_init(&r->commit);
	assert_int_equal(
	    outgoing_commit(last, any(r, 2), &r->commit.w), OUTGOING_PARKED);
	r->committing = true;
	if (any(r, 2))
		wait_commit(r);
	begin(r, last);
	outgoing_put(last);
	/* Or reading it would be reading what is delivered. */
	do_write(r);
}

static void one_run(uint64_t seed)
{
	struct run *r = calloc(1, sizeof(*r));
	struct memory_published *p;

	r->random = seed;
	route_open(&r->route, PATIENCE_MS, 0, 0);
	begin(r, NULL);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		unsigned what = (unsigned)any(r, ONCE_PER_VERSION);

		if (what == 0)
			do_version(r);
		else if (what <= 40)
			do_truncate(r);
		else if (what <= 45)
			do_checkpoint(r);
		else if (what <= 60)
			do_reserve(r);
		else if (what <= 200)
			do_read(r);
		else
			do_write(r);
	}
	for (unsigned i = 0; i < READERS; i++)
		settle_read(&r->reads[i]);
	wait_commit(r);
	told_init(&r->commit);
	assert_int_equal(
	    outgoing_commit(r->o, false, &r->commit.w), OUTGOING_PARKED);
	r->committing = true;
	wait_commit(r);
	p = r->route.sink.published;
	assert_non_null(p);
	assert_null(p->next);
	assert_memory_equal(p->id, outgoing_id(r->o), WIRE_ID_BYTES);
	assert_int_equal(p->content.size, r->model.size);
	assert_memory_equal(p->content.bytes, r->model.bytes, r->model.size);
	outgoing_put(r->o);
	route_close(&r->route);
	free(r);
}

static void a_file_there_is_as_a_file_here(void **state)
{
	const char *given = getenv("GTFS_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)now_ms();

	fprintf(stderr, "GTFS_TEST_SEED=%llu\n", (unsigned long long)seed);
	one_run(seed);
	one_run(20260101);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_there_is_as_a_file_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

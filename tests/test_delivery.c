/*
 * Tests net/outgoing and net/incoming with each other, over net/listener and
 * net/link: many transfers at once, and a disk that fails at every call.
 */
#include "route_fixture.h"

#include "request.h"

enum { PATIENCE_MS = 15000, SHORT_MS = 500 };

/* A new file at the top. */
static int begin(
    struct peer *peer, const char *name, uint64_t size, struct outgoing **ret)
{
	struct outgoing_plan plan = {
		.name = name, .mode = 0640, .size = size
	};

	return outgoing_new(peer, &plan, ret);
}

enum { ALL_CALLS = 12, WAITED = 5 };

/*
 * A program's calls, each waited for, until one fails: its errno, and the
 * sticky one, and that of close are the same. ALL_CALLS of the sink.
 */
static int send_everything(struct peer *peer)
{
	struct wire_meta meta = { .mask = WIRE_META_MODE, .mode = 0600 };
	struct wire_xattr x = {
		.name = "user.colour", .bytes = (const uint8_t *)"red", .len = 3
	};
	struct told t[WAITED];
	struct outgoing *o;
	size_t taken;
	int64_t r[WAITED];

	assert_int_equal(begin(peer, "a file", WIRE_SIZE_UNKNOWN, &o), 0);
	for (unsigned i = 0; i < WAITED; i++)
		told_init(&t[i]);
	r[0] = told_result(
	    &t[0], outgoing_write(o, "hello world", 11, 0, &t[0].w, &taken));
	outgoing_truncate(o, 7);
	r[1] = told_result(
	    &t[1], outgoing_reserve(o, 0, 100, WIRE_RESERVE_KEEP, &t[1].w));
	outgoing_meta(o, &meta);
	outgoing_xattr(o, &x);
	r[2] = told_result(&t[2], outgoing_checkpoint(o, &t[2].w));
	r[3] = told_result(
	    &t[3], outgoing_write(o, "there", 5, 6, &t[3].w, &taken));
	outgoing_move(o, NULL, "its name");
	r[4] = told_result(&t[4], outgoing_commit(o, false, &t[4].w));
	for (unsigned i = 0; i < WAITED; i++) {
		/* Once an error, always this error. */
		if (i && r[i - 1] < 0)
			assert_int_equal(r[i], r[i - 1]);
		assert_in_range(told_times(&t[i]), 0, 1);
		told_fini(&t[i]);
	}
	assert_int_equal(outgoing_error(o), r[4]);
	assert_int_equal(outgoing_published(o), r[4] == 0);
	assert_false(outgoing_held(o));
	outgoing_put(o);
	return (int)r[4];
}

static void every_failing_call_is_the_errno_of_close(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EFBIG, EROFS, ESTALE,
		EMFILE, ENOMEM, EINVAL, EPERM };
	struct memory_published *p;
	struct route r;

	for (unsigned n = 1; n <= ALL_CALLS + 1; n++) {
		int error = -errors[n % N_OF(errors)];

		route_open(&r, PATIENCE_MS, n, error);
		assert_int_equal(
		    send_everything(r.peer), n <= ALL_CALLS ? error : 0);
		if (n <= ALL_CALLS) {
			assert_null(r.sink.published);
			/* The same connection carries the next one. */
			assert_int_equal(send_everything(r.peer), 0);
		}
		p = r.sink.published;
		assert_non_null(p);
		assert_null(p->next);
		assert_string_equal(p->name, "its name");
		assert_int_equal(p->content.mode, 0600);
		assert_int_equal(p->content.size, 11);
		assert_memory_equal(p->content.bytes, "hello there", 11);
		assert_string_equal(p->content.xattr, "user.colour");
		assert_memory_equal(p->content.value, "red", 3);
		route_close(&r);
	}
}

enum { PROGRAMS = 4, FILES = 12, FILE_BYTES = 700 * 1000 };

struct program {
	struct peer *peer;
	unsigned n;
	pthread_t thread;
	int result;
};

/* As cp: short writes are gone on with, parked ones waited for. */
static int copy(struct peer *peer, uint64_t what)
{
	uint8_t *bytes = malloc(FILE_BYTES);
	struct outgoing *o;
	uint64_t at = 0;
	char name[32];
	int64_t r;

	fill(bytes, FILE_BYTES, what * FILE_BYTES);
	snprintf(name, sizeof(name), "%u", (unsigned)what);
	r = begin(peer, name, FILE_BYTES, &o);
	while (!r && at <= FILE_BYTES) {
		size_t taken = 0;
		struct told t;

		told_init(&t);
		if (at < FILE_BYTES) {
			r = told_result(
			    &t, outgoing_write(o, bytes + at, FILE_BYTES - at,
				    at, &t.w, &taken));
			at += r > 0 ? (uint64_t)r : taken;
			r = r < 0 ? r : 0;
		} else {
			r = told_result(&t, outgoing_commit(o, false, &t.w));
			at++;
		}
		told_fini(&t);
	}
	outgoing_put(o);
	free(bytes);
	return (int)r;
}

static void *copy_files(void *arg)
{
	struct program *p = arg;

	for (unsigned i = 0; i < FILES && !p->result; i++)
		p->result = copy(p->peer, p->n * FILES + i);
	return NULL;
}

static void many_files_arrive_whole(void **state)
{
	struct program programs[PROGRAMS];
	bool seen[PROGRAMS * FILES] = { false };
	uint8_t *want = malloc(FILE_BYTES);
	struct memory_published *p;
	unsigned n = 0;
	struct route r;

	route_open(&r, PATIENCE_MS, 0, 0);
	for (unsigned i = 0; i < PROGRAMS; i++) {
		programs[i] = (struct program){ .peer = r.peer, .n = i };
		assert_int_equal(thread_start(&programs[i].thread, "program",
				     copy_files, &programs[i]),
		    0);
	}
	for (unsigned i = 0; i < PROGRAMS; i++) {
		pthread_join(programs[i].thread, NULL);
		assert_int_equal(programs[i].result, 0);
	}
	for (p = r.sink.published; p; p = p->next, n++) {
		unsigned long what = strtoul(p->name, NULL, 10);

		assert_in_range(what, 0, PROGRAMS * FILES - 1);
		assert_false(seen[what]);
		seen[what] = true;
		assert_int_equal(p->content.size, FILE_BYTES);
		fill(want, FILE_BYTES, what * FILE_BYTES);
		assert_memory_equal(p->content.bytes, want, FILE_BYTES);
	}
	assert_int_equal(n, PROGRAMS * FILES);
	free(want);
	route_close(&r);
}

static void many_empty_files_at_once(void **state)
{
	enum { MANY = 200 };
	struct outgoing *o[MANY];
	struct told t[MANY];
	struct route r;

	route_open(&r, PATIENCE_MS, 0, 0);
	for (unsigned i = 0; i < MANY; i++) {
		told_init(&t[i]);
		assert_int_equal(begin(r.peer, "empty", 0, &o[i]), 0);
		assert_int_equal(
		    outgoing_commit(o[i], false, &t[i].w), OUTGOING_PARKED);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(told_wait(&t[i]), 0);
		outgoing_put(o[i]);
		told_fini(&t[i]);
	}
	assert_int_equal(memory_sink_read(&r.sink, &r.sink.commits), MANY);
	route_close(&r);
}

static void the_receiver_ends_in_the_middle(void **state)
{
	struct outgoing *o;
	struct told t;
	struct route r;
	size_t taken;

	route_open(&r, SHORT_MS, 0, 0);
	told_init(&t);
	memory_sink_block(&r.sink, MEMORY_WRITE);
	assert_int_equal(begin(r.peer, "x", 9, &o), 0);
	assert_int_equal(outgoing_write(o, "x", 1, 0, &t.w, &taken), 0);
	EVENTUALLY(memory_sink_read(&r.sink, &r.sink.waiting));
	assert_int_equal(outgoing_commit(o, false, &t.w), OUTGOING_PARKED);
	memory_sink_block(&r.sink, 0);
	listener_stop(r.listener);
	/* The keeper's clock ends what waits for its return. */
	EVENTUALLY((peers_tick(r.w.peers), told_times(&t)));
	/* Published, and then it is there; or an error, and it may not be. */
	assert_true(told_wait(&t) == 0 ||
		    (t.result == -ETIMEDOUT && !outgoing_published(o)));
	if (t.result == 0)
		assert_non_null(r.sink.published);
	outgoing_put(o);
	told_fini(&t);
	route_close(&r);
}

/* --- reads, versions, what is held -----------------------------------------
 */

/* What a read by a program comes to: the count of bytes, or -errno. */
static int64_t read_back(
    struct outgoing *o, void *buf, size_t len, uint64_t offset)
{
	struct told t;
	int64_t r;

	told_init(&t);
	r = told_result(&t, outgoing_read(o, buf, len, offset, &t.w));
	told_fini(&t);
	return r;
}

static void write_now(struct outgoing *o, const char *text, uint64_t offset)
{
	struct told t;
	size_t taken;
	int64_t r;

	told_init(&t);
	r = told_result(
	    &t, outgoing_write(o, text, strlen(text), offset, &t.w, &taken));
	assert_true(r >= 0);
	told_fini(&t);
}

static int commit_now(struct outgoing *o, bool hold)
{
	struct told t;
	int64_t r;

	told_init(&t);
	r = told_result(&t, outgoing_commit(o, hold, &t.w));
	told_fini(&t);
	return (int)r;
}

static void a_program_reads_what_it_wrote(void **state)
{
	struct outgoing *o;
	struct route r;
	char buf[100];

	route_open(&r, PATIENCE_MS, 0, 0);
	assert_int_equal(begin(r.peer, "x", 9, &o), 0);
	write_now(o, "hello", 0);
	assert_int_equal(read_back(o, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "hello", 5);
	for (unsigned i = 0; i < 50; i++) {
		char text[2] = { (char)('a' + i % 26), '\0' };

		write_now(o, text, i);
		assert_int_equal(read_back(o, buf, 1, i), 1);
		assert_int_equal(buf[0], text[0]);
	}
	assert_int_equal(read_back(o, buf, 10, 50), 0);
	/* One that fails is no end of the file. */
	mutex_lock(&r.sink.lock);
	r.sink.fail_at = r.sink.calls + 1;
	r.sink.fail_with = -EIO;
	mutex_unlock(&r.sink.lock);
	assert_int_equal(read_back(o, buf, 10, 0), -EIO);
	assert_int_equal(read_back(o, buf, 10, 40), 10);
	assert_int_equal(commit_now(o, false), 0);
	assert_int_equal(read_back(o, buf, 10, 0), -EACCES);
	outgoing_put(o);
	assert_int_equal(r.sink.published->content.size, 50);
	route_close(&r);
}

/* Somebody who waits for a request. */
struct asked {
	struct request_waiter w; /* first */
	struct told told;
};

static void asked_done(struct request_waiter *w, int result)
{
	struct asked *a = (struct asked *)w;

	told_done(&a->told.w, result);
}

static void asked_init(struct asked *a)
{
	memset(a, 0, sizeof(*a));
	a->w.done = asked_done;
	told_init(&a->told);
}

static int asked_result(struct asked *a, int r)
{
	if (!r)
		r = (int)told_wait(&a->told);
	told_fini(&a->told);
	return r;
}

/* What the sink has of that id: 0 nothing, 1 shown, 2 held, under that name. */
static unsigned there_is(struct route *r, const uint8_t *id, const char *name)
{
	struct memory_published *p;
	unsigned is = 0;

	mutex_lock(&r->sink.lock);
	p = memory_find_locked(&r->sink, id);
	if (p && !strcmp(p->name, name))
		is = p->held ? 2 : 1;
	mutex_unlock(&r->sink.lock);
	return is;
}

static unsigned published(struct route *r)
{
	struct memory_published *p;
	unsigned n = 0;

	mutex_lock(&r->sink.lock);
	for (p = r->sink.published; p; p = p->next)
		n++;
	mutex_unlock(&r->sink.lock);
	return n;
}

static void what_is_held_is_renamed_shown_and_taken_back(void **state)
{
	uint8_t id[WIRE_ID_BYTES];
	struct outgoing *o;
	struct asked a;
	struct route r;

	route_open(&r, PATIENCE_MS, 0, 0);
	assert_int_equal(begin(r.peer, "x.tmp", 1, &o), 0);
	memcpy(id, outgoing_id(o), sizeof(id));
	write_now(o, "x", 0);
	assert_int_equal(commit_now(o, true), 0);
	assert_true(outgoing_published(o));
	assert_true(outgoing_held(o));
	outgoing_put(o);
	assert_int_equal(there_is(&r, id, "x.tmp"), 2);
	asked_init(&a);
	assert_int_equal(asked_result(&a, request_rename(r.peer, id, NULL,
					      "y.tmp", true, &a.w)),
	    0);
	assert_int_equal(there_is(&r, id, "y.tmp"), 2);
	asked_init(&a);
	assert_int_equal(asked_result(&a, request_show(r.peer, id, &a.w)), 0);
	assert_int_equal(there_is(&r, id, "y.tmp"), 1);
	asked_init(&a);
	assert_int_equal(asked_result(&a, request_rename(r.peer, id, NULL, "y",
					      false, &a.w)),
	    0);
	assert_int_equal(there_is(&r, id, "y"), 1);
	assert_int_equal(request_withdraw(r.peer, id), 0);
	EVENTUALLY(!there_is(&r, id, "y"));
	asked_init(&a);
	assert_int_equal(
	    asked_result(&a, request_show(r.peer, id, &a.w)), -ENOENT);
	route_close(&r);
}

static void a_version_begins_where_the_last_one_ended(void **state)
{
	struct outgoing_plan plan = { .name = "x", .mode = 0640 };
	uint8_t id[WIRE_ID_BYTES];
	struct outgoing *o;
	struct route r;
	char buf[20];

	route_open(&r, PATIENCE_MS, 0, 0);
	assert_int_equal(begin(r.peer, "x", 5, &o), 0);
	memcpy(id, outgoing_id(o), sizeof(id));
	write_now(o, "hello", 0);
	assert_int_equal(commit_now(o, false), 0);
	outgoing_put(o);
	plan.base = id;
	plan.base_size = 5;
	assert_int_equal(outgoing_new(r.peer, &plan, &o), 0);
	write_now(o, " world", 5);
	assert_int_equal(read_back(o, buf, sizeof(buf), 0), 11);
	assert_memory_equal(buf, "hello world", 11);
	assert_int_equal(commit_now(o, false), 0);
	outgoing_put(o);
	assert_int_equal(there_is(&r, id, "x"), 0);
	assert_int_equal(r.sink.published->content.size, 11);
	/* Its place has been taken: the old one is no base any more. */
	assert_int_equal(outgoing_new(r.peer, &plan, &o), 0);
	assert_int_equal(commit_now(o, false), -ESTALE);
	outgoing_put(o);
	assert_int_equal(r.sink.published->content.size, 11);
	route_close(&r);
}

/* The writer is killed while its COMMIT is on its way. */
static void what_is_aborted_is_taken_back(void **state)
{
	struct outgoing *o;
	struct route r;
	struct told t;

	for (unsigned hold = 0; hold < 2; hold++) {
		route_open(&r, PATIENCE_MS, 0, 0);
		told_init(&t);
		assert_int_equal(begin(r.peer, "x", 1, &o), 0);
		memory_sink_block(&r.sink, MEMORY_WRITE);
		write_now(o, "x", 0);
		EVENTUALLY(memory_sink_read(&r.sink, &r.sink.waiting));
		assert_int_equal(
		    outgoing_commit(o, hold, &t.w), OUTGOING_PARKED);
		outgoing_abort(o, -ECANCELED);
		assert_int_equal(told_wait(&t), -ECANCELED);
		memory_sink_block(&r.sink, 0);
		outgoing_put(o);
		EVENTUALLY(memory_sink_rests(&r.sink) &&
			   !memory_sink_read(&r.sink, &r.sink.waiting));
		/* A next file: whatever came before has been done. */
		assert_int_equal(send_everything(r.peer), 0);
		EVENTUALLY(published(&r) == 1);
		assert_string_equal(r.sink.published->name, "its name");
		told_fini(&t);
		route_close(&r);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failing_call_is_the_errno_of_close),
		cmocka_unit_test(many_files_arrive_whole),
		cmocka_unit_test(many_empty_files_at_once),
		cmocka_unit_test(the_receiver_ends_in_the_middle),
		cmocka_unit_test(a_program_reads_what_it_wrote),
		cmocka_unit_test(what_is_held_is_renamed_shown_and_taken_back),
		cmocka_unit_test(a_version_begins_where_the_last_one_ended),
		cmocka_unit_test(what_is_aborted_is_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

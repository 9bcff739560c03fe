/*
 * What the tests of the inbox share: a fake home in a temporary directory with
 * an inbox and things beside it that must never change, and short ways to send
 * a file or a directory.
 */
#ifndef INBOX_FIXTURE_H
#define INBOX_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inbox.h"

#define UNUSED __attribute__((unused))

struct fixture {
	char home[256];  /* holds inbox, canary, and what a test adds */
	char inbox[300]; /* the path of the inbox */
	char spool[350];
	struct inbox *in;
	struct sink *sink;
	uint64_t quota_bytes, quota_files; /* of every sender; 0: the default */
	bool (*is_over)(void *fx);
	pthread_mutex_t lock; /* of what follows */
	unsigned arrived;
	char last_path[600];
	char last_peer[300];
	uint64_t last_size;
};

static const uint8_t ALICE[IDENTITY_KEY_BYTES] = { 0xa1, 1 };
static const uint8_t BOB[IDENTITY_KEY_BYTES] UNUSED = { 0xb0, 2 };

static inline int remove_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void put_file(
    const char *dir, const char *name, const char *content)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Does dir/name hold exactly content? */
static inline void assert_content(
    const char *dir, const char *name, const char *content)
{
	char path[PATH_MAX], got[4096];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	n = fread(got, 1, sizeof(got), f);
	fclose(f);
	assert_int_equal(n, strlen(content));
	assert_memory_equal(got, content, n);
}

/* The number of entries of a directory, the spool not counted. */
static inline int entries(const char *dir)
{
	const struct dirent *e;
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		     strcmp(e->d_name, INBOX_SPOOL_NAME);
	closedir(d);
	return n;
}

static inline void note_arrival(
    void *ctx, const char *path, const char *peer, uint64_t size)
{
	struct fixture *fx = ctx;

	/* Several threads may deliver at once. */
	pthread_mutex_lock(&fx->lock);
	fx->arrived++;
	snprintf(fx->last_path, sizeof(fx->last_path), "%s", path);
	snprintf(fx->last_peer, sizeof(fx->last_peer), "%s", peer);
	fx->last_size = size;
	pthread_mutex_unlock(&fx->lock);
}

static inline int open_inbox(struct fixture *fx, bool durable)
{
	struct inbox_config config = {
		.durable = durable, .arrived = note_arrival, .ctx = fx
	};
	int r = inbox_open(fx->inbox, &config, &fx->in);

	if (!r)
		fx->sink = inbox_sink(fx->in);
	return r;
}

static inline int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(fx);
	pthread_mutex_init(&fx->lock, NULL);
	snprintf(fx->home, sizeof(fx->home), "%s/gtfs-inbox-XXXXXX",
	    tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(fx->home));
	snprintf(fx->inbox, sizeof(fx->inbox), "%s/inbox", fx->home);
	snprintf(
	    fx->spool, sizeof(fx->spool), "%s/%s", fx->inbox, INBOX_SPOOL_NAME);
	put_file(fx->home, "canary", "sings");
	assert_int_equal(open_inbox(fx, true), 0);
	*state = fx;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *fx = *state;

	inbox_close(fx->in);
	remove_tree(fx->home);
	free(fx);
	return 0;
}

/* A transfer id that differs for every n; never zeros. */
static inline void make_id(unsigned n, uint8_t ret[WIRE_ID_BYTES])
{
	memset(ret, 0x5a, WIRE_ID_BYTES);
	memcpy(ret, &n, sizeof(n));
}

/* parent 0: the top; base 0: none. */
static inline int start_version(struct fixture *fx, const uint8_t *sender,
    unsigned id, unsigned base, unsigned parent, const char *name,
    struct sink_file **ret)
{
	struct wire_offer offer = { .mode = 0644, .size = WIRE_SIZE_UNKNOWN };
	struct sink_offer o = { .peer = "laptop",
		.offer = &offer,
		.quota_bytes = fx->quota_bytes,
		.quota_files = fx->quota_files,
		.is_over = fx->is_over,
		.ctx = fx };

	memcpy(o.sender, sender, sizeof(o.sender));
	make_id(id, offer.id);
	if (parent)
		make_id(parent, offer.parent);
	if (base)
		make_id(base, offer.base);
	snprintf(offer.name, sizeof(offer.name), "%s", name);
	return fx->sink->ops->open(fx->sink, &o, ret);
}

static inline int start(struct fixture *fx, const uint8_t *sender, unsigned id,
    unsigned parent, const char *name, struct sink_file **ret)
{
	return start_version(fx, sender, id, 0, parent, name, ret);
}

/* Sends m as a request; the caller has filled in what it asks. */
static inline int ask(
    struct fixture *fx, const uint8_t *sender, const struct wire_msg *m)
{
	struct wire_offer none = { .tag = 0 };
	struct sink_offer o = { .peer = "laptop",
		.offer = &none,
		.quota_bytes = fx->quota_bytes,
		.quota_files = fx->quota_files };

	memcpy(o.sender, sender, sizeof(o.sender));
	return fx->sink->ops->request(fx->sink, &o, m);
}

static inline int make_dir(struct fixture *fx, const uint8_t *sender,
    unsigned id, unsigned parent, const char *name)
{
	struct wire_msg m = { .type = WIRE_MKDIR, .mkdir.mode = 0755 };

	make_id(id, m.mkdir.id);
	if (parent)
		make_id(parent, m.mkdir.parent);
	snprintf(m.mkdir.name, sizeof(m.mkdir.name), "%s", name);
	return ask(fx, sender, &m);
}

static inline int patch_id(struct fixture *fx, const uint8_t *sender,
    unsigned id, const struct wire_meta *meta)
{
	struct wire_msg m = { .type = WIRE_PATCH, .patch.meta = *meta };

	make_id(id, m.patch.id);
	return ask(fx, sender, &m);
}

static inline UNUSED int rename_id(struct fixture *fx, const uint8_t *sender,
    unsigned id, unsigned parent, const char *name, bool hold)
{
	struct wire_msg m = { .type = WIRE_RENAME, .rename.hold = hold };

	make_id(id, m.rename.id);
	if (parent)
		make_id(parent, m.rename.parent);
	snprintf(m.rename.name, sizeof(m.rename.name), "%s", name);
	return ask(fx, sender, &m);
}

static inline UNUSED int show_id(
    struct fixture *fx, const uint8_t *sender, unsigned id)
{
	struct wire_msg m = { .type = WIRE_SHOW };

	make_id(id, m.show.id);
	return ask(fx, sender, &m);
}

static inline UNUSED int withdraw_id(
    struct fixture *fx, const uint8_t *sender, unsigned id)
{
	struct wire_msg m = { .type = WIRE_WITHDRAW };

	make_id(id, m.withdraw.id);
	return ask(fx, sender, &m);
}

/* Ends f with a commit, or an abort where that fails. */
static inline int finish(
    struct sink_file *f, bool hold, char ret_name[WIRE_NAME_MAX + 1])
{
	int r = f->ops->commit(f, hold, ret_name);

	if (r < 0)
		f->ops->abort(f);
	else
		f->ops->close(f);
	return r;
}

/* Sends a whole small file; aborts after a failure. The first error, 0, or
 * SINK_RECEIVED. */
static inline int deliver_as(struct fixture *fx, const uint8_t *sender,
    unsigned id, unsigned parent, const char *name, const char *content,
    bool hold, char ret_name[WIRE_NAME_MAX + 1])
{
	struct sink_file *f;
	int r = start(fx, sender, id, parent, name, &f);

	if (r)
		return r;
	r = f->ops->write(f, content, strlen(content), 0);
	if (!r)
		return finish(f, hold, ret_name);
	f->ops->abort(f);
	return r;
}

static inline int deliver(struct fixture *fx, const uint8_t *sender,
    unsigned id, unsigned parent, const char *name, const char *content,
    char ret_name[WIRE_NAME_MAX + 1])
{
	return deliver_as(
	    fx, sender, id, parent, name, content, false, ret_name);
}

#endif

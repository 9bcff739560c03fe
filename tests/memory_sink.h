/*
 * A sink that keeps files in memory and fails at the call that it is told to.
 * It frees what it is told to free, so that a sanitizer sees a spool that is
 * ended twice, used afterwards, or forgotten.
 */
#ifndef MEMORY_SINK_H
#define MEMORY_SINK_H

#include "net_fixture.h"
#include "sink.h"

struct memory_published {
	struct memory_published *next;
	char name[WIRE_NAME_MAX + 1];
	uint8_t id[WIRE_ID_BYTES];
	uint8_t *bytes;
	size_t size;
	uint32_t mode;
};

struct memory_sink {
	struct sink base; /* first */
	struct mutex lock;
	struct cond cond;
	unsigned calls, fail_at; /* the call that fails; 0: none */
	int fail_with;           /* negative errno */
	bool held;               /* writes wait until it is false */
	unsigned waiting;        /* of them */
	unsigned opened, aborted, closed, checkpoints, commits, dirs, patches;
	uint8_t sender[IDENTITY_KEY_BYTES]; /* of the last one */
	char peer[WIRE_PEER_NAME_MAX + 1];
	struct wire_offer offer;
	struct wire_mkdir dir;
	struct wire_meta meta; /* of the last META or PATCH */
	struct memory_published *published;
};

struct memory_file {
	struct sink_file base; /* first */
	struct memory_sink *sink;
	struct wire_offer offer;
	uint32_t mode;
	uint8_t *bytes;
	size_t size;
	bool broken; /* only abort may follow */
	bool committed;
};

/* The next call: 0, or the error that it is to end with. */
static inline int memory_call(struct memory_sink *s)
{
	int r;

	mutex_lock(&s->lock);
	r = ++s->calls == s->fail_at ? s->fail_with : 0;
	mutex_unlock(&s->lock);
	return r;
}

static inline void memory_count(struct memory_sink *s, unsigned *count)
{
	mutex_lock(&s->lock);
	++*count;
	cond_broadcast(&s->cond);
	mutex_unlock(&s->lock);
}

static inline int memory_file_call(struct sink_file *base)
{
	struct memory_file *f = (struct memory_file *)base;
	int r;

	if (f->broken || f->committed)
		abort(); /* the contract of sink.h is broken */
	r = memory_call(f->sink);
	f->broken = r != 0;
	return r;
}

static inline int memory_open(
    struct sink *base, const struct sink_offer *o, struct sink_file **ret)
{
	struct memory_sink *s = (struct memory_sink *)base;
	struct memory_file *f;
	int r = memory_call(s);

	if (r)
		return r;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->base.ops = base->ops;
	f->sink = s;
	f->offer = *o->offer;
	f->mode = o->offer->mode;
	mutex_lock(&s->lock);
	s->offer = *o->offer;
	memcpy(s->sender, o->sender, sizeof(s->sender));
	snprintf(s->peer, sizeof(s->peer), "%s", o->peer);
	mutex_unlock(&s->lock);
	memory_count(s, &s->opened);
	*ret = &f->base;
	return 0;
}

static inline int memory_resize(struct memory_file *f, uint64_t size)
{
	uint8_t *bytes;

	if (size > 64 << 20)
		return -EFBIG;
	bytes = realloc(f->bytes, size ? size : 1);
	if (!bytes)
		return -ENOMEM;
	if (size > f->size)
		memset(bytes + f->size, 0, size - f->size);
	f->bytes = bytes;
	f->size = size;
	return 0;
}

static inline int memory_write(
    struct sink_file *base, const void *bytes, size_t len, uint64_t offset)
{
	struct memory_file *f = (struct memory_file *)base;
	struct memory_sink *s = f->sink;
	int r = memory_file_call(base);

	mutex_lock(&s->lock);
	s->waiting++;
	cond_broadcast(&s->cond);
	while (s->held)
		cond_wait(&s->cond, &s->lock);
	s->waiting--;
	mutex_unlock(&s->lock);
	if (!r && offset + len > f->size)
		r = memory_resize(f, offset + len);
	if (!r)
		memcpy(f->bytes + offset, bytes, len);
	return r;
}

static inline int memory_truncate(struct sink_file *base, uint64_t size)
{
	int r = memory_file_call(base);

	return r ? r : memory_resize((struct memory_file *)base, size);
}

static inline int memory_reserve(
    struct sink_file *base, uint64_t offset, uint64_t len, int keep_size)
{
	struct memory_file *f = (struct memory_file *)base;
	int r = memory_file_call(base);

	if (r || keep_size || offset + len <= f->size)
		return r;
	return memory_resize(f, offset + len);
}

static inline int memory_set_meta(
    struct sink_file *base, const struct wire_meta *m)
{
	struct memory_file *f = (struct memory_file *)base;
	int r = memory_file_call(base);

	if (r)
		return r;
	if (m->mask & WIRE_META_MODE)
		f->mode = m->mode;
	mutex_lock(&f->sink->lock);
	f->sink->meta = *m;
	mutex_unlock(&f->sink->lock);
	return 0;
}

static inline int memory_size(struct sink_file *base, uint64_t *ret)
{
	int r = memory_file_call(base);

	if (!r)
		*ret = ((struct memory_file *)base)->size;
	return r;
}

static inline int memory_checkpoint(struct sink_file *base)
{
	struct memory_sink *s = ((struct memory_file *)base)->sink;

	memory_count(s, &s->checkpoints);
	return memory_file_call(base);
}

static inline int memory_commit(
    struct sink_file *base, char ret_name[WIRE_NAME_MAX + 1])
{
	struct memory_file *f = (struct memory_file *)base;
	struct memory_sink *s = f->sink;
	struct memory_published *p;
	int r;

	memory_count(s, &s->commits);
	r = memory_file_call(base);
	if (r)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	strcpy(p->name, f->offer.name);
	strcpy(ret_name, f->offer.name);
	memcpy(p->id, f->offer.id, sizeof(p->id));
	p->bytes = f->bytes;
	p->size = f->size;
	p->mode = f->mode;
	f->bytes = NULL;
	f->committed = true;
	mutex_lock(&s->lock);
	p->next = s->published;
	s->published = p;
	mutex_unlock(&s->lock);
	return 0;
}

static inline void memory_abort(struct sink_file *base)
{
	struct memory_file *f = (struct memory_file *)base;

	if (!f)
		return;
	if (f->committed)
		abort(); /* the contract of sink.h is broken */
	memory_count(f->sink, &f->sink->aborted);
	free(f->bytes);
	free(f);
}

static inline void memory_close(struct sink_file *base)
{
	struct memory_file *f = (struct memory_file *)base;

	if (!f->committed)
		abort(); /* the contract of sink.h is broken */
	memory_count(f->sink, &f->sink->closed);
	free(f);
}

static inline int memory_mkdir(struct sink *base, const struct sink_offer *from,
    const struct wire_mkdir *m)
{
	struct memory_sink *s = (struct memory_sink *)base;
	int r = memory_call(s);

	if (r)
		return r;
	mutex_lock(&s->lock);
	s->dir = *m;
	memcpy(s->sender, from->sender, sizeof(s->sender));
	mutex_unlock(&s->lock);
	memory_count(s, &s->dirs);
	return 0;
}

static inline int memory_patch(struct sink *base,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    const struct wire_meta *m)
{
	struct memory_sink *s = (struct memory_sink *)base;
	int r = memory_call(s);

	if (r)
		return r;
	mutex_lock(&s->lock);
	s->meta = *m;
	memcpy(s->sender, sender, sizeof(s->sender));
	mutex_unlock(&s->lock);
	memory_count(s, &s->patches);
	return 0;
}

static inline int memory_space(struct sink *base, struct sink_space *ret)
{
	*ret = (struct sink_space){ 11, 22, 33, 44 };
	return 0;
}

static const struct sink_ops memory_ops = {
	.open = memory_open,
	.write = memory_write,
	.truncate = memory_truncate,
	.reserve = memory_reserve,
	.set_meta = memory_set_meta,
	.size = memory_size,
	.checkpoint = memory_checkpoint,
	.commit = memory_commit,
	.abort = memory_abort,
	.close = memory_close,
	.mkdir = memory_mkdir,
	.patch = memory_patch,
	.space = memory_space,
};

static inline void memory_sink_init(struct memory_sink *s)
{
	memset(s, 0, sizeof(*s));
	s->base.ops = &memory_ops;
	mutex_init(&s->lock);
	cond_init(&s->cond);
}

static inline void memory_sink_fini(struct memory_sink *s)
{
	struct memory_published *p;

	while ((p = s->published)) {
		s->published = p->next;
		free(p->bytes);
		free(p);
	}
	cond_fini(&s->cond);
	mutex_fini(&s->lock);
}

/* Writes wait from now on, or go on. */
static inline void memory_sink_hold(struct memory_sink *s, bool held)
{
	mutex_lock(&s->lock);
	s->held = held;
	cond_broadcast(&s->cond);
	mutex_unlock(&s->lock);
}

static inline unsigned memory_sink_read(
    struct memory_sink *s, const unsigned *count)
{
	unsigned n;

	mutex_lock(&s->lock);
	n = *count;
	mutex_unlock(&s->lock);
	return n;
}

/* Every spool has ended: as a file, or not at all. */
static inline bool memory_sink_rests(struct memory_sink *s)
{
	bool rests;

	mutex_lock(&s->lock);
	rests = s->opened == s->aborted + s->closed;
	mutex_unlock(&s->lock);
	return rests;
}

#endif

/*
 * A sink that keeps files in memory and fails at the call that it is told to.
 * It frees what it is told to free, so that a sanitizer sees a spool that is
 * ended twice, used afterwards, or forgotten.
 */
#ifndef MEMORY_SINK_H
#define MEMORY_SINK_H

#include "net_fixture.h"
#include "sink.h"

/* What a file consists of. */
struct memory_content {
	uint8_t *bytes;
	size_t size;
	uint32_t mode;
	char xattr[WIRE_XATTR_NAME_MAX + 1]; /* the only one, or "" */
	uint8_t *value;
	size_t value_len;
};

struct memory_published {
	struct memory_published *next;
	char name[WIRE_NAME_MAX + 1];
	uint8_t parent[WIRE_ID_BYTES];
	uint8_t id[WIRE_ID_BYTES];
	struct memory_content content;
	bool held; /* not shown yet */
};

/* What waits while it is told to. */
enum { MEMORY_WRITE = 1, MEMORY_SPACE = 2, MEMORY_TICK = 4, MEMORY_OPEN = 8 };

struct memory_sink {
	struct sink base; /* first */
	struct mutex lock;
	struct cond cond;
	unsigned calls, fail_at; /* the call that fails; 0: none */
	int fail_with;           /* negative errno */
	unsigned blocked;        /* MEMORY_*: these wait */
	unsigned waiting;        /* of them, now */
	bool shows_all;          /* a commit with hold as one without */
	bool unsynced;           /* a commit is SINK_RECEIVED */
	unsigned opened, aborted, closed, checkpoints, commits, requests;
	unsigned ticks, ticks_here; /* those that found the last sender */
	uint8_t sender[IDENTITY_KEY_BYTES]; /* of the last one */
	char peer[WIRE_PEER_NAME_MAX + 1];
	uint64_t quota_bytes, quota_files;
	struct wire_offer offer;
	struct wire_msg request; /* the last one, without its payload */
	uint8_t payload[WIRE_XATTR_MAX];
	struct wire_meta meta; /* of the last META or PATCH */
	enum wire_reserve how; /* of the last RESERVE */
	struct memory_published *published;
};

struct memory_file {
	struct sink_file base; /* first */
	struct memory_sink *sink;
	struct wire_offer offer; /* its parent and name move */
	struct memory_content content;
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

/* As a disk that hangs. */
static inline void memory_wait(struct memory_sink *s, unsigned what)
{
	mutex_lock(&s->lock);
	while (s->blocked & what) {
		s->waiting++;
		cond_wait(&s->cond, &s->lock);
		s->waiting--;
	}
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

/* --- contents --------------------------------------------------------------
 */

static inline int memory_resize(struct memory_content *c, uint64_t size)
{
	uint8_t *bytes;

	if (size > 64 << 20)
		return -EFBIG;
	bytes = realloc(c->bytes, size ? size : 1);
	if (!bytes)
		return -ENOMEM;
	if (size > c->size)
		memset(bytes + c->size, 0, size - c->size);
	c->bytes = bytes;
	c->size = size;
	return 0;
}

static inline void memory_xattr(
    struct memory_content *c, const struct wire_xattr *x)
{
	if (x->remove && strcmp(c->xattr, x->name))
		return;
	free(c->value);
	c->value = malloc(x->len ? x->len : 1);
	c->value_len = x->len;
	memcpy(c->value, x->len ? x->bytes : (const uint8_t *)"", x->len);
	strcpy(c->xattr, x->remove ? "" : x->name);
}

static inline void memory_copy(
    struct memory_content *to, const struct memory_content *from)
{
	struct wire_xattr x = { .bytes = from->value, .len = from->value_len };

	memory_resize(to, from->size);
	if (from->size)
		memcpy(to->bytes, from->bytes, from->size);
	to->mode = from->mode;
	strcpy(x.name, from->xattr);
	if (*from->xattr)
		memory_xattr(to, &x);
}

static inline void memory_content_fini(struct memory_content *c)
{
	free(c->bytes);
	free(c->value);
}

static inline struct memory_published *memory_find_locked(
    struct memory_sink *s, const uint8_t id[WIRE_ID_BYTES])
{
	struct memory_published *p = s->published;

	while (p && memcmp(p->id, id, WIRE_ID_BYTES))
		p = p->next;
	return p;
}

static inline void memory_remove_locked(
    struct memory_sink *s, struct memory_published *p)
{
	struct memory_published **at = &s->published;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	memory_content_fini(&p->content);
	free(p);
}

/* --- files on their way ----------------------------------------------------
 */

/* As one who copies: until it is done, or nobody waits for it any more. */
static inline int memory_copy_base(
    struct memory_sink *s, const struct sink_offer *o)
{
	bool over = false;

	mutex_lock(&s->lock);
	while (s->blocked & MEMORY_OPEN && !over) {
		s->waiting = 1;
		cond_wait_until(&s->cond, &s->lock, now_ms() + 1);
		over = o->is_over(o->ctx);
	}
	s->waiting = 0;
	mutex_unlock(&s->lock);
	return over ? -ECONNRESET : 0;
}

static inline int memory_open(
    struct sink *base, const struct sink_offer *o, struct sink_file **ret)
{
	static const uint8_t none[WIRE_ID_BYTES];
	struct memory_sink *s = (struct memory_sink *)base;
	struct memory_published *p;
	struct memory_file *f;
	int r = memory_call(s);

	if (!r)
		r = memory_copy_base(s, o);
	if (r)
		return r;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->base.ops = base->ops;
	f->sink = s;
	f->offer = *o->offer;
	f->content.mode = o->offer->mode;
	mutex_lock(&s->lock);
	s->offer = *o->offer;
	memcpy(s->sender, o->sender, sizeof(s->sender));
	snprintf(s->peer, sizeof(s->peer), "%s", o->peer);
	s->quota_bytes = o->quota_bytes;
	s->quota_files = o->quota_files;
	if (memcmp(f->offer.base, none, sizeof(none))) {
		p = memory_find_locked(s, f->offer.base);
		if (p)
			memory_copy(&f->content, &p->content);
		else
			r = -ESTALE;
	}
	mutex_unlock(&s->lock);
	if (r) {
		free(f);
		return r;
	}
	memory_count(s, &s->opened);
	*ret = &f->base;
	return 0;
}

static inline int memory_write(
    struct sink_file *base, const void *bytes, size_t len, uint64_t offset)
{
	struct memory_file *f = (struct memory_file *)base;
	int r = memory_file_call(base);

	memory_wait(f->sink, MEMORY_WRITE);
	if (!r && offset + len > f->content.size)
		r = memory_resize(&f->content, offset + len);
	if (!r)
		memcpy(f->content.bytes + offset, bytes, len);
	return r;
}

static inline int memory_truncate(struct sink_file *base, uint64_t size)
{
	struct memory_file *f = (struct memory_file *)base;
	int r = memory_file_call(base);

	return r ? r : memory_resize(&f->content, size);
}

static inline int memory_reserve(struct sink_file *base, uint64_t offset,
    uint64_t len, enum wire_reserve how)
{
	struct memory_file *f = (struct memory_file *)base;
	struct memory_content *c = &f->content;
	int r = memory_file_call(base);

	if (r)
		return r;
	mutex_lock(&f->sink->lock);
	f->sink->how = how;
	mutex_unlock(&f->sink->lock);
	if ((how == WIRE_RESERVE_EXTEND || how == WIRE_RESERVE_ZERO) &&
	    offset + len > c->size)
		r = memory_resize(c, offset + len);
	if (!r && how >= WIRE_RESERVE_PUNCH && offset < c->size)
		memset(c->bytes + offset, 0,
		    len < c->size - offset ? len : c->size - offset);
	return r;
}

static inline int memory_set_meta(
    struct sink_file *base, const struct wire_meta *m)
{
	struct memory_file *f = (struct memory_file *)base;
	int r = memory_file_call(base);

	if (r)
		return r;
	if (m->mask & WIRE_META_MODE)
		f->content.mode = m->mode;
	mutex_lock(&f->sink->lock);
	f->sink->meta = *m;
	mutex_unlock(&f->sink->lock);
	return 0;
}

static inline int memory_set_xattr(
    struct sink_file *base, const struct wire_xattr *x)
{
	int r = memory_file_call(base);

	if (!r)
		memory_xattr(&((struct memory_file *)base)->content, x);
	return r;
}

static inline int memory_move(struct sink_file *base,
    const uint8_t parent[WIRE_ID_BYTES], const char *name)
{
	struct memory_file *f = (struct memory_file *)base;
	int r = memory_file_call(base);

	if (r)
		return r;
	memcpy(f->offer.parent, parent, sizeof(f->offer.parent));
	strcpy(f->offer.name, name);
	return 0;
}

/* One that fails breaks nothing. */
static inline int memory_read(struct sink_file *base, void *ret, size_t len,
    uint64_t offset, size_t *ret_len)
{
	struct memory_file *f = (struct memory_file *)base;
	struct memory_content *c = &f->content;
	int r = memory_file_call(base);

	f->broken = false;
	if (r)
		return r;
	if (offset >= c->size)
		len = 0;
	else if (len > c->size - offset)
		len = c->size - offset;
	if (len)
		memcpy(ret, c->bytes + offset, len);
	*ret_len = len;
	return 0;
}

static inline int memory_size(struct sink_file *base, uint64_t *ret)
{
	int r = memory_file_call(base);

	if (!r)
		*ret = ((struct memory_file *)base)->content.size;
	return r;
}

static inline int memory_checkpoint(struct sink_file *base)
{
	struct memory_sink *s = ((struct memory_file *)base)->sink;

	memory_count(s, &s->checkpoints);
	return memory_file_call(base);
}

static inline int memory_commit(
    struct sink_file *base, bool hold, char ret_name[WIRE_NAME_MAX + 1])
{
	struct memory_file *f = (struct memory_file *)base;
	struct memory_sink *s = f->sink;
	struct memory_published *p, *old;
	int r;

	memory_count(s, &s->commits);
	r = memory_file_call(base);
	if (r)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	strcpy(p->name, f->offer.name);
	memcpy(p->parent, f->offer.parent, sizeof(p->parent));
	memcpy(p->id, f->offer.id, sizeof(p->id));
	p->content = f->content;
	p->held = hold && !s->shows_all;
	strcpy(ret_name, p->held ? "" : p->name);
	f->committed = true;
	mutex_lock(&s->lock);
	old = memory_find_locked(s, f->offer.base);
	if (old)
		memory_remove_locked(s, old);
	p->next = s->published;
	s->published = p;
	mutex_unlock(&s->lock);
	return s->unsynced ? SINK_RECEIVED : 0;
}

static inline void memory_abort(struct sink_file *base)
{
	struct memory_file *f = (struct memory_file *)base;

	if (!f)
		return;
	if (f->committed)
		abort(); /* the contract of sink.h is broken */
	memory_count(f->sink, &f->sink->aborted);
	memory_content_fini(&f->content);
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

/* --- the whole -------------------------------------------------------------
 */

static inline int memory_rename_locked(
    struct memory_sink *s, const struct wire_rename *m)
{
	struct memory_published *p = memory_find_locked(s, m->id);

	if (!p)
		return -ENOENT;
	memcpy(p->parent, m->parent, sizeof(p->parent));
	strcpy(p->name, m->name);
	p->held = m->hold;
	return 0;
}

/* Directories, links, and what is said of an unknown id, are only noted. */
static inline int memory_request(
    struct sink *base, const struct sink_offer *from, const struct wire_msg *m)
{
	struct memory_sink *s = (struct memory_sink *)base;
	struct memory_published *p;
	const uint8_t *bytes = NULL;
	int r = memory_call(s);
	size_t len;

	if (r)
		return r;
	mutex_lock(&s->lock);
	s->requests++;
	s->request = *m;
	len = wire_payload(m, &bytes);
	if (len)
		memcpy(s->payload, bytes, len);
	memcpy(s->sender, from->sender, sizeof(s->sender));
	switch (m->type) {
	case WIRE_RENAME: r = memory_rename_locked(s, &m->rename); break;
	case WIRE_SHOW:
	case WIRE_WITHDRAW:
		p = memory_find_locked(s, m->show.id);
		if (!p)
			r = -ENOENT;
		else if (m->type == WIRE_SHOW)
			p->held = false;
		else
			memory_remove_locked(s, p);
		break;
	case WIRE_PATCH: s->meta = m->patch.meta; break;
	case WIRE_SETXATTR:
		p = memory_find_locked(s, m->setxattr.id);
		if (p)
			memory_xattr(&p->content, &m->setxattr.xattr);
		break;
	default: break;
	}
	cond_broadcast(&s->cond);
	mutex_unlock(&s->lock);
	return r;
}

static inline void memory_tick(struct sink *base, sink_here *here, void *ctx)
{
	struct memory_sink *s = (struct memory_sink *)base;
	uint8_t sender[IDENTITY_KEY_BYTES];
	bool is_here;

	mutex_lock(&s->lock);
	memcpy(sender, s->sender, sizeof(sender));
	mutex_unlock(&s->lock);
	is_here = here(ctx, sender);
	mutex_lock(&s->lock);
	s->ticks++;
	s->ticks_here += is_here;
	mutex_unlock(&s->lock);
	memory_wait(s, MEMORY_TICK);
}

static inline int memory_space(struct sink *base, struct sink_space *ret)
{
	memory_wait((struct memory_sink *)base, MEMORY_SPACE);
	*ret = (struct sink_space){ 11, 22, 33, 44 };
	return 0;
}

static const struct sink_ops memory_ops = {
	.open = memory_open,
	.write = memory_write,
	.truncate = memory_truncate,
	.reserve = memory_reserve,
	.set_meta = memory_set_meta,
	.set_xattr = memory_set_xattr,
	.move = memory_move,
	.read = memory_read,
	.size = memory_size,
	.checkpoint = memory_checkpoint,
	.commit = memory_commit,
	.abort = memory_abort,
	.close = memory_close,
	.request = memory_request,
	.tick = memory_tick,
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
	while (s->published)
		memory_remove_locked(s, s->published);
	cond_fini(&s->cond);
	mutex_fini(&s->lock);
}

/* These calls (MEMORY_*) wait from now on; all others go on. */
static inline void memory_sink_block(struct memory_sink *s, unsigned what)
{
	mutex_lock(&s->lock);
	s->blocked = what;
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

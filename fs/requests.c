/*
 * Requests, handed on to the module that knows what the id means: fs/folders,
 * fs/links or fs/deliveries. Runs in the threads that receive (net/incoming).
 * What the wire has refused already is refused here again: behind this file
 * names and targets reach the disk.
 */
#include "requests.h"

#include <errno.h>
#include <string.h>

#include "deliveries.h"
#include "folders.h"
#include "inbox_internal.h"
#include "links.h"
#include "usage.h"

static int check_name(const char *name)
{
	return wire_name_ok(name, strnlen(name, WIRE_NAME_MAX + 1)) ? 0
								    : -EILSEQ;
}

static int check_quota(
    struct inbox *in, const struct sink_offer *from, size_t bytes, int files)
{
	struct usage_limits limits = { from->quota_bytes, from->quota_files };

	return usage_may(
	    in->usage, from->sender, &limits, bytes, (uint64_t)files);
}

/* It counts when it is made; done before, it costs nothing. */
static int make_directory(
    struct inbox *in, const struct sink_offer *from, const struct wire_mkdir *m)
{
	int r = check_name(m->name);

	if (!r && m->mode & ~0777u)
		r = -EINVAL;
	if (!r && folders_find(in->folders, from->sender, m->id))
		r = check_quota(in, from, DIRECTORY_BYTES, 1);
	if (r)
		return r;
	return folders_make(in->folders, from->sender, m, in->config.durable);
}

/* The same. */
static int make_link(struct inbox *in, const struct sink_offer *from,
    const struct wire_symlink *m)
{
	int r = check_name(m->name);

	if (!r && links_find(in->links, from->sender, m->id))
		r = check_quota(in, from, 0, 1);
	if (r)
		return r;
	return links_make(in->links, from->sender, m, in->config.durable);
}

static int patch(struct inbox *in, const uint8_t *sender,
    const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m)
{
	bool durable = in->config.durable;
	int r = folders_patch(in->folders, sender, id, m, durable);

	if (r == -ENOENT)
		r = links_patch(in->links, sender, id, m, durable);
	return r == -ENOENT ? deliveries_patch(in, sender, id, m) : r;
}

static int set_xattr(struct inbox *in, const struct sink_offer *from,
    const uint8_t id[WIRE_ID_BYTES], const struct wire_xattr *x)
{
	const uint8_t *sender = from->sender;
	int r;

	if (!wire_xattr_ok(x->name, strnlen(x->name, WIRE_XATTR_NAME_MAX + 1)))
		return -EINVAL;
	r = x->remove ? 0 : check_quota(in, from, x->len, 0);
	if (r)
		return r;
	r = folders_xattr(in->folders, sender, id, x, in->config.durable);
	if (r == -ENOENT) /* xattr(7): a link has no user.* attributes */
		r = links_find(in->links, sender, id);
	return r == -ENOENT ? deliveries_xattr(in, sender, id, x) : r;
}

static int rename_to(
    struct inbox *in, const uint8_t *sender, const struct wire_rename *m)
{
	bool durable = in->config.durable;
	int r = check_name(m->name);

	if (r)
		return r;
	r = folders_rename(in->folders, sender, m, durable);
	if (!r)
		deliveries_moved(in, sender);
	if (r == -ENOENT)
		r = links_rename(in->links, sender, m, durable);
	return r == -ENOENT ? deliveries_rename(in, sender, m) : r;
}

/* Directories and links are always shown. */
static int show(
    struct inbox *in, const uint8_t *sender, const uint8_t id[WIRE_ID_BYTES])
{
	int r = folders_find(in->folders, sender, id);

	if (r == -ENOENT)
		r = links_find(in->links, sender, id);
	return r == -ENOENT ? deliveries_show(in, sender, id) : r;
}

static int withdraw(
    struct inbox *in, const uint8_t *sender, const uint8_t id[WIRE_ID_BYTES])
{
	bool durable = in->config.durable;
	int r = folders_withdraw(in->folders, sender, id, durable);

	if (r == -ENOENT)
		r = links_withdraw(in->links, sender, id, durable);
	return r == -ENOENT ? deliveries_withdraw(in, sender, id) : r;
}

/* What the request is about; NULL: it is none. */
static const uint8_t *id_of(const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_MKDIR: return m->mkdir.id;
	case WIRE_SYMLINK: return m->symlink.id;
	case WIRE_PATCH: return m->patch.id;
	case WIRE_SETXATTR: return m->setxattr.id;
	case WIRE_RENAME: return m->rename.id;
	case WIRE_SHOW: return m->show.id;
	case WIRE_WITHDRAW: return m->withdraw.id;
	default: return NULL;
	}
}

int requests_handle(
    struct sink *s, const struct sink_offer *from, const struct wire_msg *m)
{
	struct inbox *in = inbox_of(s);
	const uint8_t *sender = from->sender, *id = id_of(m);
	int r;

	if (!id)
		return -EOPNOTSUPP;
	if (folders_is_top(id))
		return -EINVAL; /* zeros: nothing has this id */
	r = inbox_check_place(in);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	switch (m->type) {
	case WIRE_MKDIR: return make_directory(in, from, &m->mkdir);
	case WIRE_SYMLINK: return make_link(in, from, &m->symlink);
	case WIRE_PATCH: return patch(in, sender, id, &m->patch.meta);
	case WIRE_SETXATTR: return set_xattr(in, from, id, &m->setxattr.xattr);
	case WIRE_RENAME: return rename_to(in, sender, &m->rename);
	case WIRE_SHOW: return show(in, sender, id);
	default: return withdraw(in, sender, id);
	}
}

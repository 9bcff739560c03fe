/*
 * What fs asks of a peer about directories, links and delivered files, put
 * into messages for the peer's queue (net/treeop.c). Whatever thread calls;
 * nothing blocks.
 */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "treeop.h"

/* Where something lies: in parent, or at the top. */
static void put_parent(uint8_t *ret, const struct outdir *parent)
{
	if (parent)
		memcpy(ret, parent->mkdir.id, WIRE_ID_BYTES);
	else
		memset(ret, 0, WIRE_ID_BYTES);
}

static void put_name(char ret[WIRE_NAME_MAX + 1], const char *name)
{
	strncpy(ret, name, WIRE_NAME_MAX);
	ret[WIRE_NAME_MAX] = '\0';
}

/* --- directories ---------------------------------------------------------- */

int outdir_new(struct peer *peer, struct outdir *parent, const char *name,
    uint32_t mode, struct outdir **ret)
{
	struct outdir *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	atomic_init(&d->refs, 1);
	d->peer = peer_get(peer);
	d->parent = parent ? outdir_get(parent) : NULL;
	random_bytes(d->mkdir.id, WIRE_ID_BYTES);
	put_parent(d->mkdir.parent, parent);
	d->mkdir.mode = mode & 0777;
	put_name(d->mkdir.name, name);
	r = treeop_add(peer, NULL, d, NULL, NULL);
	if (r)
		outdir_put(d);
	else
		*ret = d;
	return r;
}

struct outdir *outdir_get(struct outdir *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

void outdir_put(struct outdir *d)
{
	while (d && atomic_fetch_sub(&d->refs, 1) == 1) {
		struct outdir *parent = d->parent;

		peer_put(d->peer);
		free(d);
		d = parent;
	}
}

const uint8_t *outdir_id(const struct outdir *d)
{
	return d->mkdir.id;
}

int outdir_meta(struct outdir *d, const struct wire_meta *m)
{
	return request_patch(d->peer, d->mkdir.id, m);
}

int outdir_rename(struct outdir *d, struct outdir *parent, const char *name,
    struct request_waiter *w)
{
	struct wire_msg m = { .type = WIRE_RENAME };

	memcpy(m.rename.id, d->mkdir.id, WIRE_ID_BYTES);
	put_parent(m.rename.parent, parent);
	put_name(m.rename.name, name);
	return treeop_add(d->peer, &m, d, parent, w);
}

/* --- what was delivered ----------------------------------------------------
 */

int request_patch(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], const struct wire_meta *m)
{
	struct wire_msg msg = { .type = WIRE_PATCH };

	memcpy(msg.patch.id, id, WIRE_ID_BYTES);
	msg.patch.meta = *m;
	return treeop_add(p, &msg, NULL, NULL, NULL);
}

int request_xattr(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], const struct wire_xattr *x)
{
	struct wire_msg m = { .type = WIRE_SETXATTR };

	memcpy(m.setxattr.id, id, WIRE_ID_BYTES);
	m.setxattr.xattr = *x;
	return treeop_add(p, &m, NULL, NULL, NULL);
}

int request_rename(struct peer *p, const uint8_t id[WIRE_ID_BYTES],
    struct outdir *parent, const char *name, bool hold,
    struct request_waiter *w)
{
	struct wire_msg m = { .type = WIRE_RENAME };

	memcpy(m.rename.id, id, WIRE_ID_BYTES);
	put_parent(m.rename.parent, parent);
	put_name(m.rename.name, name);
	m.rename.hold = hold;
	return treeop_add(p, &m, NULL, parent, w);
}

int request_show(
    struct peer *p, const uint8_t id[WIRE_ID_BYTES], struct request_waiter *w)
{
	struct wire_msg m = { .type = WIRE_SHOW };

	memcpy(m.show.id, id, WIRE_ID_BYTES);
	return treeop_add(p, &m, NULL, NULL, w);
}

int request_withdraw(struct peer *p, const uint8_t id[WIRE_ID_BYTES])
{
	struct wire_msg m = { .type = WIRE_WITHDRAW };

	memcpy(m.withdraw.id, id, WIRE_ID_BYTES);
	return treeop_add(p, &m, NULL, NULL, NULL);
}

int request_symlink(struct peer *p, struct outdir *parent, const char *name,
    const char *target, uint8_t ret_id[WIRE_ID_BYTES])
{
	struct wire_msg m = { .type = WIRE_SYMLINK };
	int r;

	random_bytes(m.symlink.id, WIRE_ID_BYTES);
	put_parent(m.symlink.parent, parent);
	put_name(m.symlink.name, name);
	m.symlink.bytes = (const uint8_t *)target;
	m.symlink.len = strlen(target);
	r = treeop_add(p, &m, NULL, parent, NULL);
	if (!r)
		memcpy(ret_id, m.symlink.id, WIRE_ID_BYTES);
	return r;
}

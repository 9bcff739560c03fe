/*
 * Extended attributes of what is sent. Runs in FUSE workers, and answers at
 * once. What was sent is not read back: here are only gtfs's own two.
 *
 * cp -a, install, rsync -aAX and mv set whatever their source has, and complain
 * about each one that is refused with more than EOPNOTSUPP (rsync even about
 * that). So what cannot have a meaning at another machine (ACLs and labels name
 * its users and its policy) is taken without effect, but for the mode that an
 * ACL stands for.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tree_change.h"
#include "tree_internal.h"
#include "why.h"

/* linux/posix_acl_xattr.h: little-endian, a version and then entries. */
enum {
	ACL_VERSION = 2,
	ACL_HEADER_BYTES = 4,
	ACL_ENTRY_BYTES = 8, /* tag (2), permissions (2), id (4) */
	ACL_USER_OBJ = 0x01,
	ACL_GROUP_OBJ = 0x04,
	ACL_MASK = 0x10,
	ACL_OTHER = 0x20,
};

enum space {
	SPACE_SENT,       /* user.* */
	SPACE_PROVENANCE, /* of what has arrived here and is sent on */
	SPACE_OWN,        /* user.gtfs.*: ours to say */
	SPACE_ACL,        /* the one that stands for the mode */
	SPACE_WITHOUT_EFFECT,
	SPACE_UNKNOWN,
};

#define STATE    "user.gtfs.state"
#define PROGRESS "user.gtfs.progress"

static bool starts(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

static enum space space_of(const char *name)
{
	static const char *const provenance[] = { "user.gtfs.from",
		"user.gtfs.name", "user.gtfs.id", "user.gtfs.received" };
	size_t i;

	for (i = 0; i < sizeof(provenance) / sizeof(provenance[0]); i++)
		if (!strcmp(name, provenance[i]))
			return SPACE_PROVENANCE;
	if (starts(name, "user.gtfs."))
		return SPACE_OWN;
	if (starts(name, "user."))
		return SPACE_SENT;
	if (!strcmp(name, "system.posix_acl_access"))
		return SPACE_ACL;
	if (starts(name, "system.posix_acl_") || starts(name, "security."))
		return SPACE_WITHOUT_EFFECT;
	return SPACE_UNKNOWN;
}

/* --- set ------------------------------------------------------------------
 */

static uint16_t le16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return le16toh(v);
}

/*
 * The mode of an ACL without its named users and groups: what it gave to the
 * owning group, not the mask, which would widen that. False: it is malformed.
 */
static bool acl_mode(const uint8_t *acl, size_t len, uint32_t *ret)
{
	uint32_t mode = 0, mask = 07;
	size_t at;

	if (len < ACL_HEADER_BYTES || le16(acl) != ACL_VERSION ||
	    le16(acl + 2) != 0 || (len - ACL_HEADER_BYTES) % ACL_ENTRY_BYTES)
		return false;
	for (at = ACL_HEADER_BYTES; at < len; at += ACL_ENTRY_BYTES) {
		uint32_t bits = le16(acl + at + 2) & 07;

		switch (le16(acl + at)) {
		case ACL_USER_OBJ: mode |= bits << 6; break;
		case ACL_GROUP_OBJ: mode |= bits << 3; break;
		case ACL_MASK: mask = bits; break;
		case ACL_OTHER: mode |= bits; break;
		}
	}
	*ret = mode & (0707 | mask << 3);
	return true;
}

static int set_acl_locked(
    struct mount *m, struct node *n, const char *value, size_t size)
{
	struct wire_meta meta = { .mask = WIRE_META_MODE };

	if (!value)
		return 0;
	if (!acl_mode((const uint8_t *)value, size, &meta.mode))
		return -EINVAL;
	return tree_meta_locked(m, n, &meta);
}

/* value NULL: removes it. */
static int set_locked(struct mount *m, struct node *n, const char *name,
    const char *value, size_t size)
{
	struct wire_xattr x = { .remove = !value,
		.bytes = (const uint8_t *)value,
		.len = value ? size : 0 };
	enum space space = space_of(name);
	bool sent = n->kind == NODE_FILE || n->kind == NODE_DIR;

	if (!sent && n->kind != NODE_PEER && n->kind != NODE_LINK)
		return -EPERM;
	switch (space) {
	case SPACE_SENT: break;
	case SPACE_ACL: return sent ? set_acl_locked(m, n, value, size) : 0;
	case SPACE_PROVENANCE:
	case SPACE_WITHOUT_EFFECT: return 0;
	/* rsync -X removes what it lists here and has not in its source. */
	case SPACE_OWN: return value ? -EPERM : 0;
	case SPACE_UNKNOWN: return -EOPNOTSUPP;
	}
	if (!sent)
		return -EOPNOTSUPP;
	if (!wire_xattr_ok(name, strlen(name)))
		return -EINVAL;
	if (size > WIRE_XATTR_MAX)
		return -E2BIG;
	strcpy(x.name, name);
	return tree_change_xattr_locked(m, n, &x);
}

static void change(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const char *name, const char *value, size_t size)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	struct node *n;
	int r;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	r = n ? set_locked(m, n, name, value, size) : -ESTALE;
	mutex_unlock(lock);
	fuse_reply_err(req, -r);
}

/* XATTR_CREATE and XATTR_REPLACE ask what is there, which only the peer knows:
 * it is as they wish. */
void tree_setxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const char *name, const char *value, size_t size, int flags)
{
	(void)flags;
	change(m, req, ino, name, value ? value : "", size);
}

void tree_removexattr(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, const char *name)
{
	change(m, req, ino, name, NULL, 0);
}

/* --- read -----------------------------------------------------------------
 */

static const char *peer_word(struct peer *p)
{
	struct peer_info info;

	peer_info(p, &info);
	return why_word(&info, now_ms());
}

static const char *file_word_locked(const struct node *n)
{
	if (n->out && !outgoing_published(n->out))
		return outgoing_state_name(n->out);
	return n->held ? "held" : "delivered";
}

static void progress_locked(const struct node *n, char *ret, size_t len)
{
	uint64_t size = n->out ? outgoing_size(n->out) : n->size;
	uint64_t applied = size;

	if (n->out && !outgoing_published(n->out))
		applied = outgoing_progress(n->out);
	if (applied > size) /* some of it was written twice */
		applied = size;
	snprintf(ret, len, "%" PRIu64 "/%" PRIu64, applied, size);
}

static int read_locked(
    const struct node *n, const char *name, char *ret, size_t len)
{
	if (n->kind == NODE_FILE && !strcmp(name, STATE))
		snprintf(ret, len, "%s", file_word_locked(n));
	else if (n->kind == NODE_FILE && !strcmp(name, PROGRESS))
		progress_locked(n, ret, len);
	else if (n->kind == NODE_PEER && !strcmp(name, STATE))
		snprintf(ret, len, "%s", peer_word(n->peer));
	else
		return -ENODATA;
	return 0;
}

/* size 0: only how much there is. */
static void answer(fuse_req_t req, const char *bytes, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (size < len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, bytes, len);
}

void tree_getxattr(struct mount *m, fuse_req_t req, fuse_ino_t ino,
    const char *name, size_t size)
{
	struct mutex *lock = nodes_mutex(m->nodes);
	char value[64];
	struct node *n;
	int r;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	r = n ? read_locked(n, name, value, sizeof(value)) : -ESTALE;
	mutex_unlock(lock);
	if (r)
		fuse_reply_err(req, -r);
	else
		answer(req, value, strlen(value), size);
}

void tree_listxattr(
    struct mount *m, fuse_req_t req, fuse_ino_t ino, size_t size)
{
	static const char names[] = STATE "\0" PROGRESS;
	struct mutex *lock = nodes_mutex(m->nodes);
	size_t len = 0;
	struct node *n;

	mutex_lock(lock);
	n = node_by_id_locked(m->nodes, ino);
	if (n && n->kind == NODE_FILE)
		len = sizeof(names);
	if (n && n->kind == NODE_PEER)
		len = sizeof(STATE);
	mutex_unlock(lock);
	answer(req, names, len, size);
}

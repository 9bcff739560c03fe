/*
 * The records beside held files. Runs in the threads that receive, through
 * fs/arrival_commit and fs/deliveries, and at start, through fs/held_open.
 *
 * A record that is read is not believed: it may be half of one, or somebody
 * else's work.
 */
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "beneath.h"
#include "ophash.h"

#define MAGIC      "gtfs-held 1\n"
#define MAGIC_LEN  (sizeof(MAGIC) - 1)
#define TEMP       ".new"
#define NAME_BYTES (SPOOL_NAME_BYTES + sizeof(HELD_SUFFIX) + sizeof(TEMP))
/* What one with the longest of everything has. */
#define RECORD_MAX                                               \
	(MAGIC_LEN + IDENTITY_KEY_BYTES + 2 * WIRE_ID_BYTES +    \
	    (3 + HELD_OVER) * 2 + 2 * WIRE_NAME_MAX + PATH_MAX + \
	    HELD_OVER * SPOOL_NAME_BYTES + WIRE_HASH_BYTES)

/* --- the bytes of one --------------------------------------------------------
 */

struct bytes {
	uint8_t all[RECORD_MAX];
	size_t len, at;
};

static int digest(
    const uint8_t *bytes, size_t len, uint8_t ret[WIRE_HASH_BYTES])
{
	struct ophash *h = ophash_new();

	if (!h)
		return -ENOMEM;
	ophash_bytes(h, bytes, len);
	ophash_digest(h, ret);
	ophash_free(h);
	return 0;
}

static void put(struct bytes *b, const void *bytes, size_t len)
{
	memcpy(b->all + b->len, bytes, len);
	b->len += len;
}

static void put_text(struct bytes *b, const char *text)
{
	size_t len = strlen(text);

	b->all[b->len++] = (uint8_t)(len >> 8);
	b->all[b->len++] = (uint8_t)len;
	put(b, text, len);
}

static int encode(const struct held_record *r, struct bytes *ret)
{
	ret->len = 0;
	put(ret, MAGIC, MAGIC_LEN);
	put(ret, r->sender, sizeof(r->sender));
	put(ret, r->id, sizeof(r->id));
	put(ret, r->parent, sizeof(r->parent));
	put_text(ret, r->want);
	put_text(ret, r->peer);
	put_text(ret, r->path);
	for (size_t i = 0; i < HELD_OVER; i++)
		put_text(ret, r->over[i]);
	/* The digest's place is not part of what it covers. */
	if (digest(ret->all, ret->len, ret->all + ret->len))
		return -ENOMEM;
	ret->len += WIRE_HASH_BYTES;
	return 0;
}

static bool get(struct bytes *b, void *ret, size_t len)
{
	if (b->len - b->at < len)
		return false;
	memcpy(ret, b->all + b->at, len);
	b->at += len;
	return true;
}

/* At most size - 1 bytes, no NUL among them. */
static bool get_text(struct bytes *b, char *ret, size_t size)
{
	uint8_t head[2];
	size_t len;

	if (!get(b, head, sizeof(head)))
		return false;
	len = (size_t)head[0] << 8 | head[1];
	if (len >= size || !get(b, ret, len) || memchr(ret, '\0', len))
		return false;
	ret[len] = '\0';
	return true;
}

/* Nothing but names that may stand below the inbox. */
static bool path_ok(const char *path)
{
	size_t len;

	if (!strncasecmp(path, ".gtfs-spool", strcspn(path, "/")) &&
	    strcspn(path, "/") == strlen(".gtfs-spool"))
		return false;
	while (*path) {
		len = strcspn(path, "/");
		if (!wire_name_ok(path, len))
			return false;
		path += len;
		if (*path && !*++path)
			return false;
	}
	return true;
}

static bool decode(struct bytes *b, struct held_record *ret)
{
	uint8_t magic[MAGIC_LEN], sum[WIRE_HASH_BYTES];
	bool ok;

	if (b->len < WIRE_HASH_BYTES)
		return false;
	b->len -= WIRE_HASH_BYTES;
	if (digest(b->all, b->len, sum) ||
	    memcmp(sum, b->all + b->len, sizeof(sum)))
		return false;
	b->at = 0;
	ok = get(b, magic, sizeof(magic)) &&
	     !memcmp(magic, MAGIC, sizeof(magic)) &&
	     get(b, ret->sender, sizeof(ret->sender)) &&
	     get(b, ret->id, sizeof(ret->id)) &&
	     get(b, ret->parent, sizeof(ret->parent)) &&
	     get_text(b, ret->want, sizeof(ret->want)) &&
	     wire_name_ok(ret->want, strlen(ret->want)) &&
	     get_text(b, ret->peer, sizeof(ret->peer)) &&
	     get_text(b, ret->path, sizeof(ret->path)) && path_ok(ret->path);
	for (size_t i = 0; ok && i < HELD_OVER; i++)
		ok = get_text(b, ret->over[i], sizeof(ret->over[i])) &&
		     (!ret->over[i][0] || spool_name_ok(ret->over[i]));
	return ok && b->at == b->len;
}

/* --- the files ---------------------------------------------------------------
 */

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int held_write(
    const struct spool *sp, const char *name, const struct held_record *record)
{
	char path[NAME_BYTES], temp[NAME_BYTES];
	struct bytes b;
	int fd, r;

	snprintf(path, sizeof(path), "%s%s", name, HELD_SUFFIX);
	snprintf(temp, sizeof(temp), "%s%s%s", name, HELD_SUFFIX, TEMP);
	r = encode(record, &b);
	if (r)
		return r;
	fd = beneath_open(
	    sp->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	r = write_all(fd, b.all, b.len);
	if (!r && fsync(fd))
		r = -errno;
	close(fd);
	if (!r && renameat(sp->fd, temp, sp->fd, path))
		r = -errno;
	if (r)
		(void)unlinkat(sp->fd, temp, 0);
	else if (fsync(sp->fd))
		r = -errno;
	return r;
}

int held_read(const struct spool *sp, const char *name, struct held_record *ret)
{
	char path[NAME_BYTES];
	struct held_record record = { .want = "" };
	struct bytes b = { .len = 0 };
	struct stat st;
	ssize_t n = 0;
	int fd, r = 0;

	snprintf(path, sizeof(path), "%s%s", name, HELD_SUFFIX);
	fd = beneath_open(sp->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)RECORD_MAX)
		r = -EBADMSG;
	while (!r && b.len < sizeof(b.all)) {
		n = read(fd, b.all + b.len, sizeof(b.all) - b.len);
		if (n < 0 && errno != EINTR)
			r = -errno;
		if (!n)
			break;
		b.len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (!r && !decode(&b, &record))
		r = -EBADMSG;
	if (!r)
		*ret = record;
	return r;
}

int held_forget(const struct spool *sp, const char *name)
{
	char path[NAME_BYTES];

	snprintf(path, sizeof(path), "%s%s", name, HELD_SUFFIX);
	return unlinkat(sp->fd, path, 0) && errno != ENOENT ? -errno : 0;
}

int held_take_back(const struct spool *sp, const char *name)
{
	int r = held_forget(sp, name);

	return r || !fsync(sp->fd) ? r : -errno;
}

void held_drop(const struct spool *sp, const char *name)
{
	/* While the record is there, so is what it speaks of. */
	if (!held_forget(sp, name))
		aside_drop(sp->fd, name);
}

void held_record_of(const struct delivered_file *file, const char *path,
    struct held_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->sender, file->sender, sizeof(ret->sender));
	memcpy(ret->id, file->id, sizeof(ret->id));
	memcpy(ret->parent, file->parent, sizeof(ret->parent));
	snprintf(ret->want, sizeof(ret->want), "%s", file->want);
	snprintf(ret->peer, sizeof(ret->peer), "%s", file->peer);
	snprintf(ret->path, sizeof(ret->path), "%s", path);
}

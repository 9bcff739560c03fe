/*
 * The spool: a directory beside what it feeds (0700, on the same file system),
 * and the files in it that nobody sees yet. fs/inbox puts them together with
 * names and senders; here are only bytes.
 *
 * All functions block on the disk and return 0 or -errno. A spool_file belongs
 * to one thread at a time; spool_create may be called by several at once.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "wire.h"

/* hex of 8 bytes of the sender, the id, and 8 random bytes; NUL. */
#define SPOOL_NAME_BYTES (16 + 1 + 2 * WIRE_ID_BYTES + 1 + 16 + 1)
/* Orphans beyond this many wait for the next start. */
#define SPOOL_ORPHANS_MAX 65536

struct spool {
	int fd;
	bool durable;
};

struct spool_file {
	const struct spool *spool;
	int fd;
	bool failed;         /* nothing may be published from it any more */
	uint64_t fresh;      /* bytes since write-back was last started */
	uint64_t fresh_from; /* and the range they are in */
	uint64_t fresh_to;
	char name[SPOOL_NAME_BYTES];
};

/*
 * Opens the directory called name in dirfd as the spool: makes it if missing,
 * takes the exclusive lock. -EBUSY: another process has it; -EPERM: it belongs
 * to someone else; -ELOOP, -ENOTDIR: not a real directory; -EXDEV: on another
 * file system than dirfd.
 */
int spool_open(int dirfd, const char *name, bool durable, struct spool *ret);
void spool_fini(struct spool *sp);

/* Opens it for readdir(3); closedir is the caller's. 0 or -errno. */
int spool_list(const struct spool *sp, DIR **ret);

/* Is it a regular file under a name that gtfs gives nothing in the spool? */
bool spool_is_foreign(const struct spool *sp, const struct dirent *e);

/*
 * Removes what a former life left behind, regular files under gtfs's names;
 * keep(arg, name) says which of them stay. 0 or -errno.
 */
int spool_remove_orphans(const struct spool *sp,
    bool (*keep)(void *arg, const char *name), void *arg);

/* A name for a file in the spool that nobody can foretell. 0 or -errno. */
int spool_name(const uint8_t sender[IDENTITY_KEY_BYTES],
    const uint8_t id[WIRE_ID_BYTES], char ret[SPOOL_NAME_BYTES]);
/* Is it of the form of those names? */
bool spool_name_ok(const char *name);
/* The id in such a name, in hex. */
void spool_name_id(const char *name, char ret[2 * WIRE_ID_BYTES + 1]);

/* A new, empty, 0600 file under an unpredictable name. *sp outlives it. */
int spool_create(const struct spool *sp,
    const uint8_t sender[IDENTITY_KEY_BYTES], const uint8_t id[WIRE_ID_BYTES],
    struct spool_file *ret);

/*
 * A failure of copy, write, truncate or sync is final: all of these answer -EIO
 * from then on. One of reserve to EXTEND, KEEP or CHECK leaves the file as it
 * was; one of the others is final too.
 */
int spool_write(
    struct spool_file *f, const void *bytes, size_t len, uint64_t offset);
int spool_truncate(struct spool_file *f, uint64_t size);
/*
 * What the file system cannot do by itself is done by hand, so that the bytes
 * and the size are right; only the room is then a matter of hope.
 */
int spool_reserve(
    struct spool_file *f, uint64_t offset, uint64_t len, enum wire_reserve how);
/*
 * Makes the empty f a copy of the open file from, holes and attributes
 * ("user.*", but not gtfs's own) included; shares the blocks where the file
 * system can. Where not, more (or NULL) is asked before so many bytes are
 * copied; its error ends the copy.
 */
int spool_copy(struct spool_file *f, int from,
    int (*more)(void *arg, uint64_t bytes), void *arg);
/* Up to len bytes; *ret_len is less only where the file ends. */
int spool_read(struct spool_file *f, void *ret, size_t len, uint64_t offset,
    size_t *ret_len);
/* fsync. */
int spool_sync(struct spool_file *f);
int spool_size(struct spool_file *f, uint64_t *ret);

/*
 * Closes the descriptor; spool_drop removes the file as well, if that is what
 * still has its name.
 */
void spool_close(struct spool_file *f);
void spool_drop(struct spool_file *f);

#endif

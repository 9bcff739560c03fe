/*
 * What a file on its way in takes of the disk, claimed before it does. Runs in
 * the threads that receive, like all of fs/arrival.
 *
 * Claimed is what the operations are about to write, some of it ahead, so that
 * most of them ask nobody. What they have really taken is looked at when that
 * is used up: holes, and what is written twice, take nothing.
 */
#include "arrival.h"

#include <errno.h>
#include <sys/stat.h>

#define PAGE UINT64_C(4096)

/*
 * xfs allocates beyond the end of a file that grows, and takes that back later:
 * nobody has asked for it, unless by a RESERVE.
 */
static int look(const struct arrival *a, uint64_t *ret)
{
	struct stat st;
	uint64_t has, most;

	if (fstat(a->spool.fd, &st))
		return -errno;
	has = (uint64_t)st.st_blocks * 512;
	most = ((uint64_t)st.st_size + PAGE - 1) / PAGE * PAGE;
	if (!a->reserved && has > most)
		has = most;
	*ret = has > a->shared ? has - a->shared : 0;
	return 0;
}

int arrival_claim(struct arrival *a, uint64_t more)
{
	uint64_t has = 0;
	int r;

	if (more && more <= a->ahead) {
		a->ahead -= more;
		return 0;
	}
	r = look(a, &has);
	if (!r)
		r = usage_grow(a->in->usage, &a->claim, has, more);
	if (!r)
		a->ahead = a->claim.bytes - has - more;
	return r;
}

static int fail(struct arrival *a, int r)
{
	if (r)
		a->spool.failed = true;
	return r;
}

int arrival_write(
    struct sink_file *f, const void *bytes, size_t len, uint64_t offset)
{
	struct arrival *a = arrival_of(f);
	int r = a->spool.failed ? -EIO : fail(a, arrival_claim(a, len));

	return r ? r : spool_write(&a->spool, bytes, len, offset);
}

/* What becomes longer is a hole, but on file systems that have none (vfat). */
int arrival_truncate(struct sink_file *f, uint64_t size)
{
	struct arrival *a = arrival_of(f);
	int r = spool_truncate(&a->spool, size);

	return r ? r : fail(a, arrival_claim(a, 0));
}

/* The bytes of the range that the file cannot have yet. */
static int missing(
    const struct arrival *a, uint64_t offset, uint64_t len, uint64_t *ret)
{
	uint64_t has, end = offset + len;
	struct stat st;

	if (fstat(a->spool.fd, &st))
		return -errno;
	has = (uint64_t)st.st_blocks * 512;
	*ret = end > has ? end - has : 0;
	if (*ret > len)
		*ret = len;
	return 0;
}

int arrival_reserve(
    struct sink_file *f, uint64_t offset, uint64_t len, enum wire_reserve how)
{
	struct arrival *a = arrival_of(f);
	uint64_t need = 0;
	int r = 0;

	if (a->spool.failed)
		return -EIO;
	/* Anything else is spool_reserve's to refuse. */
	if (how != WIRE_RESERVE_PUNCH && offset <= INT64_MAX &&
	    len <= INT64_MAX - offset)
		r = missing(a, offset, len, &need);
	if (!r && need)
		r = arrival_claim(a, need);
	if (!r) {
		a->reserved |=
		    how == WIRE_RESERVE_KEEP || how == WIRE_RESERVE_ZERO_KEEP;
		r = spool_reserve(&a->spool, offset, len, how);
	}
	/* There may have been holes; or it was only asked. */
	return r ? r : fail(a, arrival_claim(a, 0));
}

int arrival_checkpoint(struct sink_file *f)
{
	struct arrival *a = arrival_of(f);
	int r = spool_sync(&a->spool);

	return r ? r : fail(a, arrival_claim(a, 0));
}

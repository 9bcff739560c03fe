/*
 * Compares two files byte by byte. Runs in the threads that receive, through
 * fs/place. What stands in the inbox is the user's: it is looked at before it
 * is opened (a FIFO would wait, a device do things), and only read.
 */
#include "twin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "delivered.h"
#include "inbox_internal.h"
#include "provenance.h"

#define BLOCK_BYTES (64 * 1024)

static int open_to_read(int dir, const char *name)
{
	return beneath_open(
	    dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
}

/* Fills buffer from the file; less only where it ends. */
static ssize_t read_block(int fd, uint8_t *buffer)
{
	size_t got = 0;
	ssize_t n;

	while (got < BLOCK_BYTES) {
		n = read(fd, buffer + got, BLOCK_BYTES - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static bool same_bytes(int a, int b)
{
	uint8_t *buffer = malloc(2 * BLOCK_BYTES);
	ssize_t in_a, in_b;
	bool same = false;

	if (!buffer)
		return false;
	do {
		in_a = read_block(a, buffer);
		in_b = read_block(b, buffer + BLOCK_BYTES);
		same = in_a >= 0 && in_a == in_b &&
		       !memcmp(buffer, buffer + BLOCK_BYTES, (size_t)in_a);
	} while (same && in_a == BLOCK_BYTES);
	free(buffer);
	return same;
}

static bool may_be(struct inbox *in, const struct stamp *ready,
    const struct stamp *there, const struct stamp *own)
{
	if (!S_ISREG(there->mode) || there->size != ready->size ||
	    there->size > TWIN_AGAIN_MAX || there->dev != ready->dev)
		return false;
	return (own && stamp_same(own, there)) ||
	       !delivered_knows(in->delivered, there);
}

bool twin_find(struct inbox *in, int from, const char *from_name,
    const struct stamp *ready, int dir, const char *name,
    const struct stamp *own)
{
	struct stamp before, after;
	bool same = false;
	int there, ours;

	if (stamp_at(dir, name, &before) || !may_be(in, ready, &before, own))
		return false;
	there = open_to_read(dir, name);
	if (there < 0)
		return false;
	ours = open_to_read(from, from_name);
	if (ours < 0)
		goto close_there;
	same =
	    !stamp_of(there, &after) && stamp_untouched(&before, &after) &&
	    (before.size <= TWIN_BYTES_MAX || provenance_same(there, ours)) &&
	    same_bytes(there, ours);
	if (same && in->config.durable)
		same = !fsync(there);
	/* It may have been written meanwhile. */
	same = same && !stamp_of(there, &after) &&
	       stamp_untouched(&before, &after) &&
	       !stamp_at(dir, name, &after) && stamp_untouched(&before, &after);
	close(ours);
close_there:
	close(there);
	return same;
}

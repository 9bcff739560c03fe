/*
 * A ring of bytes with whole lines in it; positions count every byte since
 * the start and never go back. Any thread adds and reads. The lock is a leaf:
 * under it are only copies of memory.
 */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "escape.h"
#include "sync.h"

/* Fields beyond are cut: names have 255 bytes, sentences less. */
#define LINE_MAX_BYTES 8192
#define TIME_CHARS     24 /* 2024-05-01T12:00:00.000Z */

struct events {
	void (*added)(void *ctx);
	void *ctx;
	struct mutex lock;
	uint64_t begin GUARDED_BY(lock);
	uint64_t end GUARDED_BY(lock);
	char ring[EVENTS_KEEP] GUARDED_BY(lock);
};

struct events *events_new(
    void (*added)(void *ctx), void *ctx) NO_THREAD_ANALYSIS
{
	struct events *e = calloc(1, sizeof(*e)); /* pages come when used */

	if (!e)
		return NULL;
	e->added = added;
	e->ctx = ctx;
	mutex_init(&e->lock);
	return e;
}

void events_free(struct events *e)
{
	if (!e)
		return;
	mutex_fini(&e->lock);
	free(e);
}

/* The bytes at position that lie in one piece, n at most. */
static char *piece_locked(struct events *e, uint64_t position, size_t *n)
    REQUIRES(e->lock)
{
	size_t at = position % EVENTS_KEEP;

	if (*n > EVENTS_KEEP - at)
		*n = EVENTS_KEEP - at;
	return e->ring + at;
}

/* Forgets the oldest line. */
static void drop_locked(struct events *e) REQUIRES(e->lock)
{
	while (e->begin < e->end) {
		size_t n = (size_t)(e->end - e->begin);
		const char *from = piece_locked(e, e->begin, &n);
		const char *newline = memchr(from, '\n', n);

		e->begin += newline ? (size_t)(newline - from) + 1 : n;
		if (newline)
			return;
	}
}

static void append_locked(struct events *e, const char *line, size_t len)
    REQUIRES(e->lock)
{
	while (e->end + len - e->begin > EVENTS_KEEP)
		drop_locked(e);
	while (len) {
		size_t n = len;
		char *to = piece_locked(e, e->end, &n);

		memcpy(to, line, n);
		e->end += n;
		line += n;
		len -= n;
	}
}

static void time_now(char ret[TIME_CHARS + 1])
{
	struct timespec now;
	struct tm tm;
	char text[64];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec, (int)(now.tv_nsec / 1000000));
	memcpy(ret, text, TIME_CHARS + 1);
}

void events_add(struct events *e, const char *event, ...)
{
	char line[LINE_MAX_BYTES], stamp[TIME_CHARS + 1];
	size_t len = TIME_CHARS;
	va_list fields;

	va_start(fields, event);
	for (const char *f = event; f && sizeof(line) - len > 2;
	     f = va_arg(fields, const char *)) {
		line[len++] = '\t';
		/* Room for the newline is kept back. */
		escape_text(f, strlen(f), line + len, sizeof(line) - len - 1);
		len += strlen(line + len);
	}
	va_end(fields);
	line[len++] = '\n';

	mutex_lock(&e->lock);
	time_now(stamp); /* here, so that lines stand in order of time */
	memcpy(line, stamp, TIME_CHARS);
	append_locked(e, line, len);
	mutex_unlock(&e->lock);
	if (e->added)
		e->added(e->ctx);
}

uint64_t events_begin(struct events *e)
{
	uint64_t begin;

	mutex_lock(&e->lock);
	begin = e->begin;
	mutex_unlock(&e->lock);
	return begin;
}

uint64_t events_end(struct events *e)
{
	uint64_t end;

	mutex_lock(&e->lock);
	end = e->end;
	mutex_unlock(&e->lock);
	return end;
}

size_t events_read(struct events *e, uint64_t *position, char *ret, size_t cap)
{
	size_t done = 0;

	mutex_lock(&e->lock);
	if (*position < e->begin)
		*position = e->begin;
	while (done < cap && *position < e->end) {
		size_t n = cap - done;
		const char *from;

		if (n > e->end - *position)
			n = (size_t)(e->end - *position);
		from = piece_locked(e, *position, &n);
		memcpy(ret + done, from, n);
		done += n;
		*position += n;
	}
	mutex_unlock(&e->lock);
	return done;
}

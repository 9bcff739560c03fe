/*
 * A table of addresses in memory, written whole after each change:
 *
 *     gtfs-guesses: 1
 *     all: 17 1767225600            (wrong ones; seconds since 1970)
 *     10.0.0.7:1 3 1767225600
 *
 * A count is that of the time beside it; what has leaked away since is computed
 * when it is asked for, and what remains of a leak begins anew with each guess.
 * Times are of the wall clock, since they outlive a boot. A clock that was put
 * back makes nobody wait longer than the delay itself.
 */
#include "guess.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "log.h"
#include "sync.h"
#include "textfile.h"

#define NAME         "guesses"
#define VERSION_LINE "gtfs-guesses: 1\n"
#define LINE_MAX_LEN (ADDRESS_TEXT_MAX + 40)
#define TEXT_MAX     ((GUESS_ADDRESSES + 2) * LINE_MAX_LEN)

struct wrong {
	struct sockaddr_storage from; /* port 1: text has to have one */
	uint32_t count;               /* 0: free */
	int64_t last_s;
};

struct guess {
	int state_fd;
	struct mutex lock;
	struct cond idle;
	bool writing GUARDED_BY(lock);
	struct wrong all GUARDED_BY(lock);
	struct wrong table[GUESS_ADDRESSES] GUARDED_BY(lock);
};

/* --- the file -------------------------------------------------------------
 */

static size_t encode_locked(struct guess *g, char *ret) REQUIRES(g->lock)
{
	char address[ADDRESS_TEXT_MAX];
	size_t at;

	at = (size_t)snprintf(ret, TEXT_MAX,
	    VERSION_LINE "all: %" PRIu32 " %" PRId64 "\n", g->all.count,
	    g->all.last_s);
	for (unsigned i = 0; i < GUESS_ADDRESSES; i++) {
		if (!g->table[i].count)
			continue;
		address_format(
		    (const struct sockaddr *)&g->table[i].from, address);
		at += (size_t)snprintf(ret + at, TEXT_MAX - at,
		    "%s %" PRIu32 " %" PRId64 "\n", address, g->table[i].count,
		    g->table[i].last_s);
	}
	return at;
}

/* "COUNT SECONDS" */
static int parse_wrong(const char *text, struct wrong *ret)
{
	char *end;
	unsigned long count;
	long long last;

	errno = 0;
	count = strtoul(text, &end, 10);
	if (end == text || *end != ' ' || errno || count > UINT32_MAX)
		return -EBADMSG;
	text = end + 1;
	last = strtoll(text, &end, 10);
	if (end == text || *end || errno || last < 0)
		return -EBADMSG;
	ret->count = (uint32_t)count;
	ret->last_s = last;
	return 0;
}

static int parse_line_locked(struct guess *g, char *line, unsigned *n)
    REQUIRES(g->lock)
{
	struct wrong *w = &g->table[*n];
	char *space = strchr(line, ' ');
	int r;

	if (!strncmp(line, "all: ", 5))
		return parse_wrong(line + 5, &g->all);
	if (!space || *n == GUESS_ADDRESSES)
		return -EBADMSG;
	*space = '\0';
	r = address_parse(line, 0, &w->from);
	if (r == -ENODEV) /* an adapter that is not plugged in */
		return 0;
	if (r || parse_wrong(space + 1, w))
		return -EBADMSG;
	*n += w->count > 0;
	return 0;
}

static int decode_locked(struct guess *g, char *text) REQUIRES(g->lock)
{
	char *line = text, *end;
	unsigned n = 0;
	int r;

	if (strncmp(text, VERSION_LINE, strlen(VERSION_LINE)))
		return -EBADMSG;
	line += strlen(VERSION_LINE);
	for (; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			return -EBADMSG;
		*end = '\0';
		r = parse_line_locked(g, line, &n);
		if (r)
			return r;
	}
	return 0;
}

static int load(struct guess *g)
{
	char *text = malloc(TEXT_MAX);
	size_t len = 0;
	int r;

	if (!text)
		return -ENOMEM;
	r = textfile_read(g->state_fd, NAME, text, TEXT_MAX - 1, &len);
	if (!r) {
		text[len] = '\0';
		mutex_lock(&g->lock);
		r = strlen(text) == len ? decode_locked(g, text) : -EBADMSG;
		if (g->all.count > GUESS_ALL_MAX)
			g->all.count = GUESS_ALL_MAX;
		if (r) {
			memset(g->table, 0, sizeof(g->table));
			memset(&g->all, 0, sizeof(g->all));
		}
		mutex_unlock(&g->lock);
	}
	free(text);
	if (r == -EBADMSG || r == -EPERM) {
		log_error("the record of wrong guesses is %s: set aside",
		    r == -EPERM ? "not private" : "damaged");
		return textfile_set_aside(g->state_fd, NAME);
	}
	return r == -ENOENT ? 0 : r;
}

/* Writes what the table says when it is this one's turn. */
static int store(struct guess *g)
{
	char *text = malloc(TEXT_MAX);
	size_t len;
	int r;

	if (!text)
		return -ENOMEM;
	mutex_lock(&g->lock);
	while (g->writing)
		cond_wait(&g->idle, &g->lock);
	g->writing = true;
	len = encode_locked(g, text);
	mutex_unlock(&g->lock);
	r = textfile_write(g->state_fd, NAME, text, len);
	mutex_lock(&g->lock);
	g->writing = false;
	cond_signal(&g->idle);
	mutex_unlock(&g->lock);
	free(text);
	return r;
}

int guess_open(int state_fd, struct guess **ret)
{
	struct guess *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->state_fd = state_fd;
	mutex_init(&g->lock);
	cond_init(&g->idle);
	r = load(g);
	if (r)
		guess_close(g);
	else
		*ret = g;
	return r;
}

void guess_close(struct guess *g)
{
	if (!g)
		return;
	cond_fini(&g->idle);
	mutex_fini(&g->lock);
	free(g);
}

/* --- the rule -------------------------------------------------------------
 */

/* How many are not forgotten yet. */
static uint32_t left(const struct wrong *w, int64_t leak_s, int64_t now)
{
	int64_t gone = (now - w->last_s) / leak_s;

	return gone < w->count ? w->count - (uint32_t)gone : 0;
}

static struct wrong *find_locked(struct guess *g, const struct sockaddr *from)
    REQUIRES(g->lock)
{
	for (unsigned i = 0; i < GUESS_ADDRESSES; i++)
		if (g->table[i].count &&
		    address_same_host(
			(const struct sockaddr *)&g->table[i].from, from))
			return &g->table[i];
	return NULL;
}

/* Was anybody wrong lately who has as much of a network as this one? */
static bool was_wrong_locked(
    struct guess *g, const struct sockaddr *from, int64_t now) REQUIRES(g->lock)
{
	for (unsigned i = 0; i < GUESS_ADDRESSES; i++)
		if (left(&g->table[i], GUESS_LEAK_S, now) &&
		    address_same_source(
			(const struct sockaddr *)&g->table[i].from, from))
			return true;
	return false;
}

/* What was wrong later than now was so by a clock that has been put back. */
static void put_back_locked(struct guess *g, int64_t now) REQUIRES(g->lock)
{
	if (g->all.last_s > now)
		g->all.last_s = now;
	for (unsigned i = 0; i < GUESS_ADDRESSES; i++)
		if (g->table[i].last_s > now)
			g->table[i].last_s = now;
}

/* Twice as long after each wrong one. */
static int64_t own_wait_ms(const struct wrong *w, int64_t now)
{
	uint32_t count = left(w, GUESS_LEAK_S, now);
	int64_t delay = GUESS_MOST_MS, past = (now - w->last_s) * 1000;

	if (!count)
		return 0;
	if (count < 32 &&
	    ((int64_t)GUESS_FIRST_MS << (count - 1)) < GUESS_MOST_MS)
		delay = (int64_t)GUESS_FIRST_MS << (count - 1);
	return past < delay ? delay - past : 0;
}

/* Until fewer than so many of all are left. */
static int64_t all_wait_ms(const struct wrong *all, uint32_t max, int64_t now)
{
	uint32_t count = left(all, GUESS_ALL_LEAK_S, now);
	int64_t leaking = (now - all->last_s) % GUESS_ALL_LEAK_S;

	if (count < max)
		return 0;
	return ((int64_t)(count - max + 1) * GUESS_ALL_LEAK_S - leaking) * 1000;
}

static int64_t wait_locked(
    struct guess *g, const struct sockaddr *from, int64_t now) REQUIRES(g->lock)
{
	const struct wrong *w = find_locked(g, from);
	int64_t own, all;

	put_back_locked(g, now);
	own = w ? own_wait_ms(w, now) : 0;
	all = all_wait_ms(&g->all,
	    was_wrong_locked(g, from, now) ? GUESS_ALL_FREE : GUESS_ALL_MAX,
	    now);
	return own > all ? own : all;
}

int64_t guess_wait(struct guess *g, const struct sockaddr *from, int64_t now_s)
{
	int64_t wait;

	mutex_lock(&g->lock);
	wait = wait_locked(g, from, now_s);
	mutex_unlock(&g->lock);
	return wait;
}

static void add(struct wrong *w, int64_t leak_s, int64_t now)
{
	w->count = left(w, leak_s, now) + 1;
	w->last_s = now;
}

static struct wrong *row_locked(struct guess *g, const struct sockaddr *from)
    REQUIRES(g->lock)
{
	struct wrong *w = find_locked(g, from);

	if (w)
		return w;
	w = &g->table[0];
	for (unsigned i = 1; i < GUESS_ADDRESSES && w->count; i++)
		if (!g->table[i].count || g->table[i].last_s < w->last_s)
			w = &g->table[i];
	memset(w, 0, sizeof(*w));
	memcpy(&w->from, from, address_len(from));
	address_set_port((struct sockaddr *)&w->from, 1);
	return w;
}

int guess_take(struct guess *g, const struct sockaddr *from, int64_t now_s)
{
	bool waits;

	mutex_lock(&g->lock);
	waits = wait_locked(g, from, now_s) > 0;
	if (!waits) {
		add(row_locked(g, from), GUESS_LEAK_S, now_s);
		add(&g->all, GUESS_ALL_LEAK_S, now_s);
	}
	mutex_unlock(&g->lock);
	return waits ? -EAGAIN : store(g);
}

int guess_right(struct guess *g, const struct sockaddr *from)
{
	struct wrong *w;

	mutex_lock(&g->lock);
	w = find_locked(g, from);
	if (w) {
		/* It is one of all; what was wrong before is so still. */
		g->all.count -= g->all.count > 0;
		w->count = 0;
	}
	mutex_unlock(&g->lock);
	return w ? store(g) : 0;
}

/*
 * Tables for terminals. Runs on the only thread of a command. Widths are those
 * of the locale that the command has set.
 */
#include "show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "escape.h"

#define COLUMNS_MAX 9
#define GAP         2 /* blanks between columns */

struct grid {
	unsigned n_columns;
	size_t n, cap;
	char **cells; /* row by row */
	bool failed;  /* out of memory */
};

void show_bytes(uint64_t bytes, char ret[SHOW_CELL_MAX])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB",
		"EB" };
	unsigned i = 0;
	uint64_t tenths;

	if (bytes < 1000) {
		snprintf(ret, SHOW_CELL_MAX, "%u B", (unsigned)bytes);
		return;
	}
	/* Keeps tenths of the unit; rounds down, as nothing is yet there. */
	for (tenths = bytes / 100, i = 1; tenths >= 10000; i++)
		tenths /= 1000;
	if (tenths < 100)
		snprintf(ret, SHOW_CELL_MAX, "%u.%u %s",
		    (unsigned)(tenths / 10), (unsigned)(tenths % 10), units[i]);
	else
		snprintf(ret, SHOW_CELL_MAX, "%u %s", (unsigned)(tenths / 10),
		    units[i]);
}

void show_age(uint64_t seconds, char ret[SHOW_CELL_MAX])
{
	if (seconds == 0)
		snprintf(ret, SHOW_CELL_MAX, "now");
	else if (seconds < 120)
		snprintf(ret, SHOW_CELL_MAX, "%" PRIu64 " s", seconds);
	else if (seconds < 2 * 3600)
		snprintf(ret, SHOW_CELL_MAX, "%" PRIu64 " min", seconds / 60);
	else if (seconds < 2 * 86400)
		snprintf(ret, SHOW_CELL_MAX, "%" PRIu64 " h", seconds / 3600);
	else
		snprintf(ret, SHOW_CELL_MAX, "%" PRIu64 " d", seconds / 86400);
}

/* Safe to show; NULL is "-". To be freed; NULL: out of memory. */
static char *safe_text(const char *text)
{
	size_t len = strlen(text ? text : "-"), cap = 4 * len + 1;
	char *ret = malloc(cap);

	if (ret)
		escape_text(text ? text : "-", len, ret, cap);
	return ret;
}

static void put(struct grid *g, const char *text)
{
	size_t cap = g->cap ? 2 * g->cap : 64;
	char **more, *cell;

	if (g->failed)
		return;
	if (g->n == g->cap) {
		more = reallocarray(g->cells, cap, sizeof(*more));
		g->failed = !more;
		if (!more)
			return;
		g->cells = more;
		g->cap = cap;
	}
	cell = safe_text(text);
	g->failed = !cell;
	if (cell)
		g->cells[g->n++] = cell;
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static void put_number(struct grid *g, const char *text, const char *suffix,
    void (*show)(uint64_t, char[SHOW_CELL_MAX]))
{
	char cell[SHOW_CELL_MAX], both[2 * SHOW_CELL_MAX];
	uint64_t n;

	if (!number(text, &n)) {
		put(g, text);
		return;
	}
	show(n, cell);
	snprintf(both, sizeof(both), "%s%s", cell, suffix);
	put(g, both);
}

/* Columns that the cell takes on the terminal. */
static size_t width(const char *cell)
{
	mbstate_t state = { 0 };
	size_t sum = 0, n, left = strlen(cell);
	wchar_t c;
	int w;

	while (left > 0) {
		n = mbrtowc(&c, cell, left, &state);
		if (n == 0 || n > left) /* not of this locale's characters */
			return sum + left;
		w = wcwidth(c);
		sum += w > 0 ? (size_t)w : 0;
		cell += n;
		left -= n;
	}
	return sum;
}

/* Prints and frees it. */
static int print(FILE *out, struct grid *g)
{
	size_t widths[COLUMNS_MAX] = { 0 }, w;

	for (size_t i = 0; i < g->n; i++) {
		w = width(g->cells[i]);
		if (w > widths[i % g->n_columns])
			widths[i % g->n_columns] = w;
	}
	for (size_t i = 0; i < g->n && !g->failed; i++) {
		fputs(g->cells[i], out);
		if (i % g->n_columns == g->n_columns - 1) {
			fputc('\n', out);
			continue;
		}
		w = widths[i % g->n_columns] - width(g->cells[i]) + GAP;
		fprintf(out, "%*s", (int)w, "");
	}
	for (size_t i = 0; i < g->n; i++)
		free(g->cells[i]);
	free(g->cells);
	return g->failed ? -ENOMEM : 0;
}

static const char no_peers[] = "no peers yet: a machine on this network shows "
			       "up when gtfs runs there\n";

int show_peers(FILE *out, const struct records *peers)
{
	static const char *const heads[] = { "NAME", "STATE", "SEEN", "FREE",
		"HERE", "THERE", "VERIFIED", "ADDRESS", "FINGERPRINT" };
	struct grid g = { .n_columns = 9 };

	if (peers->n == 0) {
		fputs(no_peers, out);
		return 0;
	}
	for (unsigned i = 0; i < g.n_columns; i++)
		put(&g, heads[i]);
	for (unsigned i = 0; i < peers->n; i++) {
		put(&g, records_field(peers, i, PEERS_NAME));
		put(&g, records_field(peers, i, PEERS_STATE));
		put_number(
		    &g, records_field(peers, i, PEERS_SEEN), "", show_age);
		put_number(
		    &g, records_field(peers, i, PEERS_FREE), "", show_bytes);
		put(&g, records_field(peers, i, PEERS_POLICY));
		put(&g, records_field(peers, i, PEERS_THEIR_POLICY));
		put(&g, records_field(peers, i, PEERS_VERIFIED));
		put(&g, records_field(peers, i, PEERS_ADDRESSES));
		put(&g, records_field(peers, i, PEERS_FINGERPRINT));
	}
	return print(out, &g);
}

/* "12 MB of 1.2 GB" */
static void put_progress(
    struct grid *g, const struct records *transfers, unsigned i)
{
	const char *text = records_field(transfers, i, TRANSFERS_BYTES);
	char have[SHOW_CELL_MAX], of[SHOW_CELL_MAX];
	char both[2 * SHOW_CELL_MAX + 4];
	uint64_t bytes, total;

	if (!number(text, &bytes)) {
		put(g, text);
		return;
	}
	show_bytes(bytes, have);
	snprintf(both, sizeof(both), "%s", have);
	if (number(records_field(transfers, i, TRANSFERS_TOTAL), &total) &&
	    total != bytes) {
		show_bytes(total, of);
		snprintf(both, sizeof(both), "%s of %s", have, of);
	}
	put(g, both);
}

int show_transfers(FILE *out, const struct records *transfers)
{
	static const char *const heads[] = { "ID", "WAY", "PEER", "SIZE",
		"RATE", "STATE", "NAME", "REASON" };
	struct grid g = { .n_columns = 8 };

	if (transfers->n == 0) {
		fputs("no transfers yet: copy a file into peers/NAME/\n", out);
		return 0;
	}
	for (unsigned i = 0; i < g.n_columns; i++)
		put(&g, heads[i]);
	for (unsigned i = 0; i < transfers->n; i++) {
		put(&g, records_field(transfers, i, TRANSFERS_ID));
		put(&g, records_field(transfers, i, TRANSFERS_DIRECTION));
		put(&g, records_field(transfers, i, TRANSFERS_PEER));
		put_progress(&g, transfers, i);
		put_number(&g, records_field(transfers, i, TRANSFERS_RATE),
		    "/s", show_bytes);
		put(&g, records_field(transfers, i, TRANSFERS_STATE));
		put(&g, records_field(transfers, i, TRANSFERS_NAME));
		put(&g, records_field(transfers, i, TRANSFERS_REASON));
	}
	return print(out, &g);
}

int show_requests(FILE *out, const struct records *requests)
{
	static const char *const heads[] = { "NAME", "FILE", "SIZE", "LEFT",
		"WORDS", "ADDRESS", "FINGERPRINT" };
	struct grid g = { .n_columns = 7 };

	if (requests->n == 0) {
		fputs("nobody asks to be let in\n", out);
		return 0;
	}
	for (unsigned i = 0; i < g.n_columns; i++)
		put(&g, heads[i]);
	for (unsigned i = 0; i < requests->n; i++) {
		put(&g, records_field(requests, i, REQUESTS_NAME));
		put(&g, records_field(requests, i, REQUESTS_FILE));
		put_number(&g, records_field(requests, i, REQUESTS_SIZE), "",
		    show_bytes);
		put_number(&g, records_field(requests, i, REQUESTS_EXPIRES), "",
		    show_age);
		put(&g, records_field(requests, i, REQUESTS_WORDS));
		put(&g, records_field(requests, i, REQUESTS_ADDRESS));
		put(&g, records_field(requests, i, REQUESTS_FINGERPRINT));
	}
	return print(out, &g);
}

int show_why(FILE *out, const struct records *why)
{
	char *text;

	if (why->n == 0)
		fputs(no_peers, out);
	for (unsigned i = 0; i < why->n; i++) {
		text = safe_text(records_field(why, i, WHY_WHY));
		if (!text)
			return -ENOMEM;
		fprintf(out, "%s\n", text);
		free(text);
	}
	return 0;
}

void show_self(FILE *out, const struct records *self)
{
	size_t longest = 0, len;

	for (unsigned i = 0; i < self->n; i++) {
		len = strlen(records_field(self, i, 0));
		longest = len > longest ? len : longest;
	}
	for (unsigned i = 0; i < self->n; i++) {
		char *key = safe_text(records_field(self, i, 0));
		char *value = safe_text(records_field(self, i, 1));

		fprintf(out, "%-*s  %s\n", (int)longest, key ? key : "",
		    value ? value : "");
		free(key);
		free(value);
	}
}

/*
 * Lines to fields. The one who writes them is fs/ctl of a running mount; what
 * is in them came from peers, so nothing is believed about it here.
 */
#include "records.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const struct column peers_columns[PEERS_COLUMNS] = {
	[PEERS_NAME] = { "name", COLUMN_TEXT },
	[PEERS_STATE] = { "state", COLUMN_TEXT },
	[PEERS_FINGERPRINT] = { "fingerprint", COLUMN_TEXT },
	[PEERS_ADDRESSES] = { "addresses", COLUMN_LIST },
	[PEERS_SEEN] = { "seen", COLUMN_NUMBER },
	[PEERS_FREE] = { "free", COLUMN_NUMBER },
	[PEERS_POLICY] = { "policy", COLUMN_OPTIONAL },
	[PEERS_THEIR_POLICY] = { "their_policy", COLUMN_OPTIONAL },
	[PEERS_VERIFIED] = { "verified", COLUMN_OPTIONAL },
};

const struct column transfers_columns[TRANSFERS_COLUMNS] = {
	[TRANSFERS_ID] = { "id", COLUMN_NUMBER },
	[TRANSFERS_DIRECTION] = { "direction", COLUMN_TEXT },
	[TRANSFERS_PEER] = { "peer", COLUMN_TEXT },
	[TRANSFERS_NAME] = { "name", COLUMN_TEXT },
	[TRANSFERS_BYTES] = { "bytes", COLUMN_NUMBER },
	[TRANSFERS_TOTAL] = { "total", COLUMN_NUMBER },
	[TRANSFERS_RATE] = { "rate", COLUMN_NUMBER },
	[TRANSFERS_STATE] = { "state", COLUMN_TEXT },
	[TRANSFERS_REASON] = { "reason", COLUMN_OPTIONAL },
};

const struct column requests_columns[REQUESTS_COLUMNS] = {
	[REQUESTS_NAME] = { "name", COLUMN_TEXT },
	[REQUESTS_FINGERPRINT] = { "fingerprint", COLUMN_TEXT },
	[REQUESTS_WORDS] = { "words", COLUMN_TEXT },
	[REQUESTS_FILE] = { "file", COLUMN_TEXT },
	[REQUESTS_SIZE] = { "size", COLUMN_NUMBER },
	[REQUESTS_ADDRESS] = { "address", COLUMN_TEXT },
	[REQUESTS_ASKED] = { "asked", COLUMN_NUMBER },
	[REQUESTS_EXPIRES] = { "expires", COLUMN_NUMBER },
};

const struct column why_columns[WHY_COLUMNS] = {
	[WHY_NAME] = { "name", COLUMN_TEXT },
	[WHY_WHY] = { "why", COLUMN_TEXT },
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* c as UTF-8; returns its length, or 0 where there is no such character. */
static size_t put_character(uint32_t c, char *to)
{
	if (c == 0 || c > 0x10ffff)
		return 0;
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/*
 * The escape at *from (behind its backslash), moved past it. Returns the
 * length of what it stands for, 0 if it is none. At most as long as itself.
 */
static size_t take_escape(const char **from, char *to)
{
	const char *p = *from;
	uint32_t c = 0;

	switch (*p++) {
	case 'n': *to = '\n'; break;
	case 't': *to = '\t'; break;
	case '\\': *to = '\\'; break;
	case 'x':
		if (hex(p[0]) < 0 || hex(p[1]) < 0)
			return 0;
		*to = (char)(hex(p[0]) << 4 | hex(p[1]));
		p += 2;
		break;
	case 'u':
		if (*p++ != '{')
			return 0;
		for (int i = 0; i < 6 && hex(*p) >= 0; i++)
			c = c << 4 | (uint32_t)hex(*p++);
		if (*p++ != '}')
			return 0;
		*from = p;
		return put_character(c, to);
	default: return 0;
	}
	*from = p;
	return *to ? 1 : 0;
}

void records_unescape(char *field)
{
	char *real = strdup(field), *to = real;
	const char *from = field;
	size_t n;

	/* Out of memory: the escaped text is right enough. */
	while (real && *from) {
		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		from++;
		n = take_escape(&from, to);
		if (n == 0)
			goto as_it_is;
		to += n;
	}
	if (real) {
		*to = '\0';
		strcpy(field, real);
	}
as_it_is:
	free(real);
}

/* How many lines; a last one without an end counts. */
static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	while (*text) {
		text += strcspn(text, "\n");
		text += *text == '\n';
		n++;
	}
	return n;
}

static char *take_field(char *field, enum column_kind kind)
{
	if (kind != COLUMN_TEXT && strcmp(field, "-") == 0)
		return NULL;
	records_unescape(field);
	return field;
}

static int make_room(char *text, unsigned n_columns, struct records *ret)
{
	struct records r = { .n = count_lines(text), .n_columns = n_columns };

	r.fields = calloc((size_t)r.n * n_columns + 1, sizeof(*r.fields));
	if (!r.fields) {
		free(text);
		return -ENOMEM;
	}
	r.text = text;
	*ret = r;
	return 0;
}

/* The next line, cut off, and *at behind it. */
static char *take_line(char **at)
{
	char *line = *at;

	*at += strcspn(*at, "\n");
	if (**at)
		*(*at)++ = '\0';
	return line;
}

int records_parse(char *text, const struct column *columns, unsigned n_columns,
    struct records *ret)
{
	char *at = text, *line, *field, **out;
	int r = make_room(text, n_columns, ret);

	if (r)
		return r;
	for (unsigned i = 0; i < ret->n; i++) {
		line = take_line(&at);
		out = &ret->fields[(size_t)i * n_columns];
		for (unsigned j = 0; j < n_columns && line; j++) {
			field = strsep(&line, "\t");
			out[j] = take_field(field, columns[j].kind);
		}
	}
	return 0;
}

int records_parse_pairs(char *text, struct records *ret)
{
	char *at = text, *line, *colon;
	int r = make_room(text, 2, ret);

	if (r)
		return r;
	for (unsigned i = 0; i < ret->n; i++) {
		line = take_line(&at);
		ret->fields[2 * i] = line;
		colon = strstr(line, ": ");
		if (!colon)
			continue;
		*colon = '\0';
		ret->fields[2 * i + 1] = take_field(colon + 2, COLUMN_TEXT);
	}
	return 0;
}

const char *records_value(const struct records *pairs, const char *key)
{
	for (unsigned i = 0; i < pairs->n; i++)
		if (strcmp(records_field(pairs, i, 0), key) == 0)
			return records_field(pairs, i, 1);
	return NULL;
}

void records_fini(struct records *r)
{
	free(r->fields);
	free(r->text);
	*r = (struct records){ 0 };
}

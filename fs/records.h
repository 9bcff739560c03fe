/*
 * The text files of .gtfs as records (gtfs(1), section FILES): lines of
 * fields with tabs between, escaped as escape_text does. Pure functions.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include <stddef.h>

enum column_kind {
	COLUMN_TEXT,     /* always there; "-" is itself */
	COLUMN_OPTIONAL, /* "-": absent */
	COLUMN_NUMBER,   /* "-": absent */
	COLUMN_LIST,     /* commas between; "-": absent */
};

struct column {
	const char *name;
	enum column_kind kind;
};

enum { /* .gtfs/peers */
	PEERS_NAME,
	PEERS_STATE,
	PEERS_FINGERPRINT,
	PEERS_ADDRESSES,
	PEERS_SEEN,
	PEERS_FREE,
	PEERS_POLICY,
	PEERS_THEIR_POLICY,
	PEERS_VERIFIED,
	PEERS_COLUMNS,
};

enum { /* .gtfs/transfers */
	TRANSFERS_ID,
	TRANSFERS_DIRECTION,
	TRANSFERS_PEER,
	TRANSFERS_NAME,
	TRANSFERS_BYTES,
	TRANSFERS_TOTAL,
	TRANSFERS_RATE,
	TRANSFERS_STATE,
	TRANSFERS_REASON,
	TRANSFERS_COLUMNS,
};

enum { /* .gtfs/requests/, a file each */
	REQUESTS_NAME,
	REQUESTS_FINGERPRINT,
	REQUESTS_WORDS,
	REQUESTS_FILE,
	REQUESTS_SIZE,
	REQUESTS_ADDRESS,
	REQUESTS_ASKED,
	REQUESTS_EXPIRES,
	REQUESTS_COLUMNS,
};

enum { /* .gtfs/why/, a file each */
	WHY_NAME,
	WHY_WHY,
	WHY_COLUMNS,
};

extern const struct column peers_columns[PEERS_COLUMNS];
extern const struct column transfers_columns[TRANSFERS_COLUMNS];
extern const struct column requests_columns[REQUESTS_COLUMNS];
extern const struct column why_columns[WHY_COLUMNS];

struct records {
	unsigned n, n_columns;
	/* n * n_columns; NULL: absent. The real bytes, whatever they are; where
	 * the escapes are none of escape_text's, the text as it stands. */
	char **fields;
	char *text; /* what the fields point into */
};

/*
 * Lines with missing fields have them absent; superfluous ones are ignored, so
 * that a command and a mount of two versions understand each other. Takes
 * text (from malloc, NUL-terminated), also on failure. 0 or -ENOMEM.
 */
int records_parse(char *text, const struct column *columns, unsigned n_columns,
    struct records *ret);

/* The lines `key: value` of .gtfs/self: two columns. As records_parse. */
int records_parse_pairs(char *text, struct records *ret);

/* The value of a key among pairs, or NULL. */
const char *records_value(const struct records *pairs, const char *key);

static inline const char *records_field(
    const struct records *r, unsigned row, unsigned column)
{
	return r->fields[(size_t)row * r->n_columns + column];
}

void records_fini(struct records *r);

/* Undoes escape_text in place; text that it has not made stays as it is. */
void records_unescape(char *field);

#endif

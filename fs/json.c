/*
 * Writes JSON and never reads it. Runs on the only thread of a command; the
 * stream's errors are for the caller to see at the end.
 */
#include "json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

#define CHARACTER_MAX 4 /* bytes of UTF-8 */

/* The length of the character at text, which is UTF-8 (RFC 3629). */
static size_t character(const char *text)
{
	size_t len = 1;

	while ((text[len] & 0xc0) == 0x80)
		len++;
	return len;
}

static uint32_t code_point(const char *text, size_t len)
{
	static const uint8_t lead_mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (uint8_t)text[0] & lead_mask[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((uint8_t)text[i] & 0x3f);
	return c;
}

static void put_escape(FILE *out, uint32_t c)
{
	if (c >= 0x10000) { /* a surrogate pair: RFC 8259, section 7 */
		fprintf(out, "\\u%04x", (unsigned)(0xd7c0 + (c >> 10)));
		c = 0xdc00 + (c & 0x3ff);
	}
	fprintf(out, "\\u%04x", (unsigned)c);
}

static void put_text(FILE *out, const char *text)
{
	char shown[4 * CHARACTER_MAX + 1];
	size_t len;

	for (; *text; text += len) {
		len = character(text);
		escape_text(text, len, shown, sizeof(shown));
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if (strncmp(shown, text, len) == 0 && !shown[len])
			fwrite(text, 1, len, out);
		else
			put_escape(out, code_point(text, len));
	}
}

void json_string(FILE *out, const char *text)
{
	size_t len = strlen(text), cap = 4 * len + 1;
	char *escaped = NULL;

	if (!escape_is_utf8(text, len))
		escaped = malloc(cap);
	if (escaped)
		escape_text(text, len, escaped, cap);
	fputc('"', out);
	if (escaped || escape_is_utf8(text, len))
		put_text(out, escaped ? escaped : text);
	fputc('"', out);
	free(escaped);
}

/* Digits without a zero in front: a number of JSON too. */
static bool is_number(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= 20 && strspn(text, "0123456789") == len &&
	       (text[0] != '0' || len == 1);
}

static void put_list(FILE *out, const char *text)
{
	char item[256];
	size_t len;

	fputc('[', out);
	for (bool first = true; *text; first = false) {
		len = strcspn(text, ",");
		snprintf(item, sizeof(item), "%.*s", (int)len, text);
		if (!first)
			fputs(", ", out);
		json_string(out, item);
		text += len + (text[len] == ',');
	}
	fputc(']', out);
}

static void put_value(FILE *out, const char *text, enum column_kind kind)
{
	if (kind == COLUMN_LIST)
		put_list(out, text ? text : "");
	else if (!text)
		fputs("null", out);
	else if (kind == COLUMN_NUMBER && is_number(text))
		fputs(text, out);
	else
		json_string(out, text);
}

void json_records(
    FILE *out, const struct records *r, const struct column *columns)
{
	fputc('[', out);
	for (unsigned i = 0; i < r->n; i++) {
		fputs(i ? ",\n {" : "{", out);
		for (unsigned j = 0; j < r->n_columns; j++) {
			if (j)
				fputs(", ", out);
			json_string(out, columns[j].name);
			fputs(": ", out);
			put_value(out, records_field(r, i, j), columns[j].kind);
		}
		fputc('}', out);
	}
	fputc(']', out);
}

void json_pairs(FILE *out, const struct records *pairs)
{
	fputc('{', out);
	for (unsigned i = 0; i < pairs->n; i++) {
		const char *key = records_field(pairs, i, 0);
		bool number = !strcmp(key, "port") || !strcmp(key, "pid");

		if (i)
			fputs(", ", out);
		json_string(out, key);
		fputs(": ", out);
		put_value(out, records_field(pairs, i, 1),
		    number ? COLUMN_NUMBER : COLUMN_TEXT);
	}
	fputc('}', out);
}

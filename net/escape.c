/*
 * Text of others made safe: one walk over its characters, and one question
 * about each ("does it stay as it is?"), for lines that are shown and for names
 * that become folders. Pure functions, any thread.
 */
#include "escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NAME_CAP 64
/* The longest escape: \u{10ffff}. */
#define ESCAPE_CAP 16
#define NOT_UTF8   UINT32_MAX

/*
 * One character at p, of at most left bytes (left > 0): its length, and itself
 * in *ret_c; or 1 and NOT_UTF8. RFC 3629, section 4.
 */
static size_t next_char(const uint8_t *p, size_t left, uint32_t *ret_c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = p[0];
	size_t len;

	*ret_c = NOT_UTF8;
	if (c < 0x80)
		len = 1;
	else if ((c & 0xe0) == 0xc0)
		len = 2, c &= 0x1f;
	else if ((c & 0xf0) == 0xe0)
		len = 3, c &= 0x0f;
	else if ((c & 0xf8) == 0xf0)
		len = 4, c &= 0x07;
	else
		return 1;
	if (len > left)
		return 1;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 1;
	*ret_c = c;
	return len;
}

bool escape_is_utf8(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	uint32_t c;

	for (size_t at = 0; at < len;) {
		at += next_char(p + at, len - at, &c);
		if (c == NOT_UTF8)
			return false;
	}
	return true;
}

/*
 * What is not seen, or moves what is seen: the controls (C0, DEL, C1), line and
 * paragraph separators, interlinear annotations, noncharacters used as marks,
 * and the property Default_Ignorable_Code_Point (Unicode 15,
 * DerivedCoreProperties.txt), which holds the bidi controls, joiners,
 * zero-width spaces, variation selectors and tags.
 */
static const struct {
	uint32_t first, last;
} hidden[] = {
	{ 0x0000, 0x001f },
	{ 0x007f, 0x009f },
	{ 0x00ad, 0x00ad },
	{ 0x034f, 0x034f },
	{ 0x061c, 0x061c },
	{ 0x115f, 0x1160 },
	{ 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f },
	{ 0x200b, 0x200f },
	{ 0x2028, 0x202e },
	{ 0x2060, 0x206f },
	{ 0x3164, 0x3164 },
	{ 0xfe00, 0xfe0f },
	{ 0xfeff, 0xfeff },
	{ 0xffa0, 0xffa0 },
	{ 0xfff0, 0xfffb },
	{ 0xfffe, 0xffff },
	{ 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a },
	{ 0xe0000, 0xe0fff },
};

static bool stays(uint32_t c)
{
	if (c == '\\' || c == NOT_UTF8)
		return false;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return false;
	return true;
}

/* The escape of c, or of the byte that is not UTF-8. Returns its length. */
static size_t write_escape(uint32_t c, uint8_t byte, char out[ESCAPE_CAP])
{
	int n;

	if (c == '\n')
		n = snprintf(out, ESCAPE_CAP, "\\n");
	else if (c == '\t')
		n = snprintf(out, ESCAPE_CAP, "\\t");
	else if (c == '\\')
		n = snprintf(out, ESCAPE_CAP, "\\\\");
	else if (c == NOT_UTF8 || c < 0x80)
		n = snprintf(out, ESCAPE_CAP, "\\x%02x", (unsigned)byte);
	else
		n = snprintf(out, ESCAPE_CAP, "\\u{%x}", (unsigned)c);
	return (size_t)n;
}

void escape_text(const char *text, size_t len, char *ret, size_t cap)
{
	const uint8_t *p = (const uint8_t *)text;
	char escape[ESCAPE_CAP];
	size_t used = 0, n, piece_len;
	const char *piece;
	uint32_t c;

	if (cap == 0)
		return;
	for (size_t at = 0; at < len; at += n) {
		n = next_char(p + at, len - at, &c);
		piece = text + at;
		piece_len = n;
		if (!stays(c)) {
			piece = escape;
			piece_len = write_escape(c, p[at], escape);
		}
		if (piece_len >= cap - used)
			break;
		memcpy(ret + used, piece, piece_len);
		used += piece_len;
	}
	ret[used] = '\0';
}

void escape_name(const char *name, size_t len, char ret[NAME_CAP])
{
	const uint8_t *p = (const uint8_t *)name;
	size_t used = 0, n;
	bool keep;
	uint32_t c;

	for (size_t at = 0; at < len; at += n) {
		n = next_char(p + at, len - at, &c);
		if (used == 0 && (c == '.' || c == ' '))
			continue;
		keep = stays(c) && c != '/' && (used > 0 || c != '-');
		if ((keep ? n : 1) >= NAME_CAP - used)
			break;
		if (keep)
			memcpy(ret + used, name + at, n);
		else
			ret[used] = '_';
		used += keep ? n : 1;
	}
	while (used > 0 && ret[used - 1] == ' ')
		used--;
	ret[used] = '\0';
	if (used == 0)
		strcpy(ret, "peer");
}

void escape_numbered(const char *name, unsigned n, char ret[64])
{
	char tail[16];
	size_t keep = strlen(name), tail_len;

	snprintf(tail, sizeof(tail), " (%u)", n);
	tail_len = strlen(tail);
	if (keep + tail_len > NAME_CAP - 1) {
		keep = NAME_CAP - 1 - tail_len;
		while (keep > 0 && ((uint8_t)name[keep] & 0xc0) == 0x80)
			keep--;
	}
	memmove(ret, name, keep);
	memcpy(ret + keep, tail, tail_len + 1);
}

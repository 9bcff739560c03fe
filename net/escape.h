/*
 * Text of others made safe to show, and names made safe as a path component.
 * Pure functions, any thread.
 */
#ifndef ESCAPE_H
#define ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes text as one field of a line: control characters (C0, DEL, C1), line
 * and paragraph separators, bidi controls, zero-width characters, backslash
 * and bytes that are not UTF-8 become \n, \t, \\, \xHH or \u{H}. What is
 * printable stays. Always NUL-terminated; cut (at a character) to fit cap.
 * An escape of every byte fits in 4 * len + 1 bytes.
 */
void escape_text(const char *text, size_t len, char *ret, size_t cap);

/* Is it well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool escape_is_utf8(const char *text, size_t len);

/*
 * A peer's chosen name made safe as one path component, also where a shell puts
 * it for a '*': what escape_text would escape, '/', and a '-' in front become
 * '_'; leading dots and spaces, trailing spaces go; an empty result is "peer";
 * at most 63 bytes, cut at a character. Deterministic.
 */
void escape_name(const char *name, size_t len, char ret[64]);

/*
 * "name (2)" for n = 2: at most 63 bytes, name cut at a character. ret may be
 * name.
 */
void escape_numbered(const char *name, unsigned n, char ret[64]);

#endif

/*
 * Records of .gtfs files as JSON (RFC 8259), one object a line. What a
 * terminal would not show as it is stands as \u escapes.
 */
#ifndef JSON_H
#define JSON_H

#include <stdio.h>

#include "records.h"

/*
 * text in quotes. JSON knows no bytes that are not UTF-8: a text with such is
 * written as escape_text writes it (\xHH).
 */
void json_string(FILE *out, const char *text);

/* [{"name": "laptop", ...}, ...]; what is absent is null. No line end. */
void json_records(
    FILE *out, const struct records *r, const struct column *columns);

/* {"name": "laptop", ...} of `key: value` lines. No line end. */
void json_pairs(FILE *out, const struct records *pairs);

#endif

/*
 * Records of .gtfs files for people: aligned columns, sizes and times in
 * units, nothing that a terminal would take for a command.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdint.h>
#include <stdio.h>

#include "records.h"

#define SHOW_CELL_MAX 32

/* "999 B", "1.2 kB", "12 MB": thousands, at most three digits. */
void show_bytes(uint64_t bytes, char ret[SHOW_CELL_MAX]);
/* "now", "12 s", "3 min", "2 h", "5 d". */
void show_age(uint64_t seconds, char ret[SHOW_CELL_MAX]);

/* These return 0 or -ENOMEM; the stream's errors are the caller's to see. */
int show_peers(FILE *out, const struct records *peers);
int show_transfers(FILE *out, const struct records *transfers);
int show_requests(FILE *out, const struct records *requests);
/* A paragraph each. */
int show_why(FILE *out, const struct records *why);
void show_self(FILE *out, const struct records *self);

#endif

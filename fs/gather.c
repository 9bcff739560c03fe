/*
 * Runs on the only thread of a command. What the files say is escaped, and
 * their names are escaped here, so that all of it is lines of fields for
 * fs/records.
 */
#include "gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "escape.h"

#define NAME_BYTES 255

/* One file's text as a line. */
typedef void put_line(FILE *out, const char *name, const char *text);

static void put_name(FILE *out, const char *name)
{
	char safe[4 * NAME_BYTES + 1];

	escape_text(name, strlen(name), safe, sizeof(safe));
	fputs(safe, out);
}

/* The value of `key: value` in text, or "-". */
static void put_value(FILE *out, const char *text, const char *key)
{
	size_t len = strlen(key);

	while (*text) {
		const char *end = text + strcspn(text, "\n");

		if (!strncmp(text, key, len) && !strncmp(text + len, ": ", 2)) {
			text += len + 2;
			fprintf(out, "%.*s", (int)(end - text), text);
			return;
		}
		text = *end ? end + 1 : end;
	}
	fputc('-', out);
}

static void put_request(FILE *out, const char *name, const char *text)
{
	(void)name;
	for (unsigned i = 0; i < REQUESTS_COLUMNS; i++) {
		put_value(out, text, requests_columns[i].name);
		fputc(i + 1 < REQUESTS_COLUMNS ? '\t' : '\n', out);
	}
}

/* Its lines are sentences. */
static void put_why(FILE *out, const char *name, const char *text)
{
	size_t len = strlen(text);

	put_name(out, name);
	fputc('\t', out);
	while (len && text[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < len; i++)
		fputc(text[i] == '\n' || text[i] == '\t' ? ' ' : text[i], out);
	fputc('\n', out);
}

static int add_file(const struct mount_entry *m, const char *folder,
    const char *name, put_line *put, FILE *out)
{
	char path[NAME_BYTES + 32], *text;
	int r;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	r = ask_read(m, path, &text);
	if (r)
		return r;
	put(out, name, text);
	free(text);
	return 0;
}

static int add_all(
    const struct mount_entry *m, const char *folder, put_line *put, FILE *out)
{
	char **names;
	int n = ask_list(m, folder, &names), r = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (!r)
			r = add_file(m, folder, names[i], put, out);
		if (r == -ENOENT)
			r = 0;
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return r;
}

static int gather(const struct mount_entry *m, const char *folder,
    const char *name, put_line *put, char **ret)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return -ENOMEM;
	r = name ? add_file(m, folder, name, put, out)
		 : add_all(m, folder, put, out);
	if (fclose(out) && !r)
		r = -ENOMEM;
	if (r)
		free(text);
	else
		*ret = text;
	return r;
}

int gather_requests(const struct mount_entry *m, struct records *ret)
{
	char *text;
	int r = gather(m, "requests", NULL, put_request, &text);

	return r ? r
		 : records_parse(text, requests_columns, REQUESTS_COLUMNS, ret);
}

int gather_why(
    const struct mount_entry *m, const char *name, struct records *ret)
{
	char *text;
	int r = gather(m, "why", name, put_why, &text);

	return r ? r : records_parse(text, why_columns, WHY_COLUMNS, ret);
}

/*
 * A table of patterns, tried one after the other: it is asked once a close.
 * What is in it was seen (strace, the versions of Debian 12) or is the
 * program's documented habit. A name that only looks like one of these costs
 * its user nothing but a moment: the file is shown when its writer ends.
 */
#include "inuse.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * In a pattern '*' is any text, also none, and '?' one letter, digit or '_':
 * what mkstemp(3) and its relatives put in the place of XXXXXX.
 */
static const struct {
	const char *pattern;
	enum inuse what;
} table[] = {
	/* Locks and swaps: there for as long as a document is open. */
	{ ".~lock.*#", INUSE_LOCK }, /* LibreOffice */
	{ ".#*", INUSE_LOCK },       /* emacs; gnupg */
	{ ".*.sw?", INUSE_LOCK },    /* vim: .swp, .swo, .swx */
	{ ".*.sw?x", INUSE_LOCK },   /* ... is this disk's case its own? */

	/* rsync's .NAME.XXXXXX; Chromium's .com.google.Chrome.XXXXXX */
	{ ".*.??????", INUSE_WRITING },
	{ ".goutputstream-*", INUSE_WRITING }, /* gio: all of GNOME */
	{ "sed??????", INUSE_WRITING },        /* sed -i */
	{ "zi??????", INUSE_WRITING },         /* zip */
	/* ar, ranlib, strip, objcopy: the new archive, copied over the old one
	 * or renamed to it, and removed. */
	{ "st??????", INUSE_WRITING },
	{ "XX??????", INUSE_WRITING },     /* perl -i */
	{ "d2utmp??????", INUSE_WRITING }, /* dos2unix, unix2dos */
	{ "tmp????????", INUSE_WRITING },  /* Python's tempfile */
	{ "*.part", INUSE_WRITING },       /* KIO, Firefox, yt-dlp */
	{ "*.partial~", INUSE_WRITING },   /* Thunar */
	{ "*.crdownload", INUSE_WRITING }, /* Chromium */
	{ "*.tmp", INUSE_WRITING },        /* LibreOffice's luXXXX.tmp, 7z */
	{ "*~", INUSE_WRITING },           /* backups: vim, emacs, cp -b */
	{ "#*#", INUSE_WRITING },          /* emacs, saving by itself */
	{ "4913", INUSE_WRITING },         /* vim: may I write here? */
	{ "*-journal", INUSE_WRITING },    /* SQLite */
	{ "*-wal", INUSE_WRITING },
	{ "*-shm", INUSE_WRITING },
};

static bool is_letter(char c, char first, char last)
{
	return c >= first && c <= last;
}

static bool is_filler(char c)
{
	return is_letter(c, 'a', 'z') || is_letter(c, 'A', 'Z') ||
	       is_letter(c, '0', '9') || c == '_';
}

/* No pattern has more than one '*', so one place to come back to is enough. */
static bool matches(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (*pattern == '?' ? is_filler(*name)
					   : *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/*
 * Qt's QSaveFile, with which KDE's programs write: NAME.XXXXXX, six letters, of
 * both cases in 32 of 33. Extensions of six letters (.config, .sqlite) are of
 * one case.
 */
static bool is_qsavefile(const char *name)
{
	const char *p, *dot = NULL;
	bool lower = false, upper = false;
	size_t n = 0;

	for (p = name; *p; p++) {
		if (*p == '.')
			dot = p;
	}
	if (!dot || dot == name)
		return false;
	for (p = dot + 1; *p; p++, n++) {
		lower |= is_letter(*p, 'a', 'z');
		upper |= is_letter(*p, 'A', 'Z');
		if (!is_letter(*p, 'a', 'z') && !is_letter(*p, 'A', 'Z'))
			return false;
	}
	return n == 6 && lower && upper;
}

enum inuse inuse_of(const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (matches(table[i].pattern, name))
			return table[i].what;
	}
	return is_qsavefile(name) ? INUSE_WRITING : INUSE_NO;
}

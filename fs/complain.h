/*
 * The one line on stderr with which gtfs refuses: "gtfs: what: why; what to
 * do". For the command line and the commands; a running daemon logs (net/log).
 */
#ifndef COMPLAIN_H
#define COMPLAIN_H

/* Control characters in it are escaped; at most COMPLAIN_MAX - 1 bytes. */
#define COMPLAIN_MAX 2048
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

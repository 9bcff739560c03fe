/*
 * Log messages: each is formatted on the caller's stack and leaves in one
 * write(2), so that the lines of several threads do not mix and no lock is
 * needed. Any thread.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static atomic_int max_level = LOG_LEVEL_INFO;
static atomic_int output = STDERR_FILENO;

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

void log_set_level(enum log_level level)
{
	atomic_store(&max_level, (int)level);
}

void log_set_output(int fd)
{
	if (fd < 0)
		openlog("gtfs", LOG_PID, LOG_DAEMON);
	atomic_store(&output, fd);
}

/* A message is one line, whatever was formatted into it. */
static void flatten(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void log_message(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno, fd = atomic_load(&output);
	size_t head, len;
	va_list ap;

	if ((int)level > atomic_load(&max_level))
		return;
	head = (size_t)snprintf(
	    line, sizeof(line), "gtfs: %s: ", levels[level].name);
	va_start(ap, fmt);
	vsnprintf(line + head, sizeof(line) - head - 1, fmt, ap);
	va_end(ap);
	flatten(line + head);

	if (fd < 0) {
		syslog(levels[level].priority, "%s", line + head);
	} else {
		len = strlen(line);
		line[len++] = '\n';
		/* Where the log cannot be written, nobody can be told. */
		if (write(fd, line, len) < 0)
			errno = saved;
	}
	errno = saved;
}

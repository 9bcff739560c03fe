/* Complaints of the foreground program, from whatever its arguments hold. */
#include "complain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"

void complain(const char *fmt, ...)
{
	char line[COMPLAIN_MAX], safe[4 * COMPLAIN_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	escape_text(line, strlen(line), safe, sizeof(safe));
	fprintf(stderr, "gtfs: %s\n", safe);
}

/*
 * Runs once, in the main thread, in the process that stays.
 */
#include "harden.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "locked.h"
#include "log.h"
#include "sanitized.h"

void harden(void)
{
	const struct rlimit none = { 0, 0 };

	if (SANITIZED)
		return;
	/* PR_SET_DUMPABLE also stops a core_pattern that is a pipe, which
	 * heeds no limit (core(5)), and ptrace(2) by the same user. */
	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		log_debug("core dumps are possible: %s", strerror(errno));
	if (!locked_works())
		log_debug("keys cannot be locked in memory");
}

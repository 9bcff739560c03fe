/*
 * What a peer may call a file, an attribute, and the target of a link
 * (gtfs-protocol(7), sections FILE NAMES, ATTRIBUTES and LINKS). Pure
 * functions, any thread; net/wire.c asks them of every message, fs asks them
 * before it sends one.
 */
#include <string.h>

#include "wire.h"

bool wire_name_ok(const char *name, size_t name_len)
{
	if (name_len == 0 || name_len > WIRE_NAME_MAX)
		return false;
	if (memchr(name, '\0', name_len) || memchr(name, '/', name_len))
		return false;
	return !(name[0] == '.' &&
		 (name_len == 1 || (name_len == 2 && name[1] == '.')));
}

bool wire_xattr_ok(const char *name, size_t name_len)
{
	static const char user[] = "user.", ours[] = "user.gtfs.";
	size_t n = sizeof(user) - 1, own = sizeof(ours) - 1;

	if (name_len <= n || name_len > WIRE_XATTR_NAME_MAX)
		return false;
	if (memchr(name, '\0', name_len) || memcmp(name, user, n) != 0)
		return false;
	return name_len < own || memcmp(name, ours, own) != 0;
}

int wire_target_climb(const char *target, size_t len)
{
	const char *at = target, *end = target + len;
	bool named = false;
	int climb = 0;

	if (len == 0 || len > WIRE_TARGET_MAX || *at == '/' ||
	    memchr(target, '\0', len))
		return -1;
	while (at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t n = (size_t)((slash ? slash : end) - at);

		if (n == 2 && at[0] == '.' && at[1] == '.') {
			if (named) /* the name may be a link itself */
				return -1;
			climb++;
		} else if (n > 1 || (n == 1 && at[0] != '.')) {
			named = true;
		}
		at = slash ? slash + 1 : end;
	}
	return climb;
}

bool wire_target_ok(const char *target, size_t len, unsigned depth)
{
	int climb = wire_target_climb(target, len);

	return climb >= 0 && (unsigned)climb <= depth;
}

/*
 * The error codes of gtfs-protocol(7) and errno(3). Pure functions, any thread.
 */
#include <errno.h>

#include "wire.h"

static const int errnos[] = {
	[WIRE_OK] = 0,
	[WIRE_EIO] = EIO,
	[WIRE_EACCES] = EACCES,
	[WIRE_ENOSPC] = ENOSPC,
	[WIRE_EDQUOT] = EDQUOT,
	[WIRE_ECANCELED] = ECANCELED,
	[WIRE_EILSEQ] = EILSEQ,
	[WIRE_ENAMETOOLONG] = ENAMETOOLONG,
	[WIRE_ESTALE] = ESTALE,
	[WIRE_ENOENT] = ENOENT,
	[WIRE_EEXIST] = EEXIST,
	[WIRE_ENOTDIR] = ENOTDIR,
	[WIRE_EISDIR] = EISDIR,
	[WIRE_EROFS] = EROFS,
	[WIRE_EFBIG] = EFBIG,
	[WIRE_EMFILE] = EMFILE,
	[WIRE_ENOMEM] = ENOMEM,
	[WIRE_EOPNOTSUPP] = EOPNOTSUPP,
	[WIRE_EINVAL] = EINVAL,
	[WIRE_EPERM] = EPERM,
	[WIRE_EXDEV] = EXDEV,
	[WIRE_ENOTEMPTY] = ENOTEMPTY,
	[WIRE_EBUSY] = EBUSY,
	[WIRE_EBADMSG] = EBADMSG,
	[WIRE_ETIMEDOUT] = ETIMEDOUT,
	[WIRE_EPROTO] = EPROTO,
	[WIRE_EKEYREJECTED] = EKEYREJECTED,
};

#define N_ERRNOS (sizeof(errnos) / sizeof(errnos[0]))

_Static_assert(N_ERRNOS == WIRE_EKEYREJECTED + 1, "every code has an errno");

enum wire_code wire_code_from_errno(int err)
{
	for (size_t i = 0; i < N_ERRNOS; i++)
		if (err == errnos[i] || err == -errnos[i])
			return (enum wire_code)i;
	return WIRE_EIO;
}

int wire_code_to_errno(enum wire_code code)
{
	return (size_t)code < N_ERRNOS ? -errnos[code] : -EIO;
}

/*
 * Names that programs give to files while they write them (design section 2,
 * the row "close under a name that programs use while writing"). Pure; any
 * thread.
 */
#ifndef INUSE_H
#define INUSE_H

enum inuse {
	INUSE_NO,
	INUSE_WRITING, /* shown when renamed, when its writer ends, or soon */
	INUSE_LOCK,    /* a lock or a swap file: the last of these not */
};

/* What a name in a peer's folder says of its file. */
enum inuse inuse_of(const char *name);

#endif

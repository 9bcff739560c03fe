/*
 * The inside of struct conn, for conn.c and conn_setup.c alone.
 */
#ifndef CONN_INTERNAL_H
#define CONN_INTERNAL_H

#include <stdatomic.h>

#include "conn.h"
#include "record.h"
#include "sync.h"

struct conn {
	int fd;
	uint8_t remote_key[IDENTITY_KEY_BYTES];
	struct wire_hello remote_hello;
	struct sockaddr_storage remote_address;

	/* The receiving thread's own. */
	struct record_key receive_key;
	uint8_t *in;
	size_t in_cap, in_off, in_len;

	struct mutex send_lock;
	struct record_key send_key GUARDED_BY(send_lock);
	uint8_t *out GUARDED_BY(send_lock);
	size_t out_cap GUARDED_BY(send_lock);
	size_t out_off GUARDED_BY(send_lock);
	size_t out_len GUARDED_BY(send_lock);

	_Atomic int64_t heard_ms, sent_ms;
};

/* Takes fd on success. NULL: out of memory. */
struct conn *conn_new(int fd);

#endif

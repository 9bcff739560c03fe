/*
 * The inside of struct conn, for conn.c and conn_setup.c alone.
 */
#ifndef CONN_INTERNAL_H
#define CONN_INTERNAL_H

#include <stdatomic.h>

#include "conn.h"
#include "handshake.h"
#include "record.h"
#include "sync.h"

struct conn {
	int fd;
	uint8_t remote_key[IDENTITY_KEY_BYTES];
	struct wire_hello remote_hello;
	/* Of the handshake; the channel binding is a secret until paired. */
	uint8_t words[HANDSHAKE_WORDS_BYTES];
	uint8_t channel[HANDSHAKE_CHANNEL_BYTES];
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
	_Atomic size_t input_max; /* of a record's plaintext */
};

/* Takes fd on success. NULL: out of memory. */
struct conn *conn_new(int fd);

#endif

/*
 * The system's generator, through libsodium.
 */
#include "random.h"

#include <sodium.h>

void random_bytes(void *ret, size_t len)
{
	randombytes_buf(ret, len);
}

/*
 * Unpredictable bytes from the system (ids, file names). Any thread.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stddef.h>

void random_bytes(void *ret, size_t len);

#endif

/*
 * Words for people: those that two of them compare, and the codes that one
 * reads out to the other. The list is wordlist.h's, 11 bits a word.
 *
 * Pure functions: any thread, no blocking, no allocation.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "handshake.h"
#include "wordlist.h"

#define WORDS_COMPARE_COUNT 4
#define WORDS_COMPARE_BITS  (WORDS_COMPARE_COUNT * WORDLIST_BITS)
/* With a blank or the NUL behind each. */
#define WORDS_COMPARE_MAX (WORDS_COMPARE_COUNT * (WORDLIST_WORD_MAX + 1))

/* A digit and two words, a hyphen or the NUL behind each. */
#define WORDS_CODE_COUNT 2
#define WORDS_CODE_MAX   (2 + WORDS_CODE_COUNT * (WORDLIST_WORD_MAX + 1))

/*
 * The first WORDS_COMPARE_BITS bits of the seed (handshake_words()), the
 * highest of a byte first, as words with blanks between. Somebody in the
 * middle has one chance in 2^44 for each handshake whose words are compared.
 */
void words_compare(const uint8_t seed[HANDSHAKE_WORDS_BYTES],
    char ret_text[WORDS_COMPARE_MAX]);

/*
 * A new one-time code, "7-word-word": one of 9 * 2^22, all equally likely. It
 * is a secret: whoever holds the text wipes it.
 */
void words_code(char ret_code[WORDS_CODE_MAX]);

/*
 * What a person typed, as words_code() writes it: letters in either case; any
 * blanks, hyphens and underscores between; blanks around it. Returns 0, or
 * -EINVAL where that is not a digit from 1 to 9 and two words of the list: no
 * code was ever like it, so the person is told and no guess is spent on it.
 * Says nothing about whether it is the right one.
 */
int words_code_normalise(const char *typed, char ret_code[WORDS_CODE_MAX]);

/*
 * Why words_code_normalise() refused: the number (1 or 2) of the first word
 * that is not in the list, where it has otherwise the form of a code; else 0.
 */
int words_code_unknown(const char *typed);

#endif

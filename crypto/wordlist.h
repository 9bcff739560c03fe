/*
 * The list of words that words.h draws from.
 *
 * Source: BIP-39, English.
 */
#ifndef WORDLIST_H
#define WORDLIST_H

#define WORDLIST_WORDS     2048
#define WORDLIST_BITS      11 /* that one word stands for */
#define WORDLIST_WORD_MAX  8  /* letters */
#define WORDLIST_COLUMNS   8
#define WORDLIST_ROWS      (WORDLIST_WORDS / WORDLIST_COLUMNS)
#define WORDLIST_ROW_CHARS (WORDLIST_COLUMNS * WORDLIST_WORD_MAX)

/*
 * Word i stands in row i / WORDLIST_COLUMNS, in the columns of
 * WORDLIST_WORD_MAX characters, lower case, padded with blanks. Sorted.
 */
extern const char wordlist_rows[WORDLIST_ROWS][WORDLIST_ROW_CHARS + 1];

#endif

/*
 * From bits to words, and from what people type to the code that was meant.
 * Runs on the caller's thread. Whether a code is right is pairing.h's.
 */
#include "words.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

_Static_assert(WORDLIST_WORDS == 1 << WORDLIST_BITS, "one word for all bits");
_Static_assert(WORDS_COMPARE_BITS >= 32, "fewer could be searched");
_Static_assert(WORDS_COMPARE_BITS <= 8 * HANDSHAKE_WORDS_BYTES, "the seed");

/* The word of this index, in its columns. */
static const char *word_at(unsigned index)
{
	return wordlist_rows[index / WORDLIST_COLUMNS] +
	       index % WORDLIST_COLUMNS * WORDLIST_WORD_MAX;
}

static size_t word_len(const char *word)
{
	size_t len = 0;

	while (len < WORDLIST_WORD_MAX && word[len] != ' ')
		len++;
	return len;
}

/* Writes a word and what stands behind it; where the next one goes. */
static char *put_word(char *at, unsigned index, char behind)
{
	const char *word = word_at(index);
	size_t len = word_len(word);

	memcpy(at, word, len);
	at[len] = behind;
	return at + len + 1;
}

void words_compare(
    const uint8_t seed[HANDSHAKE_WORDS_BYTES], char ret_text[WORDS_COMPARE_MAX])
{
	char *at = ret_text;
	unsigned bit = 0;

	for (unsigned i = 0; i < WORDS_COMPARE_COUNT; i++) {
		unsigned index = 0;

		for (unsigned b = 0; b < WORDLIST_BITS; b++, bit++)
			index =
			    index << 1 | (seed[bit / 8] >> (7 - bit % 8) & 1);
		at = put_word(
		    at, index, i + 1 < WORDS_COMPARE_COUNT ? ' ' : '\0');
	}
}

struct code {
	unsigned digit;
	unsigned words[WORDS_CODE_COUNT];
};

static void put_code(const struct code *c, char ret_code[WORDS_CODE_MAX])
{
	char *at = ret_code;

	*at++ = (char)('0' + c->digit);
	*at++ = '-';
	for (unsigned i = 0; i < WORDS_CODE_COUNT; i++)
		at = put_word(
		    at, c->words[i], i + 1 < WORDS_CODE_COUNT ? '-' : '\0');
}

void words_code(char ret_code[WORDS_CODE_MAX])
{
	struct code c;

	c.digit = 1 + randombytes_uniform(9);
	for (unsigned i = 0; i < WORDS_CODE_COUNT; i++)
		c.words[i] = randombytes_uniform(WORDLIST_WORDS);
	put_code(&c, ret_code);
	sodium_memzero(&c, sizeof(c));
}

/* ASCII alone: the locale has no say in what a code is. */
static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_separator(char c)
{
	return is_blank(c) || c == '-' || c == '_';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

/* The separators at *at, of which there is one at least, are passed over. */
static bool skip_separators(const char **at)
{
	const char *from = *at;

	while (is_separator(**at))
		(*at)++;
	return *at > from;
}

/*
 * The letters at *at are passed over. Their word, WORDLIST_WORDS where the
 * list has none like it; false where there are no letters.
 */
static bool take_word(const char **at, unsigned *ret_index)
{
	char padded[WORDLIST_WORD_MAX];
	unsigned index = WORDLIST_WORDS;
	size_t len = 0;

	memset(padded, ' ', sizeof(padded));
	for (; is_letter(**at); (*at)++, len++)
		if (len < sizeof(padded))
			padded[len] = lower(**at);
	if (len > 0 && len <= sizeof(padded))
		for (index = 0; index < WORDLIST_WORDS; index++)
			if (!memcmp(padded, word_at(index), sizeof(padded)))
				break;
	sodium_memzero(padded, sizeof(padded));
	*ret_index = index;
	return len > 0;
}

/* Whether it has the form of a code, of words known or not. */
static bool parse_code(const char *typed, struct code *ret)
{
	const char *at = typed;

	while (is_blank(*at))
		at++;
	if (*at < '1' || *at > '9')
		return false;
	ret->digit = (unsigned)(*at++ - '0');
	for (unsigned i = 0; i < WORDS_CODE_COUNT; i++)
		if (!skip_separators(&at) || !take_word(&at, &ret->words[i]))
			return false;
	while (is_blank(*at))
		at++;
	return *at == '\0';
}

int words_code_normalise(const char *typed, char ret_code[WORDS_CODE_MAX])
{
	struct code c;
	bool known = parse_code(typed, &c);

	for (unsigned i = 0; known && i < WORDS_CODE_COUNT; i++)
		known = c.words[i] < WORDLIST_WORDS;
	if (known)
		put_code(&c, ret_code);
	sodium_memzero(&c, sizeof(c));
	return known ? 0 : -EINVAL;
}

int words_code_unknown(const char *typed)
{
	struct code c;
	int unknown = 0;

	if (parse_code(typed, &c))
		for (int i = WORDS_CODE_COUNT; i > 0; i--)
			if (c.words[i - 1] == WORDLIST_WORDS)
				unknown = i;
	sodium_memzero(&c, sizeof(c));
	return unknown;
}

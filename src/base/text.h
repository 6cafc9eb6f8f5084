/* text.h - small questions about strings: may it be printed, how is it spelled
 * safely, what is its hash, which known word is it nearest to. */
#ifndef HOSPITAL_BASE_TEXT_H
#define HOSPITAL_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for UTF-8 (no overlong forms, surrogates or values past U+10FFFF)
 * without control characters (below U+0020, and U+007F to U+009F). */
bool text_is_printable(const char *text);

/* A copy in which every byte that text_is_printable would refuse is written
 * as \xNN.  Returns owned. */
char *text_escape(const char *text);

/* FNV-1a, 64 bits: stable between machines, releases and runs.  Start with
 * TEXT_HASH_START; to hash several strings pass the last result on. */
#define TEXT_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t text_hash(uint64_t hash, const void *data, size_t size);

/* The candidate that is few enough edits (insert, delete, replace, swap of
 * neighbours) from word to be meant by it; NULL when none is.  The list ends with NULL. */
const char *text_nearest(const char *word, const char *const *candidates);

#endif

/* text.c - see text.h. */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

/* The length of the printable character that text starts with; 0 when it is none. */
static size_t character_size(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (size == 0 || s[0] > 0xf4)
        return 0;
    uint32_t value = size == 1 ? s[0] : s[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3f);
    }
    bool control = value < 0x20 || (value >= 0x7f && value < 0xa0);
    bool surrogate = value >= 0xd800 && value < 0xe000;
    return control || surrogate || value < least[size] || value > 0x10ffff ? 0 : size;
}

bool text_is_printable(const char *text)
{
    while (*text) {
        size_t size = character_size(text);
        if (size == 0)
            return false;
        text += size;
    }
    return true;
}

char *text_escape(const char *text)
{
    struct buffer out = {0};
    while (*text) {
        size_t size = character_size(text);
        if (size)
            buffer_add(&out, text, size);
        else
            buffer_addf(&out, "\\x%02x", (unsigned char)*text);
        text += size ? size : 1;
    }
    buffer_add(&out, "", 1);
    return out.data;
}

uint64_t text_hash(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

enum { WORD_MAX = 40 };

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits between two words of at most WORD_MAX bytes. */
static size_t edits(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_size; i++) {
        for (size_t k = 0; k <= b_size; k++) {
            if (i == 0 || k == 0) {
                rows[i][k] = i + k;
                continue;
            }
            size_t best = rows[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            best = least_of(best, least_of(rows[i - 1][k], rows[i][k - 1]) + 1);
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                best = least_of(best, rows[i - 2][k - 2] + 1);
            rows[i][k] = best;
        }
    }
    return rows[a_size][b_size];
}

const char *text_nearest(const char *word, const char *const *candidates)
{
    size_t size = strlen(word), best = 0;
    const char *nearest = NULL;
    if (size == 0 || size > WORD_MAX)
        return NULL;
    size_t allowed = size < 4 ? 1 : size < 8 ? 2 : 3;
    for (; *candidates; candidates++) {
        size_t other = strlen(*candidates);
        if (other > WORD_MAX)
            continue;
        size_t found = edits(word, size, *candidates, other);
        if (found <= allowed && found < other && (!nearest || found < best)) {
            nearest = *candidates;
            best = found;
        }
    }
    return nearest;
}

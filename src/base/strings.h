/* strings.h - a growing list of strings, which it owns. */
#ifndef HOSPITAL_BASE_STRINGS_H
#define HOSPITAL_BASE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

struct strings {
    char **items; /* NULL while empty */
    size_t count, room;
};

void strings_fini(struct strings *list);
void strings_add(struct strings *list, const char *text);              /* copies */
void strings_take(struct strings *list, char *text);                   /* takes text */
void strings_add_words(struct strings *list, const char *text);        /* split at spaces */
bool strings_has(const struct strings *list, const char *text);        /* looks at each */
void strings_sort(struct strings *list);                               /* in byte order */
bool strings_sorted_has(const struct strings *list, const char *text); /* after sorting */

#endif

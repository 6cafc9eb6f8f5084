/* strings.c - see strings.h. */
#include "base/strings.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

void strings_fini(struct strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strings){0};
}

void strings_take(struct strings *list, char *text)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 8;
        list->items = memory_resize(list->items, list->room * sizeof *list->items);
    }
    list->items[list->count++] = text;
}

void strings_add(struct strings *list, const char *text)
{
    strings_take(list, memory_copy_string(text));
}

void strings_add_words(struct strings *list, const char *text)
{
    static const char blank[] = " \t\r\n";
    for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
        size_t size = strcspn(text, blank);
        strings_take(list, memory_copy(text, size));
        text += size;
    }
}

bool strings_has(const struct strings *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strings_sort(struct strings *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_items);
}

bool strings_sorted_has(const struct strings *list, const char *text)
{
    return list->count &&
           bsearch(&text, list->items, list->count, sizeof *list->items, compare_items);
}

/* label.c - see label.h. */
#include "check/label.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/text.h"

static size_t rank_of(const struct found *f)
{
    return f->root ? f->root->rank : SIZE_MAX;
}

static int compare_place(const struct found *a, const struct found *b)
{
    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b) ? -1 : 1;
    return strcmp(a->below, b->below);
}

static int by_place(const void *a, const void *b)
{
    return compare_place(a, b);
}

/* Files by where they really are, the one whose id is kept first; findings behind them. */
static int by_identity(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    const char *x = a->reason ? a->reason : a->real, *y = b->reason ? b->reason : b->real;
    if (!a->reason != !b->reason)
        return a->reason ? 1 : -1;
    int order = strcmp(x, y);
    if (order == 0 && a->linked != b->linked)
        return a->linked ? 1 : -1;
    return order ? order : compare_place(a, b);
}

static bool is_same(const struct found *a, const struct found *b)
{
    if (!a->reason != !b->reason)
        return false;
    return a->reason ? strcmp(a->reason, b->reason) == 0 && compare_place(a, b) == 0
                     : strcmp(a->real, b->real) == 0;
}

/* Takes what other owns. */
static void merge(struct found *kept, struct found *other)
{
    kept->whole |= other->whole;
    for (size_t i = 0; i < other->rests.count; i++)
        if (!strings_has(&kept->rests, other->rests.items[i]))
            strings_add(&kept->rests, other->rests.items[i]);
    strings_fini(&other->rests);
    free(other->below);
    free(other->real);
    free(other->reason);
}

static void merge_same(struct walk *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (kept && is_same(&w->items[kept - 1], &w->items[i]))
            merge(&w->items[kept - 1], &w->items[i]);
        else
            w->items[kept++] = w->items[i];
    }
    w->count = kept;
}

/* The last `parts` components of base, then below; NULL when base has fewer. */
static char *with_parts(const char *base, size_t parts, const char *below)
{
    const char *at = base + strlen(base);
    for (; parts > 0; parts--) {
        if (at == base)
            return NULL;
        do
            at--;
        while (at > base && *at != '/');
    }
    struct buffer path = {0};
    buffer_addf(&path, "%s/%s", *at == '/' ? at + 1 : at, below);
    buffer_add(&path, "", 1);
    char *label = text_escape(path.data);
    buffer_fini(&path);
    for (char *colons; (colons = strstr(label, "::"));)
        memset(colons, '_', 2);
    return label;
}

static char *numbered(const char *below, size_t number)
{
    struct buffer out = {0};
    char *text = text_escape(below);
    buffer_addf(&out, "%s#%zu", text, number);
    buffer_add(&out, "", 1);
    free(text);
    return out.data;
}

/* The next label to try for f: one more part of its root's path, and when all
 * are used up, numbers, so that trying comes to an end. */
static void label_again(struct found *f)
{
    f->parts++;
    free(f->label);
    f->label = f->root ? with_parts(f->root->path, f->parts, f->below) : NULL;
    if (!f->label)
        f->label = numbered(f->below, f->parts + 1);
}

/* Among equal labels the plainest first, then the earliest: it keeps its label. */
static int by_label(const void *left, const void *right)
{
    const struct found *a = *(struct found *const *)left, *b = *(struct found *const *)right;
    int order = strcmp(a->label, b->label);
    if (order == 0 && a->parts != b->parts)
        return a->parts < b->parts ? -1 : 1;
    return order ? order : a < b ? -1 : a > b; /* the items are sorted by place */
}

/* True when labels changed, so that they may be double anew. */
static bool relabel_once(struct found **sorted, size_t count)
{
    size_t doubles = 0;
    qsort(sorted, count, sizeof(struct found *), by_label);
    for (size_t first = 0, i = 1; i < count; i++) {
        if (strcmp(sorted[first]->label, sorted[i]->label) == 0) {
            label_again(sorted[i]);
            doubles++;
        } else {
            first = i;
        }
    }
    return doubles > 0;
}

static void relabel_doubles(struct walk *w)
{
    struct found **sorted = memory_new(w->count * sizeof(struct found *));
    for (size_t i = 0; i < w->count; i++)
        sorted[i] = &w->items[i];
    while (relabel_once(sorted, w->count))
        ;
    free(sorted);
}

/* "orders::written" -> "shop.lua::orders::written"; none when all was asked for. */
static void finish_rests(struct found *f)
{
    if (f->whole)
        strings_fini(&f->rests);
    strings_sort(&f->rests);
    for (size_t i = 0; i < f->rests.count; i++) {
        struct buffer id = {0};
        buffer_addf(&id, "%s::%s", f->label, f->rests.items[i]);
        buffer_add(&id, "", 1);
        free(f->rests.items[i]);
        f->rests.items[i] = id.data;
    }
}

void label_all(struct walk *w)
{
    if (w->count == 0)
        return;
    qsort(w->items, w->count, sizeof *w->items, by_identity);
    merge_same(w);
    qsort(w->items, w->count, sizeof *w->items, by_place);
    for (size_t i = 0; i < w->count; i++)
        w->items[i].label = text_escape(w->items[i].below);
    relabel_doubles(w);
    for (size_t i = 0; i < w->count; i++)
        finish_rests(&w->items[i]);
}

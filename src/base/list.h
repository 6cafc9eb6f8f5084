/* list.h - an intrusive, doubly linked, circular list.
 *
 * A node lives inside the thing it links, so linking allocates nothing and a
 * thing is on at most one list per node.  A node that is on no list points at
 * itself: removing it twice is harmless. */
#ifndef HOSPITAL_BASE_LIST_H
#define HOSPITAL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define list_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, unlinked; NULL when the list is empty. */
static inline struct list *list_shift(struct list *l)
{
    if (list_empty(l))
        return NULL;
    struct list *node = l->next;
    list_remove(node);
    return node;
}

#endif

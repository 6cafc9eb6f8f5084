/* arena.c - see arena.h.  Under AddressSanitizer every block is the C library's
 * own, so that a use after free is seen. */
#include "vm/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/sanitizer.h"

enum { FIRST_PIECE = 32 * 1024, LAST_PIECE = 512 * 1024 };

struct arena_piece {
    struct arena_piece *next;
    size_t size;
    _Alignas(ARENA_GRAIN) char bytes[];
};

struct arena_large {
    struct arena_large *next, *prev;
    _Alignas(ARENA_GRAIN) char bytes[];
};

static int is_small(size_t size)
{
    return !SANITIZES_ADDRESSES && size <= ARENA_SMALL;
}

static size_t class_of(size_t size)
{
    return (size + ARENA_GRAIN - 1) / ARENA_GRAIN;
}

void arena_fini(struct arena *arena)
{
    while (arena->pieces) {
        struct arena_piece *piece = arena->pieces;
        arena->pieces = piece->next;
        free(piece);
    }
    while (arena->large) {
        struct arena_large *large = arena->large;
        arena->large = large->next;
        free(large);
    }
    *arena = (struct arena){0};
}

/* What is left of the old piece is not wasted: it goes to the lists it fits. */
static void recycle_rest(struct arena *arena)
{
    size_t left = (size_t)(arena->end - arena->at);
    while (left >= ARENA_GRAIN) {
        size_t size = left > ARENA_SMALL ? ARENA_SMALL : left / ARENA_GRAIN * ARENA_GRAIN;
        arena_free(arena, arena->at, size);
        arena->at += size;
        left -= size;
    }
}

static int add_piece(struct arena *arena)
{
    size_t size = arena->next_piece ? arena->next_piece : FIRST_PIECE;
    struct arena_piece *piece = malloc(size);
    if (!piece)
        return 0;
    recycle_rest(arena);
    arena->next_piece = size < LAST_PIECE ? size * 2 : size;
    piece->next = arena->pieces;
    piece->size = size;
    arena->pieces = piece;
    arena->at = piece->bytes;
    arena->end = (char *)piece + size;
    return 1;
}

static void *new_small(struct arena *arena, size_t size)
{
    size_t class = class_of(size);
    void *block = arena->free_lists[class];
    if (block) {
        memcpy(&arena->free_lists[class], block, sizeof(void *));
        return block;
    }
    if ((size_t)(arena->end - arena->at) < class * ARENA_GRAIN && !add_piece(arena))
        return NULL;
    block = arena->at;
    arena->at += class * ARENA_GRAIN;
    return block;
}

static void link_large(struct arena *arena, struct arena_large *large)
{
    large->prev = NULL;
    large->next = arena->large;
    if (arena->large)
        arena->large->prev = large;
    arena->large = large;
}

static void unlink_large(struct arena *arena, const struct arena_large *large)
{
    if (large->prev)
        large->prev->next = large->next;
    else
        arena->large = large->next;
    if (large->next)
        large->next->prev = large->prev;
}

static struct arena_large *large_of(void *block)
{
    return (struct arena_large *)((char *)block - offsetof(struct arena_large, bytes));
}

static void *new_large(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - sizeof(struct arena_large))
        return NULL;
    struct arena_large *large = malloc(sizeof *large + size);
    if (!large)
        return NULL;
    link_large(arena, large);
    return large->bytes;
}

void *arena_new(struct arena *arena, size_t size)
{
    return is_small(size) ? new_small(arena, size) : new_large(arena, size);
}

void arena_free(struct arena *arena, void *block, size_t size)
{
    if (!is_small(size)) {
        unlink_large(arena, large_of(block));
        free(large_of(block));
        return;
    }
    size_t class = class_of(size);
    memcpy(block, &arena->free_lists[class], sizeof(void *));
    arena->free_lists[class] = block;
}

static void *resize_large(struct arena *arena, void *block, size_t new_size)
{
    if (new_size > SIZE_MAX - sizeof(struct arena_large))
        return NULL;
    struct arena_large *old = large_of(block);
    unlink_large(arena, old);
    struct arena_large *large = realloc(old, sizeof *large + new_size);
    link_large(arena, large ? large : old);
    return large ? large->bytes : NULL;
}

void *arena_resize(struct arena *arena, void *block, size_t old_size, size_t new_size)
{
    if (is_small(old_size) && is_small(new_size) && class_of(old_size) == class_of(new_size))
        return block;
    if (!is_small(old_size) && !is_small(new_size))
        return resize_large(arena, block, new_size);
    void *fresh = arena_new(arena, new_size);
    if (!fresh)
        return NULL;
    memcpy(fresh, block, old_size < new_size ? old_size : new_size);
    arena_free(arena, block, old_size);
    return fresh;
}

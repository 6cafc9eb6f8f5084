/* arena.h - the memory of one Lua state: small blocks cut from a few large
 * pieces, all given back at once.
 *
 * A state lives for one run of a file, most often for less than a millisecond;
 * asking the C library for each of its objects and giving each back costs more
 * than what the file does.  Blocks of up to ARENA_SMALL bytes come from free
 * lists by size; larger ones are the C library's, linked so that arena_fini
 * finds them.  Lua tells the size of what it frees, so blocks need no header. */
#ifndef HOSPITAL_VM_ARENA_H
#define HOSPITAL_VM_ARENA_H

#include <stddef.h>

enum { ARENA_GRAIN = 16, ARENA_SMALL = 512 };

struct arena_piece;
struct arena_large;

struct arena {
    struct arena_piece *pieces;
    struct arena_large *large;
    char *at, *end; /* what is left of the newest piece */
    size_t next_piece;
    void *free_lists[ARENA_SMALL / ARENA_GRAIN + 1];
};

/* A zeroed struct is an empty arena. */
void arena_fini(struct arena *arena);

/* NULL when the C library has no more. */
void *arena_new(struct arena *arena, size_t size);
void arena_free(struct arena *arena, void *block, size_t size);
void *arena_resize(struct arena *arena, void *block, size_t old_size, size_t new_size);

#endif

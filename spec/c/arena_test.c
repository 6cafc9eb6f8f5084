/* arena_test.c - the memory of a state: every size, used again, given back.
 *
 * Under AddressSanitizer each block is the C library's; then these tests look
 * for overlaps and leaks, and those of the free lists have nothing to see. */
#include "vm/arena.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/sanitizer.h"
#include "test.h"

static void fill(void *block, size_t size, unsigned seed)
{
    unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed * 31 + i);
}

static bool holds(const void *block, size_t size, unsigned seed)
{
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(seed * 31 + i))
            return false;
    return true;
}

/* The story of this one: the two compilers name AddressSanitizer in different
 * ways, and one of two places asked in gcc's only; under clang a state's memory
 * was the C library's there and never given back. */
TEST(the_build_knows_whether_it_is_watched)
{
    const char *said = getenv("EXPECT_ASAN");
    extern void __asan_init(void) __attribute__((weak));
    bool watched = __asan_init != NULL;
    CHECK(watched == (SANITIZES_ADDRESSES != 0));
    if (said)
        CHECK(watched == (strcmp(said, "1") == 0));
}

TEST(every_size_is_aligned_and_its_own)
{
    enum { SIZES = 1200 };
    static void *blocks[SIZES + 1];
    struct arena arena = {0};
    for (size_t size = 1; size <= SIZES; size++) {
        blocks[size] = arena_new(&arena, size);
        CHECK(blocks[size] && (uintptr_t)blocks[size] % ARENA_GRAIN == 0);
        fill(blocks[size], size, (unsigned)size);
    }
    bool whole = true;
    for (size_t size = 1; size <= SIZES; size++)
        whole &= holds(blocks[size], size, (unsigned)size);
    CHECK(whole);
    arena_fini(&arena);
}

TEST(what_is_freed_is_used_again)
{
    if (SANITIZES_ADDRESSES)
        return;
    for (size_t size = 1; size <= ARENA_SMALL; size++) {
        struct arena arena = {0};
        void *first = arena_new(&arena, size);
        void *second = arena_new(&arena, size);
        arena_free(&arena, first, size);
        arena_free(&arena, second, size);
        void *again = arena_new(&arena, size);
        CHECK(again == second);
        CHECK(arena_new(&arena, size) == first);
        CHECK(arena_new(&arena, size) != first);
        arena_fini(&arena);
    }
}

/* A block may be used again for any size of its class, and for no other. */
TEST(classes_are_of_sixteen_bytes)
{
    if (SANITIZES_ADDRESSES)
        return;
    struct arena arena = {0};
    void *block = arena_new(&arena, 33);
    arena_free(&arena, block, 33);
    CHECK(arena_new(&arena, 32) != block);
    CHECK(arena_new(&arena, 49) != block);
    CHECK(arena_new(&arena, 48) == block);
    arena_fini(&arena);
}

/* What is left of a piece when the next one begins is not lost. */
TEST(the_rest_of_a_piece_is_recycled)
{
    if (SANITIZES_ADDRESSES)
        return;
    struct arena arena = {0};
    char *first = arena_new(&arena, 512), *end = arena.end, *at = first;
    while (arena.end == end)
        at = arena_new(&arena, 480);
    (void)at;
    bool recycled = false;
    for (size_t size = ARENA_GRAIN; size <= ARENA_SMALL; size += ARENA_GRAIN) {
        const char *block = arena.free_lists[size / ARENA_GRAIN];
        recycled |= block && block >= first && block + size <= end;
    }
    CHECK(recycled);
    arena_fini(&arena);
}

TEST(a_block_keeps_its_bytes_when_it_is_resized)
{
    static const size_t sizes[] = {1, 15, 16, 17, 500, 511, 512, 513, 514, 1000, 4096, 100000};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    struct arena arena = {0};
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            size_t from = sizes[i], to = sizes[j];
            void *neighbour = arena_new(&arena, from);
            void *block = arena_new(&arena, from);
            fill(neighbour, from, 7);
            fill(block, from, 9);
            block = arena_resize(&arena, block, from, to);
            CHECK(block && holds(block, from < to ? from : to, 9));
            fill(block, to, 5);
            CHECK(holds(neighbour, from, 7));
            arena_free(&arena, block, to);
            arena_free(&arena, neighbour, from);
        }
    CHECK(!arena.large);
    arena_fini(&arena);
}

TEST(more_than_there_is_is_refused_and_the_block_stays)
{
    struct arena arena = {0};
    CHECK(!arena_new(&arena, SIZE_MAX));
    CHECK(!arena_new(&arena, SIZE_MAX - 8));
    char *large = arena_new(&arena, 4096), *small = arena_new(&arena, 64);
    fill(large, 4096, 1);
    fill(small, 64, 2);
    CHECK(!arena_resize(&arena, large, 4096, SIZE_MAX - 8));
    CHECK(!arena_resize(&arena, small, 64, SIZE_MAX - 8));
    CHECK(holds(large, 4096, 1) && holds(small, 64, 2));
    arena_free(&arena, large, 4096);
    arena_free(&arena, small, 64);
    arena_fini(&arena);
}

TEST(fini_gives_everything_back)
{
    size_t before = SANITIZES_ADDRESSES ? 0 : mallinfo2().uordblks + mallinfo2().hblkhd;
    struct arena arena = {0};
    for (unsigned i = 0; i < 20000; i++)
        CHECK(arena_new(&arena, 1 + i * 7919u % 2000));
    CHECK(arena.large && (SANITIZES_ADDRESSES || arena.pieces));
    arena_fini(&arena);
    size_t after = SANITIZES_ADDRESSES ? 0 : mallinfo2().uordblks + mallinfo2().hblkhd;
    CHECK(after <= before);
    CHECK(!arena.pieces && !arena.large && !arena.at && !arena.next_piece);
    for (int i = 0; i <= ARENA_SMALL / ARENA_GRAIN; i++)
        CHECK(!arena.free_lists[i]);
    CHECK(arena_new(&arena, 24)); /* it can be used again */
    arena_fini(&arena);
}

/* A long random life against a plain copy. */
TEST(a_random_life)
{
    enum { SLOTS = 300, STEPS = 60000 };
    static struct {
        void *block;
        size_t size;
        unsigned seed;
    } slots[SLOTS];
    struct arena arena = {0};
    unsigned random = 12345, broken = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        random = random * 1103515245u + 12345u;
        unsigned i = (random >> 8) % SLOTS;
        size_t size = 1 + (random >> 12) % ((random >> 30) ? 700 : 5000);
        if (slots[i].block && !holds(slots[i].block, slots[i].size, slots[i].seed))
            broken++;
        if (slots[i].block && (random & 64)) {
            arena_free(&arena, slots[i].block, slots[i].size);
            slots[i].block = NULL;
            continue;
        }
        slots[i].block = slots[i].block ? arena_resize(&arena, slots[i].block, slots[i].size, size)
                                        : arena_new(&arena, size);
        slots[i].size = size;
        slots[i].seed = step;
        fill(slots[i].block, size, step);
    }
    CHECK(broken == 0);
    arena_fini(&arena);
}

int main(void)
{
    RUN(the_build_knows_whether_it_is_watched);
    RUN(every_size_is_aligned_and_its_own);
    RUN(what_is_freed_is_used_again);
    RUN(classes_are_of_sixteen_bytes);
    RUN(the_rest_of_a_piece_is_recycled);
    RUN(a_block_keeps_its_bytes_when_it_is_resized);
    RUN(more_than_there_is_is_refused_and_the_block_stays);
    RUN(fini_gives_everything_back);
    RUN(a_random_life);
    return test_report();
}

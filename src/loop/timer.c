/* timer.c - see timer.h.  slots[0] is unused, so that the children of i are
 * 2i and 2i+1 and slot 0 can mean "disarmed". */
#include "loop/timer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"

static void put(struct timer_heap *heap, size_t slot, struct timer *timer)
{
    heap->slots[slot] = timer;
    timer->slot = slot;
}

static void sift_up(struct timer_heap *heap, size_t slot, struct timer *timer)
{
    for (; slot > 1 && heap->slots[slot / 2]->at_ns > timer->at_ns; slot /= 2)
        put(heap, slot, heap->slots[slot / 2]);
    put(heap, slot, timer);
}

static void sift_down(struct timer_heap *heap, size_t slot, struct timer *timer)
{
    for (size_t child; (child = slot * 2) <= heap->count; slot = child) {
        if (child < heap->count && heap->slots[child + 1]->at_ns < heap->slots[child]->at_ns)
            child++;
        if (heap->slots[child]->at_ns >= timer->at_ns)
            break;
        put(heap, slot, heap->slots[child]);
    }
    put(heap, slot, timer);
}

void timer_heap_fini(struct timer_heap *heap)
{
    assert(heap->count == 0);
    free(heap->slots);
    *heap = (struct timer_heap){0};
}

void timer_heap_arm(struct timer_heap *heap, struct timer *timer, uint64_t at_ns)
{
    timer_heap_disarm(heap, timer);
    if (heap->count + 1 >= heap->room) {
        heap->room = heap->room ? heap->room * 2 : 64;
        heap->slots = memory_resize(heap->slots, heap->room * sizeof(struct timer *));
    }
    timer->at_ns = at_ns;
    sift_up(heap, ++heap->count, timer);
}

void timer_heap_disarm(struct timer_heap *heap, struct timer *timer)
{
    size_t slot = timer->slot;
    if (slot == 0)
        return;
    timer->slot = 0;
    struct timer *last = heap->slots[heap->count--];
    if (last == timer)
        return;
    if (slot > 1 && heap->slots[slot / 2]->at_ns > last->at_ns)
        sift_up(heap, slot, last);
    else
        sift_down(heap, slot, last);
}

struct timer *timer_heap_first(const struct timer_heap *heap)
{
    return heap->count ? heap->slots[1] : NULL;
}

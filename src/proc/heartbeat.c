/* heartbeat.c - see heartbeat.h. */
#include "proc/heartbeat.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool heartbeat_open(struct heartbeat *h, size_t slots, struct fault *why)
{
    *h = (struct heartbeat){.stride = (size_t)sysconf(_SC_PAGESIZE), .slots = slots};
    assert(slots > 0 && slots <= HEARTBEAT_SLOTS);
    void *pages =
        mmap(NULL, h->stride * slots, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return fault_set(why, FAULT_INTERNAL, "cannot share memory with the workers: %s",
                         strerror(errno));
    h->pages = pages;
    return true;
}

void heartbeat_close(struct heartbeat *h)
{
    if (h->pages)
        munmap(h->pages, h->stride * h->slots);
    *h = (struct heartbeat){0};
}

struct heartbeat_slot *heartbeat_slot(const struct heartbeat *h, unsigned number)
{
    assert(number < h->slots);
    return (struct heartbeat_slot *)(void *)(h->pages + number * h->stride);
}

struct heartbeat_slot *heartbeat_keep(struct heartbeat *h, unsigned number)
{
    char *own = (char *)heartbeat_slot(h, number);
    char *after = own + h->stride, *end = h->pages + h->stride * h->slots;
    if (own > h->pages)
        munmap(h->pages, (size_t)(own - h->pages));
    if (end > after)
        munmap(after, (size_t)(end - after));
    *h = (struct heartbeat){.pages = own, .stride = h->stride, .slots = 1};
    return (struct heartbeat_slot *)(void *)own;
}

struct beat heartbeat_read(const struct heartbeat_slot *s)
{
    struct beat beat = {0};
    /* A worker that changes slices under every one of these looks is anything
     * but stuck: saying "between slices" is then true enough. */
    for (int tries = 0; tries < 16; tries++) {
        uint64_t before = atomic_load_explicit(&s->sequence, memory_order_acquire);
        uint64_t what = atomic_load_explicit(&s->what, memory_order_relaxed);
        beat.begin_ns = atomic_load_explicit(&s->begin_ns, memory_order_relaxed);
        beat.file = (uint32_t)(what >> 32);
        beat.check = (uint32_t)what;
        atomic_thread_fence(memory_order_acquire);
        beat.sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);
        if (beat.sequence == before) {
            beat.running = before & 1;
            break;
        }
    }
    return beat;
}

void heartbeat_reset(struct heartbeat_slot *s)
{
    atomic_store(&s->sequence, 0);
    atomic_store(&s->what, 0);
    atomic_store(&s->begin_ns, 0);
}

bool stuck_tick(struct stuck_watch *w, const struct beat *beat, uint64_t now_ns)
{
    if (!beat->running || beat->sequence != w->sequence) {
        w->sequence = beat->running ? beat->sequence : 0;
        w->counted_ns = now_ns;
        w->ticks = 0;
        return false;
    }
    if (now_ns - w->counted_ns >= STUCK_TICK_NS / 2) {
        w->counted_ns = now_ns;
        w->ticks++;
    }
    return w->ticks >= STUCK_TICKS;
}

/* heartbeat.h - what each worker runs right now, in shared memory.
 *
 * Made before the nursery is forked, so that the supervisor and every worker
 * see the same pages.  One slot per worker, each on a page of its own: a
 * worker keeps only its own page mapped (heartbeat_keep), so that a crashing
 * one cannot blame another.  The worker writes a few plain stores per slice of
 * work; the supervisor reads at any time, also after the worker has died, and
 * never waits for it.  There is nothing a worker can write that makes a read
 * loop or go out of bounds; file and check are numbers to be checked. */
#ifndef HOSPITAL_PROC_HEARTBEAT_H
#define HOSPITAL_PROC_HEARTBEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/fault.h"

enum { HEARTBEAT_SLOTS = 256 };

/* Instead of a check's index.  To the last two the number of the describe is added. */
#define HEARTBEAT_LOADING UINT32_C(0xffffffff)
#define HEARTBEAT_SETUP UINT32_C(0x40000000)
#define HEARTBEAT_TEARDOWN UINT32_C(0x80000000)

struct heartbeat {
    char *pages;
    size_t stride; /* the size of a page */
    size_t slots;
};

/* Written by one worker only.  The sequence is odd while a slice runs. */
struct heartbeat_slot {
    _Atomic uint64_t sequence;
    _Atomic uint64_t what; /* file in the high half, check in the low one */
    _Atomic uint64_t begin_ns;
};

bool heartbeat_open(struct heartbeat *h, size_t slots, struct fault *why) CHECKED;
void heartbeat_close(struct heartbeat *h);

/* number must be below the number of slots. */
struct heartbeat_slot *heartbeat_slot(const struct heartbeat *h, unsigned number);

/* In a worker, first thing: unmaps all slots but its own, returns that. */
struct heartbeat_slot *heartbeat_keep(struct heartbeat *h, unsigned number);

/* A slice begins; the one before has ended. */
static inline void heartbeat_begin(struct heartbeat_slot *s, uint32_t file, uint32_t check,
                                   uint64_t now_ns)
{
    uint64_t sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);
    /* The even sequence is seen before what follows it is. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&s->what, (uint64_t)file << 32 | check, memory_order_relaxed);
    atomic_store_explicit(&s->begin_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&s->sequence, (sequence | 1), memory_order_release);
}

static inline void heartbeat_end(struct heartbeat_slot *s)
{
    uint64_t sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);
    atomic_store_explicit(&s->sequence, sequence + (sequence & 1), memory_order_release);
}

struct beat {
    bool running; /* false: between slices; file and check are then the last ones */
    uint32_t file, check;
    uint64_t sequence, begin_ns;
};

/* When running, the four belong to one slice.  Sequence 0: nothing ever ran. */
struct beat heartbeat_read(const struct heartbeat_slot *s);

/* Forgets what a dead worker left, before its number is used again. */
void heartbeat_reset(struct heartbeat_slot *s);

/* ---- the rule for "stuck" ---- */

#define STUCK_TICK_NS (100 * NS_PER_MS) /* how often the supervisor should look */
enum { STUCK_TICKS = 10 };

/* One per worker; zeroed to begin with, and for each new worker. */
struct stuck_watch {
    uint64_t sequence, counted_ns;
    unsigned ticks;
};

/* Called at each tick.  True when the same slice was seen running STUCK_TICKS
 * ticks in a row after the first sight of it.  Looks are counted, not time: a
 * tree that was stopped (Ctrl-Z, a sleeping laptop) comes back to one late
 * tick, which counts as one; and ticks that follow each other faster than half
 * a period, because a busy loop catches up, do not count at all. */
bool stuck_tick(struct stuck_watch *w, const struct beat *beat, uint64_t now_ns);

#endif

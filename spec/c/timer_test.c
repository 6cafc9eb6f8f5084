/* timer_test.c - the heap gives timers back in order, whatever was disarmed. */
#include "loop/timer.h"

#include <stdlib.h>

#include "test.h"

static void ignore(struct timer *timer)
{
    (void)timer;
}

TEST(timers_come_back_in_order)
{
    enum { COUNT = 500 };
    static struct timer timers[COUNT];
    struct timer_heap heap = {0};
    srand(1);
    for (int i = 0; i < COUNT; i++) {
        timers[i].on_due = ignore;
        timer_heap_arm(&heap, &timers[i], (uint64_t)(rand() % 1000));
    }
    for (int i = 0; i < COUNT; i += 3) {
        timer_heap_disarm(&heap, &timers[i]);
        timer_heap_disarm(&heap, &timers[i]);
        CHECK(!timer_is_armed(&timers[i]));
    }
    for (int i = 1; i < COUNT; i += 3)
        timer_heap_arm(&heap, &timers[i], (uint64_t)(rand() % 1000));
    uint64_t last = 0;
    size_t seen = 0;
    for (struct timer *t; (t = timer_heap_first(&heap)); seen++) {
        CHECK(t->at_ns >= last);
        last = t->at_ns;
        timer_heap_disarm(&heap, t);
    }
    CHECK(seen == COUNT - (COUNT + 2) / 3);
    timer_heap_fini(&heap);
}

int main(void)
{
    RUN(timers_come_back_in_order);
    return test_report();
}

/* heartbeat_test.c - a slice is read whole or not at all, from another process
 * as well, and only a slice that stays is stuck. */
#include "proc/heartbeat.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static struct heartbeat opened(size_t slots)
{
    struct heartbeat h;
    struct fault why;
    if (!heartbeat_open(&h, slots, &why)) {
        printf("%s\n", why.message);
        exit(1);
    }
    return h;
}

TEST(a_slice_is_seen_while_it_runs)
{
    struct heartbeat h = opened(4);
    struct heartbeat_slot *s = heartbeat_slot(&h, 3);
    struct beat beat = heartbeat_read(s);
    CHECK(!beat.running && beat.sequence == 0);
    heartbeat_begin(s, 7, 11, 1234);
    beat = heartbeat_read(s);
    CHECK(beat.running && beat.file == 7 && beat.check == 11 && beat.begin_ns == 1234);
    uint64_t first = beat.sequence;
    heartbeat_end(s);
    heartbeat_end(s); /* harmless */
    beat = heartbeat_read(s);
    CHECK(!beat.running && beat.file == 7 && beat.check == 11);
    heartbeat_begin(s, 8, HEARTBEAT_TEARDOWN, 1235);
    beat = heartbeat_read(s);
    CHECK(beat.running && beat.file == 8 && beat.check == HEARTBEAT_TEARDOWN);
    CHECK(beat.sequence == first + 2);
    CHECK(!heartbeat_read(heartbeat_slot(&h, 2)).running);
    heartbeat_reset(s);
    CHECK(heartbeat_read(s).sequence == 0);
    heartbeat_close(&h);
}

/* The child writes slices whose three parts agree, as fast as it can. */
TEST(another_process_never_reads_half_a_slice)
{
    struct heartbeat h = opened(2);
    pid_t pid = fork();
    if (pid == 0) {
        struct heartbeat_slot *s = heartbeat_keep(&h, 1);
        for (uint32_t i = 1;; i++) {
            heartbeat_begin(s, i, ~i, i * UINT64_C(3));
            heartbeat_end(s);
        }
    }
    uint64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    unsigned running = 0, torn = 0;
    while (running < 200000 && clock_now_ns() < until_ns) {
        struct beat beat = heartbeat_read(heartbeat_slot(&h, 1));
        if (!beat.running)
            continue;
        running++;
        torn += beat.check != ~beat.file || beat.begin_ns != beat.file * UINT64_C(3) ||
                beat.sequence != beat.file * UINT64_C(2) - 1;
    }
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK(running > 1000);
    CHECK(torn == 0);
    heartbeat_close(&h);
}

TEST(a_dead_worker_still_says_what_it_ran)
{
    struct heartbeat h = opened(2);
    pid_t pid = fork();
    if (pid == 0) {
        heartbeat_begin(heartbeat_keep(&h, 1), 5, 6, 1);
        _exit(0);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    struct beat beat = heartbeat_read(heartbeat_slot(&h, 1));
    CHECK(beat.running && beat.file == 5 && beat.check == 6);
    heartbeat_close(&h);
}

TEST(a_worker_reaches_its_own_slot_only)
{
    for (unsigned number = 0; number < 3; number++) {
        struct heartbeat h = opened(3);
        pid_t pid = fork();
        if (pid == 0) {
            unsigned char resident;
            int wrong = 0;
            struct heartbeat all = h;
            heartbeat_begin(heartbeat_keep(&h, number), 1, 1, 1);
            for (unsigned i = 0; i < 3; i++) /* mincore fails on what is not mapped */
                wrong +=
                    (mincore(heartbeat_slot(&all, i), all.stride, &resident) == 0) != (i == number);
            _exit(wrong);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(heartbeat_read(heartbeat_slot(&h, number)).running);
        heartbeat_close(&h);
    }
}

static unsigned ticks_until_stuck(struct stuck_watch *w, uint64_t *now_ns, uint64_t step_ns,
                                  unsigned most)
{
    struct beat beat = {.running = true, .sequence = 9};
    for (unsigned n = 1; n <= most; n++) {
        *now_ns += step_ns;
        if (stuck_tick(w, &beat, *now_ns))
            return n;
    }
    return 0;
}

TEST(a_slice_that_stays_for_a_second_is_stuck)
{
    struct stuck_watch w = {0};
    uint64_t now_ns = NS_PER_S;
    CHECK(ticks_until_stuck(&w, &now_ns, STUCK_TICK_NS, 50) == 1 + STUCK_TICKS);
}

TEST(slices_that_change_are_not_stuck)
{
    struct stuck_watch w = {0};
    uint64_t now_ns = NS_PER_S;
    for (uint64_t i = 0; i < 100; i++) {
        struct beat beat = {.running = true, .sequence = 2 * (i / 9) + 1};
        CHECK(!stuck_tick(&w, &beat, now_ns += STUCK_TICK_NS));
    }
    CHECK(ticks_until_stuck(&w, &now_ns, STUCK_TICK_NS, 9) == 0);
    CHECK(!stuck_tick(&w, &(struct beat){.running = false, .sequence = 10}, now_ns));
    CHECK(ticks_until_stuck(&w, &now_ns, STUCK_TICK_NS, 9) == 0);
}

TEST(time_that_nobody_saw_does_not_count)
{
    struct stuck_watch w = {0};
    uint64_t now_ns = NS_PER_S;
    CHECK(ticks_until_stuck(&w, &now_ns, STUCK_TICK_NS, 5) == 0);
    now_ns += 3600 * NS_PER_S; /* the laptop slept */
    CHECK(ticks_until_stuck(&w, &now_ns, STUCK_TICK_NS, 50) == 6);
}

TEST(ticks_that_catch_up_do_not_count)
{
    struct stuck_watch w = {0};
    uint64_t now_ns = NS_PER_S;
    CHECK(ticks_until_stuck(&w, &now_ns, NS_PER_MS, 45) == 0);
    CHECK(w.ticks == 0);
}

int main(void)
{
    RUN(a_slice_is_seen_while_it_runs);
    RUN(another_process_never_reads_half_a_slice);
    RUN(a_dead_worker_still_says_what_it_ran);
    RUN(a_worker_reaches_its_own_slot_only);
    RUN(a_slice_that_stays_for_a_second_is_stuck);
    RUN(slices_that_change_are_not_stuck);
    RUN(time_that_nobody_saw_does_not_count);
    RUN(ticks_that_catch_up_do_not_count);
    return test_report();
}

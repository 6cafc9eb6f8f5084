/* loop_test.c - the loop wakes when it must, whatever the scheduler does, and does
 * blocking work on threads.
 *
 * The story of the first: under load a run hung for ever, every process asleep in
 * epoll_wait without a timeout.  A turn armed libuv's timer, lost the processor for
 * longer than the timer had, and libuv ran the timer before it polled. */
#include "loop/loop.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/work.h"
#include "test.h"

static struct loop loop;
static bool loses_the_processor;

static void spin_until(uint64_t at_ns)
{
    while (clock_now_ns() < at_ns) {
    }
}

/* Stands before libuv's: the timer is due before the loop can poll. */
int uv_timer_start(uv_timer_t *timer, uv_timer_cb on_due, uint64_t timeout, uint64_t repeat)
{
    int (*start)(uv_timer_t *, uv_timer_cb, uint64_t, uint64_t) =
        (__typeof__(start))dlsym(RTLD_NEXT, "uv_timer_start");
    int code = start(timer, on_due, timeout, repeat);
    if (loses_the_processor)
        spin_until(clock_now_ns() + (timeout + 1) * NS_PER_MS);
    return code;
}

static unsigned due;

static void on_due(struct timer *timer)
{
    (void)timer;
    due++;
}

TEST(a_timer_wakes_a_loop_that_lost_the_processor)
{
    struct timer timer = {.on_due = on_due};
    int pipe_fds[2];
    CHECK(pipe(pipe_fds) == 0); /* something to poll for that never comes */
    struct watch *watch = loop_watch(&loop, pipe_fds[0], LOOP_READ, NULL, NULL);
    loses_the_processor = true;
    alarm(20); /* without its defence this waits for ever */
    loop_timer_arm(&loop, &timer, clock_now_ns() + NS_PER_MS / 2);
    while (due == 0)
        loop_turn(&loop, UINT64_MAX);
    alarm(0);
    loses_the_processor = false;
    CHECK(due == 1);
    loop_unwatch(watch);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* --- work on threads ----------------------------------------------------------- */

struct sum {
    struct work work;
    pthread_t thread;
    unsigned times, done;
};

static void add(struct work *work)
{
    struct sum *sum = list_entry(work, struct sum, work);
    sum->thread = pthread_self();
    sum->times++;
}

static void on_added(struct work *work)
{
    struct sum *sum = list_entry(work, struct sum, work);
    if (++sum->done < 3)
        work_start(&loop, work);
}

TEST(work_is_done_on_another_thread_and_told_on_this)
{
    struct sum sum = {.work = {.run = add, .done = on_added}};
    work_start(&loop, &sum.work);
    CHECK(work_is_under_way(&sum.work) && loop.works == 1);
    while (sum.done == 0)
        loop_turn(&loop, UINT64_MAX);
    CHECK(!pthread_equal(sum.thread, pthread_self()));
    CHECK(work_is_under_way(&sum.work)); /* started again when it was done */
    work_finish_all(&loop);
    CHECK(sum.times == 3 && sum.done == 3 && loop.works == 0);
    CHECK(!work_is_under_way(&sum.work));
}

static void free_it(struct work *work)
{
    free(list_entry(work, struct sum, work));
}

TEST(work_may_free_what_holds_it)
{
    struct sum *sum = calloc(1, sizeof *sum);
    sum->work = (struct work){.run = add, .done = free_it};
    work_start(&loop, &sum->work);
    work_finish_all(&loop);
    CHECK(loop.works == 0);
}

int main(void)
{
    if (!loop_open(&loop))
        return 1;
    RUN(a_timer_wakes_a_loop_that_lost_the_processor);
    RUN(work_is_done_on_another_thread_and_told_on_this);
    RUN(work_may_free_what_holds_it);
    loop_close(&loop);
    return test_report();
}

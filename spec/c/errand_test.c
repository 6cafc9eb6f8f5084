/* errand_test.c - threads that come back to the loop, and those that outlive it. */
#include "loop/errand.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "loop/loop.h"
#include "test.h"

static struct loop loop;
static atomic_uint ran, dropped, at_once, most_at_once;
static unsigned done;

struct walk {
    struct errand errand;
    unsigned ms;
};

static void run(struct errand *errand)
{
    unsigned now = ++at_once;
    if (now > most_at_once)
        most_at_once = now;
    usleep(((struct walk *)errand)->ms * 1000);
    at_once--;
    ran++;
}

static void on_done(struct errand *errand)
{
    done++;
    free(errand);
}

static void drop(struct errand *errand)
{
    free(errand);
    dropped++;
}

static struct walk *start(struct errands *errands, unsigned ms)
{
    struct walk *walk = memory_new(sizeof *walk);
    walk->errand = (struct errand){.run = run, .done = on_done, .drop = drop};
    walk->ms = ms;
    errand_start(errands, &walk->errand);
    return walk;
}

static struct errands *open_errands(unsigned most)
{
    ran = dropped = at_once = most_at_once = done = 0;
    return errands_open(&loop, most);
}

TEST(all_come_back_and_few_are_out_at_once)
{
    struct errands *errands = open_errands(3);
    for (int i = 0; i < 20; i++)
        start(errands, 2);
    CHECK(errands_out(errands) == 3);
    CHECK(loop.watches == 1);
    errands_wait(errands, 5 * NS_PER_S);
    CHECK(done == 20 && ran == 20 && dropped == 0);
    CHECK(most_at_once <= 3);
    CHECK(loop.watches == 0);
    errands_close(errands);
}

TEST(one_that_waits_may_be_withdrawn)
{
    struct errands *errands = open_errands(1);
    struct walk *first = start(errands, 20), *second = start(errands, 0);
    CHECK(!errand_withdraw(&first->errand));
    CHECK(errand_withdraw(&second->errand));
    free(second);
    errands_wait(errands, 5 * NS_PER_S);
    CHECK(done == 1 && ran == 1);
    errands_close(errands);
}

TEST(what_is_out_when_the_loop_goes_is_dropped_on_its_thread)
{
    struct errands *errands = open_errands(2);
    for (int i = 0; i < 5; i++)
        start(errands, 30);
    errands_close(errands);
    CHECK(dropped == 3); /* those that had no thread yet */
    CHECK(loop.watches == 0);
    for (int i = 0; i < 200 && dropped < 5; i++)
        usleep(5000);
    CHECK(dropped == 5 && ran == 2 && done == 0);
    usleep(20000); /* their last instructions */
}

int main(void)
{
    if (!loop_open(&loop))
        return 1;
    RUN(all_come_back_and_few_are_out_at_once);
    RUN(one_that_waits_may_be_withdrawn);
    RUN(what_is_out_when_the_loop_goes_is_dropped_on_its_thread);
    loop_turn(&loop, 0);
    loop_close(&loop);
    return test_report();
}

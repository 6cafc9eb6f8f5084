/* work.c - see work.h. */
#include "loop/work.h"

#include "base/clock.h"
#include "loop/loop.h"

static const uint64_t patience_ns = 2 * NS_PER_S;

static void run_on_thread(uv_work_t *uv)
{
    struct work *work = uv->data;
    work->run(work);
}

static void end_on_loop(uv_work_t *uv, int status)
{
    (void)status; /* never cancelled: that is for work that has not begun */
    struct work *work = uv->data;
    struct loop *loop = work->loop;
    loop->now_ns = clock_now_ns();
    loop->works--;
    work->loop = NULL;
    work->done(work);
}

/* uv_queue_work fails only when it is given no function. */
void work_start(struct loop *loop, struct work *work)
{
    work->uv.data = work;
    work->loop = loop;
    loop->works++;
    uv_queue_work(&loop->uv, &work->uv, run_on_thread, end_on_loop);
}

bool work_finish_all(struct loop *loop)
{
    uint64_t now_ns, until_ns = clock_now_ns() + patience_ns;
    while (loop->works > 0 && (now_ns = clock_now_ns()) < until_ns)
        loop_turn(loop, until_ns - now_ns);
    return loop->works == 0;
}

/* work.h - what would block the loop, done on a thread of libuv's pool.
 *
 *     static void work_out(struct work *work)  { on a thread: no Lua, no loop, no ops }
 *     static void on_worked_out(struct work *work) { on the loop, once, whatever happened }
 *
 * The work is embedded in what it works on.  From work_start until `done` was called that
 * memory must stay, and nobody else may touch what the thread was given: who wants to be rid
 * of it meanwhile marks it and lets `done` do so.  Nothing that waits for people or networks
 * without a bound of its own may be given to the pool: it has few threads, for all checks.
 * Source: https://docs.libuv.org/en/v1.x/threadpool.html */
#ifndef HOSPITAL_LOOP_WORK_H
#define HOSPITAL_LOOP_WORK_H

#include <stdbool.h>
#include <uv.h>

struct loop;

struct work {
    uv_work_t uv;
    struct loop *loop; /* NULL: not under way */
    void (*run)(struct work *);
    void (*done)(struct work *); /* may free what the work is embedded in, or start it again */
};

/* Zeroed at first, with run and done set. */
void work_start(struct loop *loop, struct work *work);

static inline bool work_is_under_way(const struct work *work)
{
    return work->loop;
}

/* Turns the loop until nothing is under way: before what `done` needs is closed.  False when some
 * thread does not come to its end; then the process should, by _exit (exit waits for threads). */
bool work_finish_all(struct loop *loop);

#endif

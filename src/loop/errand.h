/* errand.h - what waits for a network inside a call that blocks: on a thread of its own.
 *
 * Unlike work (loop/work.h) it may take as long as it likes, even longer than the loop lives: an
 * errand that comes back when the loop is gone is dropped on its thread.  So it owns all that it
 * touches, and nobody else touches that while it is out.
 *
 *     static void run_out(struct errand *errand)       { on the thread: no Lua, no loop, no ops }
 *     static void on_come_back(struct errand *errand)  { on the loop, once; may free it }
 *     static void drop(struct errand *errand)          { instead: frees it, on whatever thread } */
#ifndef HOSPITAL_LOOP_ERRAND_H
#define HOSPITAL_LOOP_ERRAND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct errands;
struct loop;

struct errand {
    struct list link; /* waits for a thread, or has come back */
    struct errands *errands;
    struct outbox *outbox;
    pthread_t thread;
    bool refused; /* no thread could be had: it was not run */
    void (*run)(struct errand *);
    void (*done)(struct errand *);
    void (*drop)(struct errand *);
};

/* At most `most` threads at once; who comes later waits.  Returns owned; NULL: no descriptor is
 * left.  Nothing is watched while nothing is out. */
struct errands *errands_open(struct loop *loop, unsigned most);
void errands_close(struct errands *errands); /* those that wait are dropped at once */

/* Turns the loop until all are back, or for ns at most. */
void errands_wait(struct errands *errands, uint64_t ns);

unsigned errands_out(const struct errands *errands); /* how many threads there are */

/* Takes the errand: `done` or `drop` will be called, never from inside. */
void errand_start(struct errands *errands, struct errand *errand);

/* True: it had no thread yet and has none now; it is the caller's again. */
bool errand_withdraw(struct errand *errand) __attribute__((warn_unused_result));

#endif

/* errand.c - see errand.h. */
#include "loop/errand.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "loop/loop.h"

enum { STACK_SIZE = 512 * 1024 }; /* a TLS handshake is deep; only what is used is there */

/* What threads that have ended are put into.  Some outlive the loop: the last one to let go of
 * it frees it. */
struct outbox {
    pthread_mutex_t mutex;
    struct list done; /* errands */
    unsigned owners;  /* the loop's side and each thread */
    int event;
    bool closed; /* the loop's side is gone */
};

struct errands {
    struct loop *loop;
    struct outbox *outbox;
    struct list waiting;
    unsigned out, most;
    struct watch *watch; /* while some are out */
};

static void outbox_leave(struct outbox *outbox) /* with the mutex held */
{
    bool last = --outbox->owners == 0;
    pthread_mutex_unlock(&outbox->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&outbox->mutex);
    close(outbox->event);
    free(outbox);
}

/* It has come back: its thread is at its last instructions (libraries free there what they kept
 * for the thread). */
static void join_thread(const struct errand *errand)
{
    if (!errand->refused)
        pthread_join(errand->thread, NULL);
}

/* Puts it where the loop finds it; false: nobody will look. */
static bool bring_back(struct outbox *outbox, struct errand *errand)
{
    uint64_t one = 1;
    pthread_mutex_lock(&outbox->mutex);
    bool open = !outbox->closed;
    if (open) {
        list_append(&outbox->done, &errand->link);
        (void)!write(outbox->event, &one, sizeof one); /* fails only above 2^64 */
    }
    outbox_leave(outbox);
    return open;
}

static void *run_on_thread(void *context)
{
    struct errand *errand = context;
    struct outbox *outbox = errand->outbox;
    errand->run(errand);
    if (!bring_back(outbox, errand)) {
        pthread_detach(pthread_self()); /* nobody joins it */
        errand->drop(errand);
    }
    return NULL;
}

/* Signals are the main thread's: the tick of the guard, above all. */
static bool start_thread(struct errand *errand)
{
    pthread_attr_t attributes;
    sigset_t all, former;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_BLOCK, &all, &former);
    bool started = pthread_create(&errand->thread, &attributes, run_on_thread, errand) == 0;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

static void send_off(struct errands *errands)
{
    while (errands->out < errands->most && !list_empty(&errands->waiting)) {
        struct errand *errand = list_entry(errands->waiting.next, struct errand, link);
        struct outbox *outbox = errands->outbox;
        list_remove(&errand->link);
        pthread_mutex_lock(&outbox->mutex);
        outbox->owners++;
        pthread_mutex_unlock(&outbox->mutex);
        errands->out++;
        errand->refused = !start_thread(errand);
        if (errand->refused)
            (void)bring_back(outbox, errand);
    }
}

static void on_some_ended(void *owner, int status, int events)
{
    (void)status, (void)events;
    struct errands *errands = owner;
    struct outbox *outbox = errands->outbox;
    uint64_t count;
    struct list *link;
    struct list ended;
    list_init(&ended);
    pthread_mutex_lock(&outbox->mutex);
    (void)!read(outbox->event, &count, sizeof count);
    while ((link = list_shift(&outbox->done))) {
        errands->out--;
        list_append(&ended, link);
    }
    pthread_mutex_unlock(&outbox->mutex);
    send_off(errands);
    if (errands->out == 0) {
        loop_unwatch(errands->watch);
        errands->watch = NULL;
    }
    while ((link = list_shift(&ended))) {
        struct errand *errand = list_entry(link, struct errand, link);
        join_thread(errand);
        errand->done(errand);
    }
}

struct errands *errands_open(struct loop *loop, unsigned most)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return NULL;
    struct outbox *outbox = memory_new(sizeof *outbox);
    outbox->owners = 1;
    outbox->event = event;
    list_init(&outbox->done);
    pthread_mutex_init(&outbox->mutex, NULL);
    struct errands *errands = memory_new(sizeof *errands);
    errands->loop = loop;
    errands->outbox = outbox;
    errands->most = most;
    list_init(&errands->waiting);
    return errands;
}

void errands_close(struct errands *errands)
{
    struct outbox *outbox = errands->outbox;
    struct list *link;
    while ((link = list_shift(&errands->waiting))) {
        struct errand *errand = list_entry(link, struct errand, link);
        errand->drop(errand);
    }
    loop_unwatch(errands->watch);
    pthread_mutex_lock(&outbox->mutex);
    outbox->closed = true;
    while ((link = list_shift(&outbox->done))) {
        struct errand *errand = list_entry(link, struct errand, link);
        join_thread(errand);
        errand->drop(errand);
    }
    outbox_leave(outbox);
    free(errands);
}

void errands_wait(struct errands *errands, uint64_t ns)
{
    uint64_t now_ns = clock_now_ns(), until_ns = now_ns + ns;
    for (; errands->out && now_ns < until_ns; now_ns = clock_now_ns())
        loop_turn(errands->loop, until_ns - now_ns);
}

unsigned errands_out(const struct errands *errands)
{
    return errands->out;
}

void errand_start(struct errands *errands, struct errand *errand)
{
    errand->errands = errands;
    errand->outbox = errands->outbox;
    list_append(&errands->waiting, &errand->link);
    if (!errands->watch)
        errands->watch =
            loop_watch(errands->loop, errands->outbox->event, LOOP_READ, on_some_ended, errands);
    if (!errands->watch)
        memory_panic("an event descriptor cannot be watched");
    send_off(errands);
}

bool errand_withdraw(struct errand *errand)
{
    for (struct list *at = errand->errands->waiting.next; at != &errand->errands->waiting;
         at = at->next) {
        if (at == &errand->link) {
            list_remove(at);
            return true;
        }
    }
    return false;
}

/* pq.c - see pq.h. */
#include "bind/pq.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/library.h"
#include "bind/pg_turn.h"
#include "loop/reactor.h"

enum { CANCELS_MAX = 16 };
static const uint64_t cancel_ns =
    1 * NS_PER_S; /* to wait for on_done; the thread may stay longer */

struct pq_service {
    struct pq api; /* first: pq_load hands it out */
    struct reactor *reactor;
    struct pg_lines lines;
    struct list cancels; /* that somebody may still be told of */
    struct outbox *outbox;
    struct watch *watch;
};

static struct pq_service *service_of(struct reactor *reactor)
{
    return reactor->services[SERVICE_POSTGRES].self;
}

/* --- cancelling ------------------------------------------------------------ */

/* What threads that ended are put into.  Some may never end (a server that accepts and says
 * nothing more), and outlive the service: the last one to let go of it frees it. */
struct outbox {
    pthread_mutex_t mutex;
    struct list done; /* cancels */
    unsigned owners;  /* the service and each thread */
    int event;
    bool closed; /* the service is gone */
};

struct pq_cancel {
    struct list link;      /* of the service's cancels; the loop's alone */
    struct list done;      /* in the outbox */
    struct timer patience; /* then on_done comes though the thread goes on */
    struct outbox *outbox; /* one share of it */
    struct reactor *reactor;
    __typeof__(PQcancel) *send; /* copies: the table of functions may be gone */
    __typeof__(PQfreeCancel) *drop;
    PGcancel *request; /* the thread's */
    pq_cancelled_fn *on_done;
    void *owner;
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

static void cancel_free(struct pq_cancel *cancel)
{
    cancel->drop(cancel->request);
    free(cancel);
}

/* On a thread. */
static void *request_cancel(void *context)
{
    struct pq_cancel *cancel = context;
    struct outbox *outbox = cancel->outbox;
    char reason[256];
    cancel->send(cancel->request, reason, sizeof reason);
    pthread_mutex_lock(&outbox->mutex);
    if (outbox->closed) {
        cancel_free(cancel);
    } else {
        uint64_t one = 1;
        list_append(&outbox->done, &cancel->done);
        while (write(outbox->event, &one, sizeof one) < 0) {
        }
    }
    outbox_leave(outbox);
    return NULL;
}

/* Tells its owner, once. */
static void tell(struct pq_cancel *cancel)
{
    pq_cancelled_fn *on_done = cancel->on_done;
    cancel->on_done = NULL;
    loop_timer_disarm(&cancel->reactor->loop, &cancel->patience);
    if (on_done)
        on_done(cancel->owner);
}

static void on_patience_over(struct timer *timer)
{
    tell(list_entry(timer, struct pq_cancel, patience));
}

static void on_some_ended(void *owner, int status, int events)
{
    (void)status, (void)events;
    struct pq_service *service = owner;
    struct outbox *outbox = service->outbox;
    uint64_t count;
    struct list *link;
    struct list ended;
    list_init(&ended);
    pthread_mutex_lock(&outbox->mutex);
    (void)!read(outbox->event, &count, sizeof count);
    while ((link = list_shift(&outbox->done)))
        list_append(&ended, link);
    pthread_mutex_unlock(&outbox->mutex);
    while ((link = list_shift(&ended))) {
        struct pq_cancel *cancel = list_entry(link, struct pq_cancel, done);
        list_remove(&cancel->link);
        tell(cancel);
        cancel_free(cancel);
    }
}

/* Signals are the main thread's: the tick of the guard, above all. */
static bool start_thread(struct pq_cancel *cancel)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, former;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_sigmask(SIG_BLOCK, &all, &former);
    bool started = pthread_create(&thread, &attributes, request_cancel, cancel) == 0;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

struct pq_cancel *pq_cancel_start(struct reactor *reactor, PGconn *pg, pq_cancelled_fn *on_done,
                                  void *owner)
{
    struct pq_service *service = service_of(reactor);
    struct outbox *outbox = service->outbox;
    PGcancel *request = service->api.getCancel(pg);
    struct pq_cancel *cancel = memory_new(sizeof *cancel);
    *cancel = (struct pq_cancel){.outbox = outbox,
                                 .reactor = reactor,
                                 .send = service->api.cancel,
                                 .drop = service->api.freeCancel,
                                 .request = request,
                                 .on_done = on_done,
                                 .owner = owner,
                                 .patience = {.on_due = on_patience_over}};
    list_append(&service->cancels, &cancel->link);
    loop_timer_arm(&reactor->loop, &cancel->patience, clock_now_ns() + cancel_ns);
    pthread_mutex_lock(&outbox->mutex);
    bool started = request && outbox->owners <= CANCELS_MAX && start_thread(cancel);
    outbox->owners += started;
    pthread_mutex_unlock(&outbox->mutex);
    if (started)
        return cancel;
    list_remove(&cancel->link);
    loop_timer_disarm(&reactor->loop, &cancel->patience);
    cancel_free(cancel);
    return NULL;
}

void pq_cancel_forget(struct pq_cancel *cancel)
{
    if (cancel)
        cancel->on_done = NULL;
}

struct pg_lines *pq_lines(struct reactor *reactor)
{
    return &service_of(reactor)->lines;
}

/* --- the service ------------------------------------------------------------ */

static void close_cancels(struct pq_service *service)
{
    struct outbox *outbox = service->outbox;
    struct list *link;
    while ((link = list_shift(&service->cancels))) {
        struct pq_cancel *cancel = list_entry(link, struct pq_cancel, link);
        loop_timer_disarm(&service->reactor->loop, &cancel->patience);
    }
    loop_unwatch(service->watch);
    pthread_mutex_lock(&outbox->mutex);
    outbox->closed = true;
    while ((link = list_shift(&outbox->done)))
        cancel_free(list_entry(link, struct pq_cancel, done));
    outbox_leave(outbox);
}

static void pq_close(void *self)
{
    struct pq_service *service = self;
    close_cancels(service);
    pg_lines_fini(&service->lines);
    free(service);
}

static bool open_outbox(struct pq_service *service, struct fault *why)
{
    struct outbox *outbox = memory_new(sizeof *outbox);
    outbox->owners = 1;
    list_init(&outbox->done);
    pthread_mutex_init(&outbox->mutex, NULL);
    outbox->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    service->outbox = outbox;
    if (outbox->event >= 0)
        service->watch =
            loop_watch(&service->reactor->loop, outbox->event, LOOP_READ, on_some_ended, service);
    if (service->watch)
        return true;
    pthread_mutex_lock(&outbox->mutex);
    outbox_leave(outbox);
    return fault_set(why, FAULT_INTERNAL, "no descriptor is left for PostgreSQL's cancel requests");
}

const struct pq *pq_load(struct reactor *reactor, struct fault *why)
{
#define FUNCTION(name) {"PQ" #name, offsetof(struct pq, name)},
    static const struct library_function functions[] = {PQ_FUNCTIONS(FUNCTION)};
#undef FUNCTION
    struct service *place = &reactor->services[SERVICE_POSTGRES];
    struct pq_service *service = place->self;
    if (service)
        return &service->api;
    service = memory_new(sizeof *service);
    service->reactor = reactor;
    pg_lines_init(&service->lines, &reactor->loop);
    list_init(&service->cancels);
    if (!library_load("libpq.so.5", "libpq5", functions, sizeof functions / sizeof functions[0],
                      &service->api, why) ||
        !open_outbox(service, why)) {
        free(service);
        return NULL;
    }
    unsetenv("PGTZ"); /* libpq would have them overrule what pg_login.c sets */
    unsetenv("PGDATESTYLE");
    *place = (struct service){.self = service, .close = pq_close};
    return &service->api;
}

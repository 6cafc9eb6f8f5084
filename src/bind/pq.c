/* pq.c - see pq.h. */
#include "bind/pq.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/library.h"
#include "bind/pg_turn.h"
#include "loop/errand.h"
#include "loop/reactor.h"

enum { CANCELS_MAX = 16 };
static const uint64_t farewell_ns = 250 * NS_PER_MS;
static const uint64_t cancel_ns = 1 * NS_PER_S; /* then on_done comes; the thread may stay */

struct pq_service {
    struct pq api; /* first: pq_load hands it out */
    struct reactor *reactor;
    struct pg_lines lines;
    struct list cancels; /* that somebody may still be told of */
    struct errands *errands;
};

static struct pq_service *service_of(struct reactor *reactor)
{
    return reactor->services[SERVICE_POSTGRES].self;
}

/* --- cancelling ------------------------------------------------------------ */

struct pq_cancel {
    struct errand errand;
    struct list link;      /* of the service's cancels */
    struct timer patience; /* then on_done comes though the thread goes on */
    struct reactor *reactor;
    __typeof__(PQcancel) *send; /* copies: the table of functions may be gone */
    __typeof__(PQfreeCancel) *free_request;
    PGcancel *request; /* the thread's */
    pq_cancelled_fn *on_done;
    void *owner;
};

static struct pq_cancel *cancel_of(struct errand *errand)
{
    return list_entry(errand, struct pq_cancel, errand);
}

static void request_cancel(struct errand *errand)
{
    char reason[256];
    cancel_of(errand)->send(cancel_of(errand)->request, reason, sizeof reason);
}

static void drop_cancel(struct errand *errand)
{
    struct pq_cancel *cancel = cancel_of(errand);
    cancel->free_request(cancel->request);
    free(cancel);
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

static void end_cancel(struct errand *errand)
{
    struct pq_cancel *cancel = cancel_of(errand);
    list_remove(&cancel->link);
    tell(cancel);
    drop_cancel(errand);
}

static void on_patience_over(struct timer *timer)
{
    struct pq_cancel *cancel = list_entry(timer, struct pq_cancel, patience);
    if (errand_withdraw(&cancel->errand))
        end_cancel(&cancel->errand);
    else
        tell(cancel);
}

struct pq_cancel *pq_cancel_start(struct reactor *reactor, PGconn *pg, pq_cancelled_fn *on_done,
                                  void *owner)
{
    struct pq_service *service = service_of(reactor);
    PGcancel *request = service->api.getCancel(pg);
    if (!request)
        return NULL;
    struct pq_cancel *cancel = memory_new(sizeof *cancel);
    *cancel = (struct pq_cancel){
        .errand = {.run = request_cancel, .done = end_cancel, .drop = drop_cancel},
        .patience = {.on_due = on_patience_over},
        .reactor = reactor,
        .send = service->api.cancel,
        .free_request = service->api.freeCancel,
        .request = request,
        .on_done = on_done,
        .owner = owner,
    };
    list_append(&service->cancels, &cancel->link);
    loop_timer_arm(&reactor->loop, &cancel->patience, clock_now_ns() + cancel_ns);
    errand_start(service->errands, &cancel->errand);
    return cancel;
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

/* Those of the checks that ended last get a moment: the process may end next. */
static void pq_close(void *self)
{
    struct pq_service *service = self;
    struct list *link;
    errands_wait(service->errands, farewell_ns);
    while ((link = list_shift(&service->cancels)))
        loop_timer_disarm(&service->reactor->loop,
                          &list_entry(link, struct pq_cancel, link)->patience);
    errands_close(service->errands);
    pg_lines_fini(&service->lines);
    free(service);
}

static bool open_errands(struct pq_service *service, struct fault *why)
{
    service->errands = errands_open(&service->reactor->loop, CANCELS_MAX);
    return service->errands ||
           fault_set(why, FAULT_INTERNAL, "no descriptor is left for PostgreSQL's cancel requests");
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
        !open_errands(service, why)) {
        free(service);
        return NULL;
    }
    unsetenv("PGTZ"); /* libpq would have them overrule what pg_login.c sets */
    unsetenv("PGDATESTYLE");
    *place = (struct service){.self = service, .close = pq_close};
    return &service->api;
}

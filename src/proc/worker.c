/* worker.c - see worker.h. */
#include "proc/worker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check/session.h"
#include "loop/pace.h"
#include "loop/reactor.h"
#include "loop/task.h"
#include "proc/channel.h"
#include "proc/confine.h"
#include "proc/heartbeat.h"
#include "vm/guard.h"

struct slot {
    struct worker *worker;
    struct session *session; /* NULL: free */
    uint32_t number;
    struct deferred closing; /* sessions are closed outside their callbacks */
};

struct worker {
    const struct worker_settings *settings;
    struct reactor reactor;
    struct pace pace;
    struct channel *channel;
    struct heartbeat_slot *heartbeat;
    struct slot **slots;
    size_t slot_count;
    bool over;
    int exit_status;
};

/* --- telling the supervisor ---------------------------------------------- */

static void tell_loaded(const struct slot *slot)
{
    const struct buffer *details;
    bool loaded = session_catalogue(slot->session, &details) != NULL;
    const struct buffer *bytes = loaded ? session_catalogue_bytes(slot->session) : details;
    struct buffer *out = channel_begin(slot->worker->channel, WIRE_LOADED);
    wire_put_varint(out, slot->number);
    wire_put_bool(out, loaded);
    wire_put_bytes(out, bytes->data, bytes->size);
    channel_end(slot->worker->channel);
}

static void on_loaded(struct session *session, void *owner)
{
    (void)session;
    tell_loaded(owner);
}

static void on_result(struct session *session, void *owner, const struct outcome *outcome)
{
    (void)session;
    const struct slot *slot = owner;
    struct buffer *out = channel_begin(slot->worker->channel, WIRE_RESULT);
    wire_put_varint(out, slot->number);
    wire_put_varint(out, (uint64_t)(outcome->index + 1));
    wire_put_varint(out, outcome->node);
    wire_put_u8(out, (uint8_t)outcome->status);
    wire_put_varint(out, outcome->attempts);
    wire_put_u64(out, outcome->started_ns);
    wire_put_u64(out, outcome->duration_ns);
    wire_put_string(out, outcome->context);
    wire_put_bytes(out, outcome->details ? outcome->details->data : NULL,
                   outcome->details ? outcome->details->size : 0);
    channel_end(slot->worker->channel);
}

static void close_slot(struct slot *slot)
{
    loop_undefer(&slot->closing);
    if (slot->session)
        session_close(slot->session);
    slot->session = NULL;
}

static void on_closing(struct deferred *work)
{
    close_slot(list_entry(work, struct slot, closing));
}

static void on_done(struct session *session, void *owner)
{
    (void)session;
    struct slot *slot = owner;
    struct buffer *out = channel_begin(slot->worker->channel, WIRE_DONE);
    wire_put_varint(out, slot->number);
    wire_put_varint(out, slot->worker->reactor.loop.lag_max_ns);
    channel_end(slot->worker->channel);
    loop_defer(&slot->worker->reactor.loop, &slot->closing);
}

/* --- being told ---------------------------------------------------------- */

static struct slot *slot_at(struct worker *worker, uint32_t number)
{
    if (number >= worker->slot_count) {
        size_t count = (size_t)number + 16;
        worker->slots = memory_resize(worker->slots, count * sizeof *worker->slots);
        memset(worker->slots + worker->slot_count, 0,
               (count - worker->slot_count) * sizeof *worker->slots);
        worker->slot_count = count;
    }
    if (!worker->slots[number]) {
        struct slot *slot = memory_new(sizeof *slot);
        slot->worker = worker;
        slot->number = number;
        slot->closing.run = on_closing;
        worker->slots[number] = slot;
    }
    return worker->slots[number];
}

static void do_load(struct worker *worker, struct slot *slot, struct wire_reader *r)
{
    const struct session_events events = {on_loaded, on_result, on_done, slot};
    struct session_options options = {
        .id = wire_get_string(r),
        .path = wire_get_string(r),
        .lib_path = wire_get_optional_string(r),
        .memory_limit = worker->settings->memory_limit,
        .timeout_ns = worker->settings->timeout_ns,
        .retries = worker->settings->retries,
    };
    if (slot->session)
        wire_refuse(r, "the slot is in use");
    if (r->bad)
        return;
    slot->session = session_open(&worker->reactor, &worker->pace, &options, &events);
    if (session_failed_to_open(slot->session))
        tell_loaded(slot);
}

static size_t get_check(const struct slot *slot, struct wire_reader *r)
{
    const struct buffer *details;
    const struct catalogue *catalogue = session_catalogue(slot->session, &details);
    if (!catalogue)
        wire_refuse(r, "the file did not load");
    return catalogue ? wire_get_index(r, (uint32_t)catalogue->count) : 0;
}

static void do_run(struct slot *slot, struct wire_reader *r)
{
    for (size_t count = wire_get_count(r); count > 0 && !r->bad; count--) {
        size_t index = get_check(slot, r);
        enum session_go go = (enum session_go)wire_get_u8(r);
        const char *reason = wire_get_optional_string(r);
        if (!r->bad)
            session_select(slot->session, index, go, reason);
    }
    if (!r->bad)
        session_run(slot->session);
}

static void do_skip(struct slot *slot, struct wire_reader *r)
{
    size_t index = get_check(slot, r);
    const char *reason = wire_get_string(r);
    if (!r->bad)
        session_skip(slot->session, index, reason);
}

static void do_go(struct slot *slot, struct wire_reader *r)
{
    size_t index = get_check(slot, r);
    if (!r->bad)
        session_release(slot->session, index);
}

static void on_frame(void *owner, enum wire_type type, struct wire_reader *r)
{
    struct worker *worker = owner;
    struct slot *slot = slot_at(worker, wire_get_index(r, WORKER_SLOTS_MAX));
    if (type != WIRE_LOAD && type != WIRE_DROP && !slot->session)
        wire_refuse(r, "nothing is loaded in this slot");
    if (!r->bad) {
        switch (type) {
        case WIRE_LOAD: do_load(worker, slot, r); break;
        case WIRE_RUN: do_run(slot, r); break;
        case WIRE_GO: do_go(slot, r); break;
        case WIRE_SKIP: do_skip(slot, r); break;
        case WIRE_DROP: close_slot(slot); break;
        default: wire_refuse(r, "not for a worker"); break;
        }
    }
    struct fault why;
    if (!wire_finish(r, &why))
        channel_fail(worker->channel, &why);
}

static void on_closed(void *owner, const struct fault *why)
{
    struct worker *worker = owner;
    worker->over = true;
    worker->exit_status = why->kind == FAULT_CLOSED ? 0 : 1;
}

/* --- heartbeat ----------------------------------------------------------- */

static void on_slice(struct reactor *reactor, const struct task *task)
{
    struct worker *worker = reactor->slice_owner;
    if (!task) {
        heartbeat_end(worker->heartbeat);
        return;
    }
    static const uint32_t parts[] = {[SESSION_CHECK] = 0,
                                     [SESSION_SETUP] = HEARTBEAT_SETUP,
                                     [SESSION_TEARDOWN] = HEARTBEAT_TEARDOWN};
    enum session_part part = SESSION_LOADING;
    uint32_t number = 0, file = UINT32_MAX;
    const struct session *session = session_of_task(task, &part, &number);
    if (session)
        file = ((const struct slot *)session_owner(session))->number;
    heartbeat_begin(worker->heartbeat, file,
                    part == SESSION_LOADING ? HEARTBEAT_LOADING : parts[part] + number,
                    clock_now_ns());
}

/* --- life ---------------------------------------------------------------- */

static bool open_worker(struct worker *worker, unsigned number, int fd)
{
    static const struct channel_events channel_events = {on_frame, on_closed};
    struct fault why;
    setenv("UV_THREADPOOL_SIZE", "16", 0); /* four long statements must not hold up the others */
    if (!reactor_open(&worker->reactor) || !guard_open())
        return false;
    worker->reactor.policy = worker->settings->policy;
    worker->reactor.on_slice = on_slice;
    worker->reactor.slice_owner = worker;
    worker->heartbeat = heartbeat_keep(worker->settings->heartbeat, number);
    pace_init(&worker->pace);
    worker->channel = channel_new(&worker->reactor.loop, fd, &channel_events, worker, &why);
    return worker->channel != NULL;
}

static void put_on_confinement(struct worker *worker)
{
    struct confinement report;
    if (!worker->settings->confine)
        return;
    confine_apply(worker->settings->confine, getppid(), &report);
    struct buffer *out = channel_begin(worker->channel, WIRE_READY);
    wire_put_bytes(out, &report, sizeof report);
    channel_end(worker->channel);
}

/* In order, so that a leak checker finds nothing; a killed worker skips it. */
static void close_worker(struct worker *worker)
{
    for (size_t i = 0; i < worker->slot_count; i++)
        if (worker->slots[i])
            close_slot(worker->slots[i]);
    while (worker->reactor.tasks > 0)
        reactor_turn(&worker->reactor, 0);
    for (size_t i = 0; i < worker->slot_count; i++)
        free(worker->slots[i]);
    free(worker->slots);
    channel_free(worker->channel);
    guard_close();
    reactor_close(&worker->reactor);
}

int worker_main(void *context, unsigned number, int fd)
{
    struct worker worker = {.settings = context};
    if (!open_worker(&worker, number, fd))
        return 1;
    put_on_confinement(&worker);
    while (!worker.over) {
        reactor_turn(&worker.reactor, pace_has_work(&worker.pace) ? 0 : UINT64_MAX);
        pace_turn(&worker.pace, &worker.reactor);
    }
    close_worker(&worker);
    return worker.exit_status;
}

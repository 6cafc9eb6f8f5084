/* supervisor.c - see supervisor.h. */
#include "proc/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "check/rerun.h"
#include "check/settle.h"
#include "proc/dispatch.h"
#include "proc/publish.h"

/* Between two rounds of --wait: long enough not to be a load, short enough for a
 * deploy that waits. */
static const uint64_t round_pause_ns = NS_PER_S;
static const uint64_t progress_ns = 100 * NS_PER_MS;
static const uint64_t busy_ns = 100 * NS_PER_MS; /* lag worth a note */
enum { RUNNING_NOTED = 10 };

struct supervisor {
    const struct supervisor_options *options;
    struct plan *plan;
    struct loop loop;
    struct dispatch dispatch;
    struct publisher publisher;
    struct timer deadline, progress, round;
    uint64_t wait_until_ns;
    uv_signal_t signals[2];
    enum run_end_kind end;
    bool over;
    struct fault *why;
};

static void finish(struct supervisor *s, enum run_end_kind end)
{
    if (s->over)
        return;
    s->over = true;
    s->end = end;
}

/* --- rounds -------------------------------------------------------------- */

static void on_round(struct timer *timer)
{
    struct supervisor *s = list_entry(timer, struct supervisor, round);
    rerun_red(s->plan);
    dispatch_fill(&s->dispatch);
}

/* All has run: either that is the end, or with --wait the red ones have another
 * chance. */
static void end_round(struct supervisor *s)
{
    uint64_t now_ns = clock_now_ns();
    if (s->options->wait_ns == 0 || !plan_is_red(s->plan) || s->options->never_green) {
        finish(s, RUN_OVER);
    } else if (now_ns >= s->wait_until_ns) {
        finish(s, RUN_WAITED);
    } else {
        uint64_t at_ns = now_ns + round_pause_ns;
        loop_timer_arm(&s->loop, &s->round, at_ns < s->wait_until_ns ? at_ns : s->wait_until_ns);
    }
}

static void on_progress(void *owner)
{
    struct supervisor *s = owner;
    if (s->over)
        return;
    if (s->options->wait_ns == 0 && s->options->events)
        publish_settled(&s->publisher);
    if (s->dispatch.draining) {
        if (dispatch_is_idle(&s->dispatch))
            finish(s, plan_is_over(s->plan) ? RUN_OVER : RUN_STOPPED);
        return;
    }
    if (plan_is_over(s->plan) || s->options->only_load)
        if (dispatch_is_idle(&s->dispatch) && !timer_is_armed(&s->round))
            end_round(s);
}

static void on_fatal(void *owner, const struct fault *why)
{
    struct supervisor *s = owner;
    *s->why = *why;
    finish(s, RUN_BROKEN);
}

/* --- clocks and signals -------------------------------------------------- */

static bool is_open(const struct plan_check *check)
{
    return !check->decl->diagnosis && (check->state == CHECK_READY || check->state == CHECK_SENT ||
                                       check->state == CHECK_HELD);
}

static void settle_late(struct supervisor *s, struct plan_check *check)
{
    char text[120], budget[32];
    snprintf(text, sizeof text, "%s when the run's deadline of %s passed",
             check->state == CHECK_SENT ? "still running" : "not started",
             duration_format(s->options->deadline_ns, budget, sizeof budget));
    settle_check(s->plan, check,
                 &(struct settlement){.status = STATUS_TIMEOUT,
                                      .attempts = check->state == CHECK_SENT,
                                      .started_ns = clock_epoch_ns(),
                                      .context = text});
}

static void on_deadline(struct timer *timer)
{
    struct supervisor *s = list_entry(timer, struct supervisor, deadline);
    for (size_t i = 0; i < s->plan->file_count; i++)
        for (size_t j = 0; j < s->plan->files[i].catalogue.count; j++)
            if (s->plan->files[i].checks[j].state == CHECK_HELD) /* late, and not skipped */
                s->plan->files[i].checks[j].state = CHECK_READY;
    for (size_t i = 0; i < s->plan->file_count; i++) {
        struct plan_file *file = &s->plan->files[i];
        for (size_t j = 0; j < file->catalogue.count; j++)
            if (is_open(&file->checks[j]))
                settle_late(s, &file->checks[j]);
        if (file->state == FILE_WAITING || file->state == FILE_LOADING)
            plan_file_broken(s->plan, file, "not loaded when the run's deadline passed", NULL, 0);
    }
    finish(s, RUN_LATE);
}

static void on_progress_due(struct timer *timer)
{
    struct supervisor *s = list_entry(timer, struct supervisor, progress);
    uint64_t now_ns = clock_now_ns();
    struct running longest;
    bool any = dispatch_running(&s->dispatch, &longest, 1) > 0;
    struct run_progress progress = {
        .done = s->plan->settled,
        .total = s->plan->checks,
        .red = s->plan->red_count,
        .running = s->dispatch.in_flight,
        .longest_id = any ? longest.check->decl->id : NULL,
        .longest_ns = any ? now_ns - longest.since_ns : 0,
    };
    events_progress(s->options->events, &progress);
    events_flush(s->options->events);
    loop_timer_arm(&s->loop, timer, now_ns + progress_ns);
}

static void on_signal(uv_signal_t *handle, int signal)
{
    struct supervisor *s = handle->data;
    (void)signal;
    if (s->over)
        _exit(2); /* asked twice */
    finish(s, RUN_INTERRUPTED);
}

static void open_signals(struct supervisor *s)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&s->loop.uv, &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&s->signals[i]);
    }
}

/* A second signal ends the process at once, whatever is still being written. */
static void close_signals(struct supervisor *s)
{
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    if (s->end == RUN_INTERRUPTED) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
}

/* --- life ---------------------------------------------------------------- */

static bool open_run(struct supervisor *s)
{
    const struct supervisor_options *o = s->options;
    if (!loop_open(&s->loop))
        return fault_set(s->why, FAULT_INTERNAL, "cannot open an event loop: %s", strerror(errno));
    s->dispatch.concurrency = o->concurrency;
    s->dispatch.only_load = o->only_load;
    s->dispatch.fail_fast = o->fail_fast;
    s->dispatch.on_progress = on_progress;
    s->dispatch.on_fatal = on_fatal;
    s->dispatch.owner = s;
    return dispatch_open(&s->dispatch, s->plan, &s->loop, o->nursery, o->heartbeat, o->workers,
                         s->why);
}

static void arm_clocks(struct supervisor *s)
{
    uint64_t now_ns = clock_now_ns();
    s->deadline.on_due = on_deadline;
    s->round.on_due = on_round;
    s->progress.on_due = on_progress_due;
    s->wait_until_ns = now_ns + s->options->wait_ns;
    if (s->options->deadline_ns)
        loop_timer_arm(&s->loop, &s->deadline, now_ns + s->options->deadline_ns);
    if (s->options->events)
        loop_timer_arm(&s->loop, &s->progress, now_ns + progress_ns);
}

/* What somebody who did not want to wait any longer was waiting for. */
static void note_running(struct supervisor *s)
{
    struct running list[RUNNING_NOTED];
    char text[600];
    uint64_t now_ns = clock_now_ns();
    size_t count = dispatch_running(&s->dispatch, list, RUNNING_NOTED);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "was running: %.500s (%.1fs)", list[i].check->decl->id,
                 (double)(now_ns - list[i].since_ns) / 1e9);
        strings_add(&s->plan->notes, text);
    }
}

/* What the operator must know to believe the numbers and the walls. */
static void add_notes(struct supervisor *s)
{
    char text[300], late[32];
    const struct confinement *c = &s->dispatch.pool.confinement;
    for (int i = 0; s->dispatch.pool.have_confinement && i < CONFINE_LAYERS; i++) {
        if (c->layers[i].state != CONFINE_UNAVAILABLE)
            continue;
        snprintf(text, sizeof text, "workers were not confined by %s: %s (see hospital doctor)",
                 confine_layer_name((enum confine_layer)i), c->layers[i].reason);
        strings_add(&s->plan->notes, text);
    }
    if (s->dispatch.lag_max_ns < busy_ns)
        return;
    snprintf(text, sizeof text,
             "this machine was busy: a worker was up to %s late, and latencies may read that much "
             "too long",
             duration_format(s->dispatch.lag_max_ns, late, sizeof late));
    strings_add(&s->plan->notes, text);
}

static void close_run(struct supervisor *s)
{
    if (s->end == RUN_INTERRUPTED)
        note_running(s);
    add_notes(s);
    loop_timer_disarm(&s->loop, &s->deadline);
    loop_timer_disarm(&s->loop, &s->progress);
    loop_timer_disarm(&s->loop, &s->round);
    close_signals(s); /* first: ending the workers may take a moment */
    dispatch_close(&s->dispatch);
    nursery_close(s->options->nursery);
    loop_close(&s->loop);
}

enum run_end_kind supervisor_run(const struct supervisor_options *options, size_t *not_run,
                                 struct fault *why)
{
    struct supervisor s = {
        .options = options, .plan = options->plan, .why = why, .end = RUN_BROKEN};
    s.publisher = (struct publisher){.plan = options->plan, .events = options->events};
    *not_run = options->plan->checks;
    if (!open_run(&s))
        return RUN_BROKEN;
    open_signals(&s);
    arm_clocks(&s);
    dispatch_fill(&s.dispatch);
    while (!s.over) {
        loop_turn(&s.loop, UINT64_MAX);
        if (options->events)
            events_flush(options->events);
    }
    close_run(&s);
    if (options->events)
        publish_rest(&s.publisher);
    *not_run = options->plan->checks - options->plan->settled + options->plan->loading;
    return s.end;
}

/* run.c - see run.h.
 *
 * The order matters: what is cheap and may refuse comes first, then the nursery is
 * forked while the process has no loop and no Lua, then everything else. */
#include "cli/run.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/clock.h"
#include "base/policy.h"
#include "base/redact.h"
#include "check/discover.h"
#include "check/lastrun.h"
#include "check/plan.h"
#include "cli/events.h"
#include "cli/list.h"
#include "proc/confine.h"
#include "proc/supervisor.h"
#include "proc/worker.h"
#include "vm/pack.h"

struct run {
    const struct options *options;
    struct discovery discovery;
    struct strings roots;
    struct lastrun lastrun;
    struct policy policy;
    struct heartbeat heartbeat;
    struct nursery nursery;
    struct confine_options confinement;
    struct worker_settings settings;
    struct redactor *redactor;
    struct events *events;
    struct plan plan;
    unsigned workers;
    unsigned long long files; /* descriptors that a process may have */
    uint64_t started_ns, began_ns;
};

static int usage(const struct fault *why)
{
    fprintf(stderr, "hospital: %s\n", why->message);
    return EXIT_USAGE;
}

/* --- what the host gives ------------------------------------------------- */

enum { FILES_LEAST = 24, FILES_ENGINE = 64 }; /* to run at all; what the engine itself may need */

/* The descriptors that a process may have.  The soft limit is raised where it is very low. */
static unsigned long long file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max == RLIM_INFINITY)
        return ULLONG_MAX;
    rlim_t wanted = files.rlim_max < 1024 ? files.rlim_max : 1024;
    if (files.rlim_cur < wanted) {
        files.rlim_cur = wanted;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return files.rlim_max;
}

/* With fewer, libuv ends the process instead of saying no. */
static bool check_files(struct run *run, struct fault *why)
{
    run->files = file_limit();
    return run->files >= FILES_LEAST ||
           fault_set(why, FAULT_INTERNAL,
                     "this process may open %llu files, and needs %d or more: raise the limit "
                     "(ulimit -Hn, LimitNOFILE= in a systemd unit)",
                     run->files, FILES_LEAST);
}

/* A check holds a connection and at times a second one.  All checks in flight may be in one
 * worker, so its limit is the run's. */
static unsigned bearable_concurrency(const struct run *run)
{
    unsigned long long most = run->files < FILES_ENGINE + FILES_ENGINE / 2
                                  ? run->files / 8
                                  : (run->files - FILES_ENGINE) / 2;
    unsigned wanted = run->options->concurrency;
    return most < wanted ? (unsigned)most : wanted;
}

static void note_concurrency(struct run *run)
{
    unsigned concurrency = bearable_concurrency(run);
    if (concurrency == run->options->concurrency || run->plan.checks <= concurrency)
        return;
    struct buffer note = {0};
    buffer_addf(&note,
                "at most %u checks were in flight instead of %u: a process here may open %llu "
                "files (ulimit -Hn)",
                concurrency, run->options->concurrency, run->files);
    buffer_add(&note, "", 1);
    strings_add(&run->plan.notes, note.data);
    buffer_fini(&note);
}

/* --- preparing ----------------------------------------------------------- */

/* Does one of the first count items grant something of the same capability? */
static bool is_same_capability(const struct strings *items, size_t count, const char *text)
{
    size_t size = strcspn(text, "=");
    for (size_t i = 0; i < count; i++)
        if (strcspn(items->items[i], "=") == size && strncmp(items->items[i], text, size) == 0)
            return true;
    return false;
}

/* What the site denies in the environment no flag takes back. */
static bool read_policy(struct run *run, struct fault *why)
{
    const struct options *o = run->options;
    policy_init(&run->policy);
    for (size_t i = 0; i < o->allow.count; i++) {
        bool twin = i >= o->allow_flags;
        const char *text = o->allow.items[i];
        if (twin && is_same_capability(&o->allow, o->allow_flags, text))
            continue;
        if (!policy_read(&run->policy, true, twin ? "HOSPITAL_ALLOW" : "--allow", text, why))
            return false;
    }
    for (size_t i = 0; i < o->deny.count; i++)
        if (!policy_read(&run->policy, false, i < o->deny_flags ? "--deny" : "HOSPITAL_DENY",
                         o->deny.items[i], why))
            return false;
    return true;
}

static unsigned choose_workers(const struct run *run)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t workers = run->options->workers ? run->options->workers : cores > 0 ? (size_t)cores : 1;
    if (workers > run->discovery.file_count)
        workers = run->discovery.file_count;
    if (workers > HEARTBEAT_SLOTS)
        workers = HEARTBEAT_SLOTS;
    return workers ? (unsigned)workers : 1;
}

/* In the nursery: the costly part of confinement, once for all workers. */
static int prepare_workers(void *context)
{
    struct run *run = context;
    run->settings.confine = confine_new(&run->confinement);
    return confine_descriptor(run->settings.confine);
}

static int start_worker(void *context, unsigned number, int fd)
{
    struct run *run = context;
    return worker_main(&run->settings, number, fd);
}

static bool open_processes(struct run *run, struct fault *why)
{
    const struct options *o = run->options;
    strings_take(&run->roots, NULL); /* the list ends in NULL for confine */
    run->roots.count--;
    run->workers = choose_workers(run);
    if (!heartbeat_open(&run->heartbeat, run->workers, why))
        return false;
    run->confinement = (struct confine_options){
        .off = o->layers_off,
        .policy = &run->policy,
        .roots = (const char *const *)run->roots.items,
    };
    run->settings = (struct worker_settings){
        .heartbeat = &run->heartbeat,
        .policy = &run->policy,
        .memory_limit = o->memory_limit,
        .timeout_ns = o->timeout_ns,
        .retries = (int)o->retries,
    };
    return nursery_open(&run->nursery, prepare_workers, start_worker, run, why);
}

static struct selector selector_of(const struct run *run)
{
    const struct options *o = run->options;
    return (struct selector){
        .tags = &o->tags,
        .exclude_tags = &o->exclude_tags,
        .filters = &o->filters,
        .failed = o->failed ? &run->lastrun : NULL,
        .slow = o->slow || o->command == COMMAND_LINT,
        .shard = o->shard.index,
        .shards = o->shard.count,
    };
}

/* --- reports ------------------------------------------------------------- */

static bool open_events(struct run *run, struct fault *why)
{
    const struct options *o = run->options;
    size_t count = 1 + o->reports.count;
    struct report_target *targets = memory_new(count * sizeof *targets);
    char **formats = memory_new(count * sizeof *formats);
    targets[0].format = o->verbose && strcmp(o->format, "dots") == 0 ? "verbose" : o->format;
    for (size_t i = 1; i < count; i++) {
        const char *text = o->reports.items[i - 1], *equals = strchr(text, '=');
        formats[i] = memory_copy(text, (size_t)(equals - text));
        targets[i] = (struct report_target){formats[i], equals + 1};
    }
    run->events = events_open(
        &(struct events_options){
            .targets = targets,
            .target_count = count,
            .status_line = !o->quiet,
            .color = o->color,
            .verbose = o->verbose,
            .quiet = o->quiet,
            .strict = o->strict,
            .durations = o->durations,
            .redactor = run->redactor,
        },
        why);
    for (size_t i = 1; i < count; i++)
        free(formats[i]);
    free(formats);
    free(targets);
    return run->events != NULL;
}

/* What discovery refused is reported like a check that could not be run. */
static bool publish_findings(struct run *run)
{
    bool refused = false;
    for (size_t i = 0; i < run->discovery.finding_count; i++) {
        const struct finding *finding = &run->discovery.findings[i];
        if (finding->kind == FINDING_EMPTY) {
            events_message(run->events, "%s: %s", finding->path, finding->reason);
            continue;
        }
        refused = true;
        events_check_finished(run->events, &(struct result){
                                               .id = finding->path,
                                               .test = finding->path,
                                               .file = finding->path,
                                               .kind = "load",
                                               .status = STATUS_ERROR,
                                               .started_ns = run->started_ns,
                                               .context = finding->reason,
                                           });
    }
    return refused;
}

/* Of a run that stopped early: what was red the last time and has not run since. */
static void add_still_red(struct run *run, struct strings *ids)
{
    for (size_t i = 0; i < run->plan.file_count; i++)
        for (size_t j = 0; j < run->plan.files[i].catalogue.count; j++) {
            const struct plan_check *check = &run->plan.files[i].checks[j];
            if (check->state != CHECK_SETTLED && lastrun_has(&run->lastrun, check->decl->id))
                strings_add(ids, check->decl->id);
        }
}

static void remember_red(struct run *run)
{
    struct strings ids = {0};
    struct fault why;
    for (size_t i = 0; i < run->plan.red_count; i++)
        strings_add(&ids, run->plan.reds[i]->decl->id);
    add_still_red(run, &ids);
    bool heard = run->options->verbose || isatty(STDERR_FILENO); /* in a cron's mail it is noise */
    if (!lastrun_write(&run->roots, &ids, &why) && heard)
        events_message(run->events, "note: --failed will not know this run: %s", why.message);
    strings_fini(&ids);
}

static int exit_code_of(const struct run *run, enum run_end_kind end, size_t not_run)
{
    switch (end) {
    case RUN_INTERRUPTED: return EXIT_INTERRUPTED;
    case RUN_WAITED: return EXIT_WAITED;
    case RUN_LATE:
    case RUN_STOPPED:
    case RUN_BROKEN: return EXIT_RED;
    case RUN_OVER: break;
    }
    const struct summary *summary = events_summary(run->events);
    if (summary->total == 0)
        return EXIT_NOTHING;
    bool green = not_run == 0 && summary_red(summary, run->options->strict) == 0;
    return green ? EXIT_GREEN : EXIT_RED;
}

/* A run that is to end does not wait for ever for somebody to read of it. */
static uint64_t patience_of(const struct run *run, enum run_end_kind end)
{
    static const uint64_t least_ns = 2 * NS_PER_S;
    uint64_t deadline_ns = run->options->deadline_ns, took_ns = clock_now_ns() - run->began_ns;
    if (end == RUN_INTERRUPTED || end == RUN_LATE)
        return least_ns;
    if (deadline_ns == 0)
        return 0;
    return deadline_ns > took_ns + least_ns ? deadline_ns - took_ns : least_ns;
}

static int finish_reports(struct run *run, enum run_end_kind end, size_t not_run)
{
    struct fault why;
    note_concurrency(run);
    struct run_end finished = {
        .exit_code = exit_code_of(run, end, not_run),
        .started_ns = run->started_ns,
        .duration_ns = clock_now_ns() - run->began_ns,
        .patience_ns = patience_of(run, end),
        .interrupted = end == RUN_INTERRUPTED,
        .not_run = not_run,
        .left_out_slow = run->plan.out_slow,
        .left_out = run->plan.out_other,
        .notes = (const char *const *)run->plan.notes.items,
        .note_count = run->plan.notes.count,
    };
    if (!events_run_finished(run->events, &finished, &why) && finished.exit_code == EXIT_GREEN)
        return EXIT_RED;
    return finished.exit_code;
}

/* --- running ------------------------------------------------------------- */

static struct supervisor_options supervisor_options_of(struct run *run)
{
    const struct options *o = run->options;
    return (struct supervisor_options){
        .plan = &run->plan,
        .nursery = &run->nursery,
        .heartbeat = &run->heartbeat,
        .workers = run->workers,
        .concurrency = bearable_concurrency(run),
        .deadline_ns = o->deadline_ns,
        .wait_ns = o->wait_ns,
        .fail_fast = o->fail_fast,
    };
}

static int run_checks(struct run *run)
{
    struct fault why;
    if (!open_events(run, &why))
        return usage(&why);
    events_run_started(run->events, &(struct run_start){.started_ns = run->started_ns,
                                                        .files = run->discovery.file_count,
                                                        .workers = run->workers});
    struct supervisor_options options = supervisor_options_of(run);
    options.events = run->events;
    options.never_green = publish_findings(run);
    size_t not_run = 0;
    enum run_end_kind end = RUN_OVER;
    if (run->discovery.file_count > 0)
        end = supervisor_run(&options, &not_run, &why);
    if (end == RUN_BROKEN)
        events_message(run->events, "hospital: %s", why.message);
    int code = finish_reports(run, end, not_run);
    if (end == RUN_OVER || end == RUN_WAITED || end == RUN_STOPPED)
        remember_red(run);
    return code;
}

/* --- list and lint ------------------------------------------------------- */

static void print_redacted(const struct run *run, FILE *out, const char *text)
{
    struct buffer clean = {0};
    if (redact(run->redactor, text, strlen(text), &clean))
        fwrite(clean.data, 1, clean.size, out);
    else
        fputs(text, out);
    buffer_fini(&clean);
}

static void print_problem(const struct run *run, const char *path, const char *reason)
{
    fprintf(stderr, "hospital: %s: ", path);
    print_redacted(run, stderr, reason);
    fputc('\n', stderr);
}

/* What the packed details of a failed load say first.  [-0, +1, -] */
static const char *push_first_message(lua_State *L, const struct plan_extra *extra)
{
    if (!extra->details || !unpack_value(L, extra->details, extra->details_size, NULL)) {
        lua_pushnil(L);
        return NULL;
    }
    if (lua_istable(L, -1) && lua_getfield(L, -1, "failures") == LUA_TTABLE &&
        lua_rawgeti(L, -1, 1) == LUA_TTABLE)
        lua_getfield(L, -1, "message");
    return lua_tostring(L, -1);
}

static void print_extra(const struct run *run, const char *id, const struct plan_extra *extra)
{
    lua_State *L = luaL_newstate();
    const char *reason = extra->context;
    if (!reason && L)
        reason = push_first_message(L, extra);
    print_problem(run, id, reason ? reason : "it did not load");
    if (L)
        lua_close(L);
}

static size_t print_problems(const struct run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->discovery.finding_count; i++, count++)
        print_problem(run, run->discovery.findings[i].path, run->discovery.findings[i].reason);
    for (size_t i = 0; i < run->plan.file_count; i++) {
        const struct plan_file *file = &run->plan.files[i];
        for (const struct plan_extra *e = file->extras; e; e = e->next, count++)
            print_extra(run, file->source->id, e);
        for (size_t j = 0; j < file->catalogue.count; j++) {
            const struct plan_check *check = &file->checks[j];
            if (check->state != CHECK_SETTLED || !status_is_red(check->status, false))
                continue;
            print_problem(run, check->decl->id, check->context ? check->context : "broken");
            count++;
        }
    }
    return count;
}

static size_t print_ids(const struct run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->plan.file_count; i++) {
        const struct plan_file *file = &run->plan.files[i];
        for (size_t j = 0; j < file->catalogue.count; j++) {
            const struct plan_check *check = &file->checks[j];
            if (check->state == CHECK_OUT)
                continue;
            print_redacted(run, stdout, check->decl->id);
            for (size_t k = 0; run->options->verbose && k < check->decl->tags.count; k++)
                printf("%s%s", k ? " " : "  # ", check->decl->tags.items[k]);
            putchar('\n');
            count++;
        }
    }
    return count;
}

static int load_only(struct run *run, enum run_end_kind *end)
{
    struct fault why;
    struct supervisor_options options = supervisor_options_of(run);
    options.only_load = true;
    options.wait_ns = 0;
    size_t not_run;
    *end = RUN_OVER;
    if (run->discovery.file_count > 0)
        *end = supervisor_run(&options, &not_run, &why);
    if (*end == RUN_BROKEN)
        fprintf(stderr, "hospital: %s\n", why.message);
    if (*end == RUN_INTERRUPTED)
        return EXIT_INTERRUPTED;
    return *end == RUN_OVER ? EXIT_GREEN : EXIT_RED;
}

static int flush_stdout(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("hospital: cannot write to stdout");
    return code == EXIT_GREEN ? EXIT_RED : code;
}

static int list_checks(struct run *run)
{
    enum run_end_kind end;
    int code = load_only(run, &end);
    if (code != EXIT_GREEN)
        return code;
    bool json = strcmp(run->options->format, "json") == 0;
    size_t listed = json ? list_json(stdout, &run->plan, run->redactor) : print_ids(run);
    size_t problems = print_problems(run);
    if (problems > 0)
        return flush_stdout(listed == 0 && run->discovery.file_count == 0 ? EXIT_NOTHING
                                                                          : EXIT_RED);
    if (listed == 0)
        fprintf(stderr, "hospital: nothing is selected\n");
    return flush_stdout(listed ? EXIT_GREEN : EXIT_NOTHING);
}

static int lint_checks(struct run *run)
{
    enum run_end_kind end;
    int code = load_only(run, &end);
    if (code != EXIT_GREEN)
        return code;
    size_t problems = print_problems(run);
    if (!run->options->quiet)
        printf("%zu check%s in %zu file%s, %zu problem%s\n", run->plan.checks,
               run->plan.checks == 1 ? "" : "s", run->discovery.file_count,
               run->discovery.file_count == 1 ? "" : "s", problems, problems == 1 ? "" : "s");
    if (run->discovery.file_count == 0)
        return flush_stdout(EXIT_NOTHING);
    return flush_stdout(problems ? EXIT_RED : EXIT_GREEN);
}

/* --- life ---------------------------------------------------------------- */

static bool prepare(struct run *run, struct fault *why)
{
    const struct options *o = run->options;
    if (!read_policy(run, why))
        return false;
    discover(&run->discovery, o->paths.items, o->paths.count, getenv("HEALTHCHECKS"));
    discovery_root_paths(&run->discovery, &run->roots);
    if (o->failed && !lastrun_read(&run->lastrun, &run->roots, why))
        return false;
    if (!open_processes(run, why))
        return false;
    run->redactor = redactor_new(environ);
    struct selector selector = selector_of(run);
    plan_init(&run->plan, &run->discovery, &selector, o->strict);
    return true;
}

static void release(struct run *run)
{
    nursery_close(&run->nursery);
    events_close(run->events);
    plan_fini(&run->plan);
    redactor_free(run->redactor);
    heartbeat_close(&run->heartbeat);
    lastrun_fini(&run->lastrun);
    strings_fini(&run->roots);
    discovery_fini(&run->discovery);
    policy_fini(&run->policy);
}

static int with_run(const struct options *o, int (*command)(struct run *))
{
    struct fault why;
    struct run run = {.options = o, .started_ns = clock_epoch_ns(), .began_ns = clock_now_ns()};
    signal(SIGPIPE, SIG_IGN);
    int code;
    if (check_files(&run, &why))
        code = prepare(&run, &why) ? command(&run) : usage(&why);
    else {
        usage(&why);
        code = EXIT_RED;
    }
    release(&run);
    return code;
}

int run_command(const struct options *o)
{
    return with_run(o, o->list ? list_checks : run_checks);
}

int lint_command(const struct options *o)
{
    return with_run(o, lint_checks);
}

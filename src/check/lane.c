/* lane.c - see lane.h. */
#include "check/lane.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "check/capture.h"
#include "check/session_state.h"
#include "loop/reactor.h"
#include "loop/task.h"

/* What one teardown or after_each may take: after the deadline of its check, and
 * whatever that check declares. */
static const uint64_t cleanup_budget_ns = 5 * NS_PER_S;

static struct task *lane_start(struct starter *starter);
static void leave_node(struct lane *lane);
static void on_retry(struct timer *timer);

struct lane *lane_new(struct session *session, unsigned number)
{
    struct lane *lane = memory_new(sizeof *lane);
    lane->session = session;
    lane->number = number;
    lane->starter.start = lane_start;
    list_init(&lane->starter.link);
    lane->retry.on_due = on_retry;
    scope_init(&lane->lane_scope);
    scope_init(&lane->attempt_scope);
    record_init(&lane->record);
    return lane;
}

void lane_free(struct lane *lane)
{
    scope_close(&lane->attempt_scope);
    scope_close(&lane->lane_scope);
    record_fini(&lane->record);
    while (lane->depth > 0)
        leave_node(lane);
    free(lane->path);
    free(lane);
}

void lane_append(struct lane *lane, struct entry *entry)
{
    entry->lane = lane;
    if (lane->last)
        lane->last->next = entry;
    else
        lane->current = entry;
    lane->last = entry;
}

bool lane_may_skip(const struct entry *entry)
{
    const struct lane *lane = entry->lane;
    return entry->state == ENTRY_HELD ||
           (entry->state == ENTRY_GO && (lane->current != entry || lane->step == LANE_IDLE));
}

void lane_stop(struct lane *lane)
{
    pace_remove(&lane->starter);
    loop_timer_disarm(&lane->session->reactor->loop, &lane->retry);
    if (lane->task)
        task_kill(lane->task, KILL_CANCELLED);
}

struct lane *lane_of_task(const struct task *task, enum session_part *part, uint32_t *number)
{
    struct lane *lane = task->owner;
    bool setup = lane->step == LANE_SETUP, teardown = lane->step == LANE_TEARDOWN;
    *part = setup ? SESSION_SETUP : teardown ? SESSION_TEARDOWN : SESSION_CHECK;
    *number = setup || teardown ? lane->path[lane->depth - 1].node : (uint32_t)lane->current->index;
    return lane;
}

/* --- telling ------------------------------------------------------------- */

static void tell(struct lane *lane, struct outcome *outcome)
{
    struct session *session = lane->session;
    session->events.on_result(session, session->events.owner, outcome);
}

static void settle(struct lane *lane)
{
    lane->current->state = ENTRY_SETTLED;
    lane->current = lane->current->next;
    lane->step = LANE_IDLE;
}

static void tell_skipped(struct lane *lane, const char *reason)
{
    struct outcome outcome = {
        .index = (int)lane->current->index,
        .status = STATUS_SKIP,
        .started_ns = clock_epoch_ns(),
        .context = reason,
    };
    tell(lane, &outcome);
    settle(lane);
}

static void tell_broken(struct lane *lane, const struct entered *at)
{
    struct outcome outcome = {
        .index = (int)lane->current->index,
        .status = at->status,
        .attempts = 1,
        .started_ns = clock_epoch_ns(),
        .context = at->message,
        .details = &at->details,
    };
    tell(lane, &outcome);
    settle(lane);
}

static const char *context_of(const struct lane *lane, enum status status)
{
    if (lane->record.message[0])
        return lane->record.message;
    if (status == STATUS_WARN && lane->record.lists[RECORD_WARNING].count == 0)
        return verdict_doubt(&lane->attempt, &lane->record);
    return NULL;
}

/* What the setups around it warned of, measured or probed goes to the first check
 * that ends after them. */
static void take_from_setups(struct lane *lane, enum record_list list)
{
    for (size_t i = lane->depth; i-- > 0;) {
        record_prepend(&lane->record, list, &lane->path[i].said);
        record_clear_list(&lane->path[i].said, list);
    }
}

/* What they printed goes to every check that needs an explanation. */
static void copy_output_of_setups(struct lane *lane)
{
    for (size_t i = lane->depth; i-- > 0;)
        record_prepend(&lane->record, RECORD_OUTPUT, &lane->path[i].said);
}

static void tell_attempt(struct lane *lane, enum status status)
{
    const struct check_decl *check = lane->current->check;
    struct buffer details = {0};
    const char *context = context_of(lane, status);
    take_from_setups(lane, RECORD_METRIC);
    take_from_setups(lane, RECORD_PROBE); /* not before: the check itself probed nothing */
    if (status_is_red(status, false))
        copy_output_of_setups(lane);
    record_pack(&lane->record, &details);
    if (status == STATUS_UNEXPECTED_SUCCESS)
        context = check->expected_failure[0] ? check->expected_failure
                                             : "passed, though it is marked expected_failure";
    struct outcome outcome = {
        .index = (int)lane->current->index,
        .status = status,
        .attempts = lane->attempt.number,
        .started_ns = lane->started_ns,
        .duration_ns = lane->duration_ns,
        .context = context,
        .details = &details,
    };
    tell(lane, &outcome);
    buffer_fini(&details);
    settle(lane);
}

/* --- steps that run a task ----------------------------------------------- */

static uint64_t deadline_of(const struct lane *lane)
{
    uint64_t timeout_ns = lane->current ? lane->current->check->timeout_ns : 0;
    return timeout_ns ? timeout_ns : lane->session->options.timeout_ns;
}

static void on_task_end(struct task *task);

static void step_ended(struct lane *lane, const struct attempt *end);

/* Starts the function on top of the main stack as the task of this step. */
static void start_task(struct lane *lane, struct scope *scope, uint64_t budget_ns)
{
    struct session *session = lane->session;
    lane->budget_ns = budget_ns;
    lane->task =
        task_start(session->vm, session->vm->L, 0,
                   &(struct task_options){
                       .deadline_ns = clock_now_ns() + budget_ns,
                       .scope = scope,
                       .record = &lane->record,
                       .may_wait = true,
                       .title = lane->current ? lane->current->check->name : session->options.id,
                       .file = session->options.id,
                       .line = lane->current ? lane->current->check->line : 0,
                       .on_end = on_task_end,
                       .owner = lane,
                   });
    if (lane->task)
        return;
    record_note_message(&lane->record, "memory limit reached: no room for another coroutine");
    step_ended(lane, &(struct attempt){.killed = KILL_MEMORY});
}

/* Pushes hook `function` of the list "setup" or "teardown" of a node. */
static bool push_hook(struct lane *lane, uint32_t node, const char *list, uint32_t function)
{
    lua_State *L = lane->session->vm->L;
    if (session_push(lane->session, "nodes", node + 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushstring(L, list);
    if (lua_rawget(L, -2) == LUA_TTABLE)
        lua_rawgeti(L, -1, function + 1);
    else
        lua_pushnil(L);
    lua_replace(L, -3);
    lua_pop(L, 1);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

static bool push_after(struct lane *lane, uint32_t function)
{
    lua_State *L = lane->session->vm->L;
    if (session_push(lane->session, "afters", lane->current->index + 1) == LUA_TTABLE)
        lua_rawgeti(L, -1, function + 1);
    else
        lua_pushnil(L);
    lua_remove(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

/* --- the steps: each begin_ is false when there is no such hook (any more) -- */

static void leave_node(struct lane *lane)
{
    struct entered *at = &lane->path[--lane->depth];
    buffer_fini(&at->details);
    record_fini(&at->said);
    lane->step = LANE_IDLE;
}

static void begin_hook(struct lane *lane, enum lane_step step, uint64_t budget_ns)
{
    lane->step = step;
    record_clear(&lane->record);
    lane->attempt = (struct attempt){.number = 1};
    lane->started_ns = clock_epoch_ns();
    start_task(lane, &lane->lane_scope, budget_ns);
}

static bool begin_teardown(struct lane *lane)
{
    if (!push_hook(lane, lane->path[lane->depth - 1].node, "teardown", lane->function))
        return false;
    begin_hook(lane, LANE_TEARDOWN, cleanup_budget_ns);
    return true;
}

static bool begin_setup(struct lane *lane)
{
    if (!push_hook(lane, lane->path[lane->depth - 1].node, "setup", lane->function))
        return false;
    begin_hook(lane, LANE_SETUP, deadline_of(lane));
    return true;
}

static bool begin_after(struct lane *lane)
{
    if (!push_after(lane, lane->function))
        return false;
    lane->step = LANE_AFTER;
    lane->before_after = record_here(&lane->record);
    start_task(lane, &lane->attempt_scope, cleanup_budget_ns);
    return true;
}

/* Called by the pace: the body of the current check. */
static struct task *lane_start(struct starter *starter)
{
    struct lane *lane = list_entry(starter, struct lane, starter);
    struct session *session = lane->session;
    record_clear(&lane->record);
    lane->attempt = (struct attempt){.number = lane->attempt.number + 1};
    lane->started_ns = clock_epoch_ns();
    session_push(session, "bodies", lane->current->index + 1);
    start_task(lane, &lane->attempt_scope, deadline_of(lane));
    struct task *task = lane->step == LANE_BODY ? lane->task : NULL;
    lane_go(lane);
    return task;
}

static void on_retry(struct timer *timer)
{
    struct lane *lane = list_entry(timer, struct lane, retry);
    pace_add(lane->session->pace, &lane->starter);
}

static bool try_again(struct lane *lane, enum status status)
{
    const struct check_decl *check = lane->current->check;
    int retries = check->retries >= 0 ? check->retries : lane->session->options.retries;
    if ((status != STATUS_FAIL && status != STATUS_TIMEOUT) ||
        lane->attempt.number > (unsigned)retries)
        return false;
    snprintf(lane->first_failure, sizeof lane->first_failure, "%s", lane->record.message);
    lane->step = LANE_BODY;
    loop_timer_arm(&lane->session->reactor->loop, &lane->retry,
                   clock_now_ns() + check->retry_delay_ns);
    return true;
}

static void finish_attempt(struct lane *lane)
{
    const struct check_decl *check = lane->current->check;
    enum status status = verdict_of(&lane->attempt, &lane->record, check);
    scope_close(&lane->attempt_scope);
    if (try_again(lane, status))
        return;
    take_from_setups(lane, RECORD_WARNING);
    status = verdict_of(&lane->attempt, &lane->record, check);
    if (status == STATUS_WARN && lane->attempt.number > 1) {
        char text[320];
        snprintf(text, sizeof text, "passed only on attempt %u; the one before it: %s",
                 lane->attempt.number, lane->first_failure);
        record_add_text(&lane->record, RECORD_WARNING, text);
    }
    tell_attempt(lane, status);
}

/* A hook need not assert anything. */
static enum status hook_status(struct lane *lane)
{
    static const struct check_decl plain = {0};
    lane->record.assertions++;
    return verdict_of(&lane->attempt, &lane->record, &plain);
}

static void break_node(struct lane *lane, enum status status)
{
    struct entered *at = &lane->path[lane->depth - 1];
    take_from_setups(lane, RECORD_WARNING);
    take_from_setups(lane, RECORD_METRIC);
    take_from_setups(lane, RECORD_PROBE);
    copy_output_of_setups(lane);
    at->broken = true;
    at->status = status;
    snprintf(at->message, sizeof at->message, "%s%s",
             status == STATUS_SKIP ? "" : "setup failed: ", lane->record.message);
    record_pack(&lane->record, &at->details);
    lane->step = LANE_IDLE;
}

/* Keeps what this setup said, behind what those before it did. */
static void keep_said(struct lane *lane)
{
    struct record *said = &lane->path[lane->depth - 1].said;
    for (int i = 0; i < RECORD_LISTS; i++)
        record_prepend(&lane->record, (enum record_list)i, said);
    record_fini(said);
    *said = lane->record;
    record_init(&lane->record);
}

static void end_setup(struct lane *lane)
{
    enum status status = hook_status(lane);
    lane->function++;
    if (status_is_red(status, false) || status == STATUS_SKIP) {
        break_node(lane, status);
        return;
    }
    keep_said(lane);
    if (!begin_setup(lane))
        lane->step = LANE_IDLE;
}

static void tell_teardown(struct lane *lane, enum status status)
{
    struct buffer details = {0};
    record_pack(&lane->record, &details);
    struct outcome outcome = {
        .index = -1,
        .node = lane->path[lane->depth - 1].node,
        .status = status,
        .attempts = 1,
        .started_ns = lane->started_ns,
        .duration_ns = lane->duration_ns,
        .context = lane->record.message[0] ? lane->record.message : NULL,
        .details = &details,
    };
    tell(lane, &outcome);
    buffer_fini(&details);
}

static void end_teardown(struct lane *lane)
{
    enum status status = hook_status(lane);
    if (status_is_red(status, false))
        tell_teardown(lane, STATUS_ERROR);
    else if (status == STATUS_WARN)
        tell_teardown(lane, STATUS_WARN);
    lane->function++;
    if (begin_teardown(lane))
        return;
    record_clear(&lane->record);
    tell_teardown(lane, STATUS_PASS); /* all of them have ended */
    leave_node(lane);
}

static void end_body(struct lane *lane)
{
    lane->function = 0;
    if (!begin_after(lane))
        finish_attempt(lane);
}

static void end_after(struct lane *lane, const struct attempt *end)
{
    lane->attempt.cleanup_broken |=
        end->killed || record_failed_since(&lane->record, &lane->before_after);
    lane->function++;
    if (!begin_after(lane))
        finish_attempt(lane);
}

/* The task of this step is over (or could not be made): takes the next step, or
 * leaves the lane idle for lane_go. */
static void step_ended(struct lane *lane, const struct attempt *end)
{
    if (lane->step == LANE_AFTER) {
        end_after(lane, end);
        return;
    }
    lane->attempt.killed = end->killed;
    lane->attempt.raised = end->raised;
    lane->attempt.what = end->what;
    if (lane->step == LANE_BODY)
        end_body(lane);
    else if (lane->step == LANE_SETUP)
        end_setup(lane);
    else
        end_teardown(lane);
}

static void on_task_end(struct task *task)
{
    static const char *const during[] = {[LANE_SETUP] = "setup",
                                         [LANE_BODY] = "",
                                         [LANE_AFTER] = "after_each",
                                         [LANE_TEARDOWN] = "teardown"};
    struct lane *lane = task->owner;
    struct attempt end = {0};
    if (lane->step != LANE_AFTER)
        lane->duration_ns = task->began_ns ? clock_now_ns() - task->began_ns : 0;
    if (!lane->session->closing)
        capture_end(task, &lane->record,
                    &(struct capture_options){during[lane->step], "error", lane->budget_ns}, &end);
    task_free(task);
    lane->task = NULL;
    if (lane->session->closing) {
        session_lane_over(lane->session);
        return;
    }
    step_ended(lane, &end);
    lane_go(lane);
}

/* --- what comes next ----------------------------------------------------- */

static bool is_on_path(const struct lane *lane, const struct entry *entry, size_t depth)
{
    return entry && depth < entry->check->node_count &&
           entry->check->nodes[depth] == lane->path[depth].node;
}

static const struct entered *broken_node(const struct lane *lane)
{
    for (size_t i = 0; i < lane->depth; i++)
        if (lane->path[i].broken)
            return &lane->path[i];
    return NULL;
}

/* Leaves the innermost describe if it is over.  True when it did something. */
static bool leave(struct lane *lane, const struct entry *next)
{
    if (lane->depth == 0 || is_on_path(lane, next, lane->depth - 1))
        return false;
    lane->function = 0;
    if (!begin_teardown(lane))
        leave_node(lane);
    return true;
}

static bool enter(struct lane *lane, const struct entry *next)
{
    if (lane->depth >= next->check->node_count || broken_node(lane))
        return false;
    if (lane->depth == lane->room) {
        lane->room = lane->room ? lane->room * 2 : 4;
        lane->path = memory_resize(lane->path, lane->room * sizeof *lane->path);
    }
    lane->path[lane->depth] = (struct entered){.node = next->check->nodes[lane->depth]};
    lane->depth++;
    lane->function = 0;
    if (!begin_setup(lane))
        lane->step = LANE_IDLE;
    return true;
}

void lane_go(struct lane *lane)
{
    while (lane->step == LANE_IDLE) {
        struct entry *next = lane->current;
        if (next && next->state == ENTRY_HELD)
            return;
        if (next && next->state == ENTRY_SKIP) {
            tell_skipped(lane, next->reason);
            continue;
        }
        if (lane->number != 0 && leave(lane, next))
            continue;
        if (!next) {
            lane->step = LANE_OVER;
            session_lane_over(lane->session);
            return;
        }
        if (lane->number != 0 && enter(lane, next))
            continue;
        const struct entered *broken = broken_node(lane);
        if (broken) {
            tell_broken(lane, broken);
            continue;
        }
        lane->step = LANE_BODY;
        lane->attempt.number = 0;
        pace_add(lane->session->pace, &lane->starter);
    }
}

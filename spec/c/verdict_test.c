/* verdict_test.c - the whole table of what makes which status. */
#include "check/verdict.h"

#include "check/catalogue.h"
#include "check/record.h"
#include "test.h"

static const struct check_decl plain = {0}, marked = {.expected_failure = "bug 7"};

static struct record said(unsigned assertions, unsigned failures, unsigned ours, unsigned warnings)
{
    struct record record = {.assertions = assertions, .ours = ours};
    record.lists[RECORD_FAILURE].count = failures;
    record.lists[RECORD_WARNING].count = warnings;
    return record;
}

static enum status judge(struct attempt attempt, struct record record,
                         const struct check_decl *check)
{
    if (!attempt.number)
        attempt.number = 1;
    return verdict_of(&attempt, &record, check);
}

TEST(what_held_passes_and_what_asserted_nothing_is_a_warning)
{
    CHECK(judge((struct attempt){0}, said(1, 0, 0, 0), &plain) == STATUS_PASS);
    CHECK(judge((struct attempt){0}, said(0, 0, 0, 0), &plain) == STATUS_WARN);
    CHECK(judge((struct attempt){0}, said(1, 0, 0, 1), &plain) == STATUS_WARN);
    CHECK(judge((struct attempt){.number = 2}, said(1, 0, 0, 0), &plain) == STATUS_WARN);
    struct record probed = {0};
    probed.lists[RECORD_PROBE].count = 1;
    CHECK(judge((struct attempt){0}, probed, &plain) == STATUS_PASS);
}

TEST(a_recorded_failure_counts_whatever_came_after_it)
{
    struct attempt skipped = {.raised = true, .what = RAISED_SKIP};
    CHECK(judge((struct attempt){0}, said(1, 1, 0, 0), &plain) == STATUS_FAIL);
    CHECK(judge(skipped, said(1, 1, 0, 0), &plain) == STATUS_FAIL);
    CHECK(judge(skipped, said(1, 0, 0, 0), &plain) == STATUS_SKIP);
    struct record flooded = {.assertions = 1};
    flooded.lists[RECORD_FAILURE].dropped = 1;
    CHECK(judge((struct attempt){0}, flooded, &plain) == STATUS_FAIL);
}

TEST(what_is_broken_is_an_error_and_no_failure)
{
    struct attempt raised = {.raised = true, .what = RAISED_ERROR};
    CHECK(judge(raised, said(1, 1, 0, 0), &plain) == STATUS_ERROR);
    CHECK(judge((struct attempt){0}, said(1, 1, 1, 0), &plain) == STATUS_ERROR);
    CHECK(judge((struct attempt){.cleanup_broken = true}, said(1, 1, 0, 0), &plain) ==
          STATUS_ERROR);
}

TEST(a_kill_is_above_all)
{
    for (int kill = KILL_DEADLINE; kill <= KILL_CANCELLED; kill++) {
        enum status wanted = kill == KILL_DEADLINE ? STATUS_TIMEOUT : STATUS_ERROR;
        struct attempt attempt = {.killed = (enum task_kill)kill};
        CHECK(judge(attempt, said(1, 0, 0, 0), &plain) == wanted);
        CHECK(judge(attempt, said(1, 1, 1, 1), &plain) == wanted);
    }
}

TEST(expected_failure_turns_what_the_target_did_and_nothing_else)
{
    struct attempt none = {0}, late = {.killed = KILL_DEADLINE}, full = {.killed = KILL_MEMORY};
    struct attempt broken = {.raised = true, .what = RAISED_ERROR};
    struct attempt cleanup = {.cleanup_broken = true};
    struct attempt both = {.killed = KILL_DEADLINE, .cleanup_broken = true};
    CHECK(judge(both, said(1, 2, 0, 0), &marked) == STATUS_TIMEOUT);
    CHECK(judge(none, said(1, 1, 0, 0), &marked) == STATUS_EXPECTED_FAILURE);
    CHECK(judge(late, said(1, 1, 0, 0), &marked) == STATUS_EXPECTED_FAILURE);
    CHECK(judge(none, said(1, 0, 0, 0), &marked) == STATUS_UNEXPECTED_SUCCESS);
    CHECK(judge(none, said(1, 0, 0, 1), &marked) == STATUS_UNEXPECTED_SUCCESS);
    CHECK(judge(full, said(1, 1, 0, 0), &marked) == STATUS_ERROR);
    CHECK(judge(broken, said(1, 1, 0, 0), &marked) == STATUS_ERROR);
    CHECK(judge(cleanup, said(1, 2, 0, 0), &marked) == STATUS_ERROR);
}

int main(void)
{
    RUN(what_held_passes_and_what_asserted_nothing_is_a_warning);
    RUN(a_recorded_failure_counts_whatever_came_after_it);
    RUN(what_is_broken_is_an_error_and_no_failure);
    RUN(a_kill_is_above_all);
    RUN(expected_failure_turns_what_the_target_did_and_nothing_else);
    return test_report();
}

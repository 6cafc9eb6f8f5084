/* verdict.c - see verdict.h. */
#include "check/verdict.h"

#include <stddef.h>

#include "check/catalogue.h"
#include "check/record.h"

static enum status status_of_kill(enum task_kill killed)
{
    return killed == KILL_DEADLINE ? STATUS_TIMEOUT : STATUS_ERROR;
}

const char *verdict_doubt(const struct attempt *attempt, const struct record *record)
{
    if (attempt->number > 1)
        return "passed only after a retry";
    if (record->assertions == 0 && record->lists[RECORD_PROBE].count == 0)
        return "asserted and probed nothing";
    return NULL;
}

static enum status raw_verdict(const struct attempt *attempt, const struct record *record)
{
    if (attempt->killed)
        return status_of_kill(attempt->killed);
    if ((attempt->raised && attempt->what == RAISED_ERROR) || record->ours > 0)
        return STATUS_ERROR;
    if (record->lists[RECORD_FAILURE].count + record->lists[RECORD_FAILURE].dropped > 0)
        return attempt->cleanup_broken ? STATUS_ERROR : STATUS_FAIL;
    if (attempt->raised && attempt->what == RAISED_SKIP)
        return STATUS_SKIP;
    if (record->lists[RECORD_WARNING].count > 0 || verdict_doubt(attempt, record))
        return STATUS_WARN;
    return STATUS_PASS;
}

enum status verdict_of(const struct attempt *attempt, const struct record *record,
                       const struct check_decl *check)
{
    enum status status = raw_verdict(attempt, record);
    if (!check->expected_failure || attempt->cleanup_broken)
        return status;
    switch (status) {
    case STATUS_FAIL:
    case STATUS_TIMEOUT: return STATUS_EXPECTED_FAILURE;
    case STATUS_PASS:
    case STATUS_WARN: return STATUS_UNEXPECTED_SUCCESS;
    default: return status;
    }
}

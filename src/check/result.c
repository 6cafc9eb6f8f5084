/* result.c - see result.h. */
#include "check/result.h"

const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_PASS: return "pass";
    case STATUS_WARN: return "warn";
    case STATUS_FAIL: return "fail";
    case STATUS_ERROR: return "error";
    case STATUS_TIMEOUT: return "timeout";
    case STATUS_SKIP: return "skip";
    case STATUS_EXPECTED_FAILURE: return "expected_failure";
    case STATUS_UNEXPECTED_SUCCESS: return "unexpected_success";
    }
    return "error";
}

bool status_is_red(enum status status, bool strict)
{
    switch (status) {
    case STATUS_PASS:
    case STATUS_SKIP:
    case STATUS_EXPECTED_FAILURE: return false;
    case STATUS_WARN: return strict;
    case STATUS_FAIL:
    case STATUS_ERROR:
    case STATUS_TIMEOUT:
    case STATUS_UNEXPECTED_SUCCESS: return true;
    }
    return true;
}

void summary_add(struct summary *summary, enum status status)
{
    summary->total++;
    summary->of[(unsigned)status < STATUS_COUNT ? status : STATUS_ERROR]++;
}

size_t summary_red(const struct summary *summary, bool strict)
{
    size_t red = 0;
    for (int i = 0; i < STATUS_COUNT; i++)
        if (status_is_red((enum status)i, strict))
            red += summary->of[i];
    return red;
}

/* select.c - see select.h. */
#include "check/select.h"

#include <fnmatch.h>
#include <string.h>

#include "base/text.h"

bool select_id_holds(const char *wanted, const char *id)
{
    size_t size = strlen(wanted);
    return strncmp(wanted, id, size) == 0 && (id[size] == '\0' || strncmp(id + size, "::", 2) == 0);
}

bool select_filter_matches(const char *pattern, const char *id)
{
    if (strstr(id, pattern)) /* first, because names hold brackets too */
        return true;
    return strpbrk(pattern, "*?[") && fnmatch(pattern, id, 0) == 0;
}

unsigned select_shard_of(const char *id, unsigned shards)
{
    uint64_t hash = text_hash(TEXT_HASH_START, id, strlen(id));
    /* The low bits of FNV-1a are its weakest. */
    return (unsigned)((hash ^ hash >> 32) % shards) + 1;
}

static bool is_empty(const struct strings *list)
{
    return !list || list->count == 0;
}

static bool has_tag(const struct candidate *check, const char *tag)
{
    return (check->tags && strings_has(check->tags, tag)) ||
           (check->slow && strcmp(tag, "slow") == 0);
}

static bool has_any_tag(const struct candidate *check, const struct strings *tags)
{
    for (size_t i = 0; i < tags->count; i++)
        if (has_tag(check, tags->items[i]))
            return true;
    return false;
}

static bool is_below_any(const struct candidate *check)
{
    for (size_t i = 0; i < check->only->count; i++)
        if (select_id_holds(check->only->items[i], check->id))
            return true;
    return false;
}

static bool matches_any(const struct candidate *check, const struct strings *filters)
{
    for (size_t i = 0; i < filters->count; i++)
        if (select_filter_matches(filters->items[i], check->id))
            return true;
    return false;
}

static bool slow_is_asked_for(const struct selector *by, const struct candidate *check)
{
    return by->slow || by->failed || (by->tags && strings_has(by->tags, "slow")) ||
           (check->only && strings_has(check->only, check->id));
}

enum selection select_check(const struct selector *by, const struct candidate *check)
{
    if (!is_empty(check->only) && !is_below_any(check))
        return OUT_ID;
    if (!is_empty(by->tags) && !has_any_tag(check, by->tags))
        return OUT_TAG;
    if (!is_empty(by->exclude_tags) && has_any_tag(check, by->exclude_tags))
        return OUT_TAG;
    if (!is_empty(by->filters) && !matches_any(check, by->filters))
        return OUT_FILTER;
    if (by->failed && !lastrun_has(by->failed, check->id))
        return OUT_FAILED;
    if (by->shards && select_shard_of(check->id, by->shards) != by->shard)
        return OUT_SHARD;
    if (has_tag(check, "slow") && !slow_is_asked_for(by, check))
        return OUT_SLOW;
    return SELECTED;
}

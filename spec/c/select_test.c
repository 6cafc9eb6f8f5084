/* select_test.c - which checks run, and what is said of the others. */
#include "check/select.h"

#include <stdio.h>

#include "test.h"

/* A list from words; freed with the program's other lists by lists_fini. */
static struct strings lists[32];
static size_t list_count;

static const struct strings *words(const char *text)
{
    struct strings *list = &lists[list_count++];
    strings_add_words(list, text);
    return list;
}

static void lists_fini(void)
{
    while (list_count)
        strings_fini(&lists[--list_count]);
}

static const char id[] = "net/shop.lua::orders::can be [fast] counted";

TEST(nothing_asked_for_selects_all_but_slow)
{
    struct selector by = {0};
    CHECK(select_check(&by, &(struct candidate){.id = id}) == SELECTED);
    CHECK(select_check(&by, &(struct candidate){.id = id, .slow = true}) == OUT_SLOW);
    CHECK(select_check(&by, &(struct candidate){.id = id, .tags = words("a slow")}) == OUT_SLOW);
}

TEST(tags_include_and_exclude)
{
    struct candidate check = {.id = id, .tags = words("smoke db")};
    struct candidate bare = {.id = id};
    struct selector by = {.tags = words("web db")};
    CHECK(select_check(&by, &check) == SELECTED);
    CHECK(select_check(&by, &bare) == OUT_TAG);
    by.exclude_tags = words("smoke");
    CHECK(select_check(&by, &check) == OUT_TAG);
    by.tags = NULL;
    CHECK(select_check(&by, &check) == OUT_TAG);
    CHECK(select_check(&by, &bare) == SELECTED);
}

TEST(filters_are_parts_or_globs)
{
    CHECK(select_filter_matches("orders", id));
    CHECK(select_filter_matches("[fast]", id)); /* a name with brackets is found as it stands */
    CHECK(select_filter_matches("net/*counted", id));
    CHECK(select_filter_matches("*::orders::*", id));
    CHECK(select_filter_matches("n?t/*", id));
    CHECK(select_filter_matches("[mn]et*", id));
    CHECK(!select_filter_matches("shop*", id)); /* a glob is for the whole id */
    CHECK(!select_filter_matches("Orders", id));
    struct selector by = {.filters = words("nothing orders")};
    CHECK(select_check(&by, &(struct candidate){.id = id}) == SELECTED);
    by.filters = words("nothing nowhere");
    CHECK(select_check(&by, &(struct candidate){.id = id}) == OUT_FILTER);
}

TEST(an_id_holds_all_below_it_and_no_more)
{
    CHECK(select_id_holds("shop.lua::orders", "shop.lua::orders"));
    CHECK(select_id_holds("shop.lua::orders", "shop.lua::orders::x"));
    CHECK(!select_id_holds("shop.lua::orders", "shop.lua::orders2"));
    CHECK(!select_id_holds("shop.lua::orders", "shop.lua::orders:"));
    CHECK(!select_id_holds("shop.lua::orders::x", "shop.lua::orders"));
    struct selector by = {0};
    struct candidate check = {.id = "a.lua::x::y", .only = words("a.lua::z a.lua::x")};
    CHECK(select_check(&by, &check) == SELECTED);
    check.only = words("a.lua::z");
    CHECK(select_check(&by, &check) == OUT_ID);
}

TEST(slow_checks_run_when_asked_for)
{
    struct lastrun last = {0};
    strings_add(&last.ids, "a.lua::x");
    struct candidate check = {.id = "a.lua::x", .slow = true};
    CHECK(select_check(&(struct selector){.slow = true}, &check) == SELECTED);
    CHECK(select_check(&(struct selector){.tags = words("slow")}, &check) == SELECTED);
    CHECK(select_check(&(struct selector){.exclude_tags = words("slow")}, &check) == OUT_TAG);
    CHECK(select_check(&(struct selector){.failed = &last}, &check) == SELECTED);
    check.only = words("a.lua::x");
    CHECK(select_check(&(struct selector){0}, &check) == SELECTED);
    lastrun_fini(&last);
}

TEST(a_check_that_is_out_anyway_is_not_counted_as_slow)
{
    struct candidate check = {.id = "a.lua::x", .slow = true};
    CHECK(select_check(&(struct selector){.filters = words("b.lua")}, &check) == OUT_FILTER);
    struct selector other = {.shard = 3 - select_shard_of("a.lua::x", 2), .shards = 2};
    CHECK(select_check(&other, &check) == OUT_SHARD);
}

TEST(failed_selects_what_was_red)
{
    struct lastrun last = {0};
    strings_add(&last.ids, "a.lua::x");
    struct selector by = {.failed = &last};
    CHECK(select_check(&by, &(struct candidate){.id = "a.lua::x"}) == SELECTED);
    CHECK(select_check(&by, &(struct candidate){.id = "a.lua::y"}) == OUT_FAILED);
    lastrun_fini(&last);
}

TEST(shards_are_disjoint_complete_and_even)
{
    enum { IDS = 20000, SHARDS = 7 };
    unsigned sizes[SHARDS + 1] = {0};
    for (unsigned i = 0; i < IDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%u.lua::check %u", i / 20, i % 20);
        unsigned hits = 0;
        for (unsigned shard = 1; shard <= SHARDS; shard++) {
            struct selector by = {.shard = shard, .shards = SHARDS};
            if (select_check(&by, &(struct candidate){.id = name}) == SELECTED) {
                hits++;
                sizes[shard]++;
            }
        }
        CHECK(hits == 1);
    }
    for (unsigned shard = 1; shard <= SHARDS; shard++)
        CHECK(sizes[shard] > IDS / SHARDS * 9 / 10 && sizes[shard] < IDS / SHARDS * 11 / 10);
}

/* Machines and releases must agree on who runs what. */
TEST(shards_never_change)
{
    CHECK(select_shard_of("shop.lua::orders::x", 1) == 1);
    CHECK(select_shard_of("shop.lua::orders::x", 10) == 4);
    CHECK(select_shard_of("net/dns.lua::a", 1000) == 836);
}

int main(void)
{
    RUN(nothing_asked_for_selects_all_but_slow);
    RUN(tags_include_and_exclude);
    RUN(filters_are_parts_or_globs);
    RUN(an_id_holds_all_below_it_and_no_more);
    RUN(slow_checks_run_when_asked_for);
    RUN(a_check_that_is_out_anyway_is_not_counted_as_slow);
    RUN(failed_selects_what_was_red);
    RUN(shards_are_disjoint_complete_and_even);
    RUN(shards_never_change);
    lists_fini();
    return test_report();
}

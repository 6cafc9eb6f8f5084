/* record_test.c - what a check says is bounded, can be taken back to a mark, and
 * what did not fit is counted. */
#include "check/record.h"

#include <lauxlib.h>

#include "test.h"
#include "vm/pack.h"

static void add(struct record *record, enum record_list list, unsigned times)
{
    while (times-- > 0)
        record_add_text(record, list, "x");
}

TEST(a_list_is_bounded_and_what_did_not_fit_is_said)
{
    struct record record;
    struct buffer out = {0};
    record_init(&record);
    add(&record, RECORD_WARNING, 250);
    CHECK(record.lists[RECORD_WARNING].count == 100);
    CHECK(record.lists[RECORD_WARNING].dropped == 150);
    record_pack(&record, &out);
    CHECK(pack_is_valid(out.data, out.size));
    CHECK(memmem(out.data, out.size, "150 more of its warnings", 24) != NULL);
    buffer_fini(&out);
    record_fini(&record);
}

TEST(a_mark_takes_back_what_came_after_it_but_no_probe)
{
    struct record record;
    record_init(&record);
    add(&record, RECORD_OUTPUT, 2);
    struct record_mark mark = record_here(&record);
    add(&record, RECORD_OUTPUT, 3);
    add(&record, RECORD_FAILURE, 1);
    add(&record, RECORD_PROBE, 1);
    CHECK(record_failed_since(&record, &mark));
    record_rewind(&record, &mark);
    CHECK(record.lists[RECORD_OUTPUT].count == 2 && record.lists[RECORD_FAILURE].count == 0);
    CHECK(record.lists[RECORD_PROBE].count == 1 && !record_failed_since(&record, &mark));
    record_clear(&record);
    add(&record, RECORD_OUTPUT, 1);
    record_rewind(&record, &mark); /* it marks what is there no more */
    CHECK(record.lists[RECORD_OUTPUT].count == 1);
    record_fini(&record);
}

TEST(a_part_counts_against_what_it_is_within_and_is_merged_behind)
{
    struct record whole, part;
    record_init(&whole);
    record_init_within(&part, &whole);
    add(&whole, RECORD_WARNING, 60);
    add(&part, RECORD_WARNING, 60);
    CHECK(part.lists[RECORD_WARNING].count == 40 && part.lists[RECORD_WARNING].dropped == 20);
    record_merge(&part);
    CHECK(whole.lists[RECORD_WARNING].count == 100 && whole.lists[RECORD_WARNING].dropped == 20);
    record_fini(&part);
    record_fini(&whole);
}

TEST(what_is_put_before_stands_before_or_is_dropped_whole)
{
    struct record record, said;
    struct buffer out = {0};
    record_init(&record);
    record_init(&said);
    record_add_text(&said, RECORD_OUTPUT, "first");
    record_add_text(&record, RECORD_OUTPUT, "second");
    record_prepend(&record, RECORD_OUTPUT, &said);
    CHECK(record.lists[RECORD_OUTPUT].count == 2);
    record_pack(&record, &out);
    const char *first = memmem(out.data, out.size, "first", 5);
    const char *second = memmem(out.data, out.size, "second", 6);
    CHECK(first && second && first < second && pack_is_valid(out.data, out.size));
    add(&record, RECORD_WARNING, 99);
    add(&said, RECORD_WARNING, 2);
    record_prepend(&record, RECORD_WARNING, &said);
    CHECK(record.lists[RECORD_WARNING].count == 99 && record.lists[RECORD_WARNING].dropped == 2);
    buffer_fini(&out);
    record_fini(&said);
    record_fini(&record);
}

int main(void)
{
    RUN(a_list_is_bounded_and_what_did_not_fit_is_said);
    RUN(a_mark_takes_back_what_came_after_it_but_no_probe);
    RUN(a_part_counts_against_what_it_is_within_and_is_merged_behind);
    RUN(what_is_put_before_stands_before_or_is_dropped_whole);
    return test_report();
}

/* wire_test.c - what was written is read back, and nothing else is: cut at
 * every byte and mutated at random, the bytes give a fault, never a wild read
 * (run it under ASan too). */
#include "proc/wire.h"

#include <stdlib.h>

#include "test.h"

static struct buffer sample(void)
{
    struct buffer b = {0};
    size_t mark = wire_begin(&b, WIRE_RESULT);
    wire_put_u8(&b, 200);
    wire_put_u64(&b, UINT64_MAX - 1);
    wire_put_varint(&b, 127);
    wire_put_varint(&b, 128);
    wire_put_varint(&b, UINT64_MAX);
    wire_put_bool(&b, true);
    wire_put_string(&b, "shop.lua::home");
    wire_put_string(&b, "");
    wire_put_string(&b, NULL);
    wire_put_bytes(&b, "a\0b", 3);
    wire_put_varint(&b, 7);
    wire_put_varint(&b, 2);
    wire_put_u8(&b, 1);
    wire_put_u8(&b, 2);
    CHECK(wire_end(&b, mark));
    return b;
}

/* Reads a sample; exact also looks at the values. */
static bool read_sample(struct wire_reader *r, bool exact, struct fault *why)
{
    size_t size;
    uint8_t u8 = wire_get_u8(r);
    uint64_t u64 = wire_get_u64(r);
    uint64_t v1 = wire_get_varint(r), v2 = wire_get_varint(r), v3 = wire_get_varint(r);
    bool yes = wire_get_bool(r);
    const char *id = wire_get_string(r), *empty = wire_get_string(r);
    const char *none = wire_get_optional_string(r);
    const char *bytes = wire_get_bytes(r, &size);
    uint32_t index = wire_get_index(r, 8);
    size_t count = wire_get_count(r), total = 0;
    for (size_t i = 0; i < count; i++)
        total += wire_get_u8(r);
    size_t touched = strlen(id) + strlen(empty) + (none ? strlen(none) : 0);
    for (size_t i = 0; i < size; i++)
        touched += (unsigned char)bytes[i];
    if (exact) {
        CHECK(u8 == 200 && u64 == UINT64_MAX - 1);
        CHECK(v1 == 127 && v2 == 128 && v3 == UINT64_MAX);
        CHECK(yes);
        CHECK_STRING(id, "shop.lua::home");
        CHECK_STRING(empty, "");
        CHECK(none == NULL);
        CHECK(size == 3 && memcmp(bytes, "a\0b", 3) == 0);
        CHECK(index == 7 && count == 2 && total == 3);
    }
    return wire_finish(r, why) && touched < SIZE_MAX;
}

TEST(what_is_written_is_read_back)
{
    struct buffer b = sample();
    struct wire_reader r;
    struct fault why;
    size_t size;
    CHECK(wire_next(b.data, b.size, &r, &size, &why) == WIRE_FRAME);
    CHECK(size == b.size && r.type == WIRE_RESULT);
    CHECK(read_sample(&r, true, &why));
    buffer_fini(&b);
}

TEST(a_frame_cut_anywhere_asks_for_more)
{
    struct buffer b = sample();
    struct wire_reader r;
    struct fault why;
    size_t size;
    for (size_t have = 0; have < b.size; have++) {
        char *cut = memory_copy(b.data, have);
        CHECK(wire_next(cut, have, &r, &size, &why) == WIRE_MORE);
        CHECK(size == (have < WIRE_HEADER_SIZE ? 0 : b.size));
        free(cut);
    }
    buffer_fini(&b);
}

TEST(a_payload_cut_anywhere_is_bad_and_stays_bad)
{
    struct buffer b = sample();
    struct fault why;
    for (size_t have = 0; have < b.size - WIRE_HEADER_SIZE; have++) {
        char *cut = malloc(have ? have : 1); /* exactly: ASan guards its end */
        memcpy(cut, b.data + WIRE_HEADER_SIZE, have);
        struct wire_reader r = wire_reader_of(WIRE_RESULT, cut, have);
        CHECK(!read_sample(&r, false, &why));
        CHECK(why.kind == FAULT_PROTOCOL && strstr(why.message, "RESULT"));
        size_t size = 1;
        CHECK(r.bad && wire_get_u64(&r) == 0 && wire_get_varint(&r) == 0 && !wire_get_bool(&r));
        CHECK_STRING(wire_get_string(&r), "");
        CHECK(wire_get_bytes(&r, &size) && size == 0 && r.bad);
        free(cut);
    }
    buffer_fini(&b);
}

TEST(a_payload_with_a_rest_is_bad)
{
    struct fault why;
    struct wire_reader r = wire_reader_of(WIRE_GO, "\1\2", 2);
    CHECK(wire_get_u8(&r) == 1);
    CHECK(!wire_finish(&r, &why));
    CHECK_STRING(why.message, "bad GO frame: 1 bytes too many");
}

TEST(mutations_never_read_outside)
{
    struct buffer b = sample();
    size_t size = b.size - WIRE_HEADER_SIZE;
    srand(7);
    for (int round = 0; round < 200000; round++) {
        char *copy = malloc(size);
        memcpy(copy, b.data + WIRE_HEADER_SIZE, size);
        for (int n = 1 + rand() % 4; n > 0; n--)
            copy[(size_t)rand() % size] = (char)rand();
        struct wire_reader r = wire_reader_of(WIRE_RESULT, copy, size);
        struct fault why = {0};
        if (!read_sample(&r, false, &why))
            CHECK(why.kind == FAULT_PROTOCOL);
        CHECK(r.at <= r.end);
        free(copy);
    }
    buffer_fini(&b);
}

static void check_broken(size_t at, const char *bytes, size_t count, const char *message)
{
    struct buffer b = sample();
    struct wire_reader r;
    struct fault why = {0};
    size_t size;
    memcpy(b.data + at, bytes, count);
    CHECK(wire_next(b.data, b.size, &r, &size, &why) == WIRE_BROKEN);
    CHECK(why.kind == FAULT_PROTOCOL);
    CHECK_STRING(why.message, message);
    buffer_fini(&b);
}

TEST(a_header_that_cannot_be_believed_is_broken)
{
    check_broken(6, "\2\x48", 2, "not a frame of protocol 0x4801: its mark is 0x4802");
    check_broken(4, "\0\0", 2, "frame of unknown type 0");
    check_broken(4, "\xe7\3", 2, "frame of unknown type 999");
    check_broken(0, "\1\0\0\4", 4,
                 "RESULT frame of 67108865 bytes, more than the limit of 67108864");
}

TEST(a_frame_over_the_limit_is_taken_back)
{
    struct buffer b = {0};
    size_t mark = wire_begin(&b, WIRE_GO);
    CHECK(wire_end(&b, mark));
    size_t before = b.size;
    mark = wire_begin(&b, WIRE_RESULT);
    buffer_reserve(&b, WIRE_PAYLOAD_MAX + 1);
    b.size += WIRE_PAYLOAD_MAX + 1;
    CHECK(!wire_end(&b, mark));
    CHECK(b.size == before);
    buffer_fini(&b);
}

static bool bad_after(const char *bytes, size_t size, char what)
{
    char *copy = memory_copy(bytes, size);
    struct wire_reader r = wire_reader_of(WIRE_RUN, copy, size);
    size_t n;
    switch (what) {
    case 'v': CHECK(wire_get_varint(&r) == 0); break;
    case 'c': CHECK(wire_get_count(&r) == 0); break;
    case 'i': CHECK(wire_get_index(&r, 3) == 0); break;
    case 'b': CHECK(!wire_get_bool(&r)); break;
    case 's': CHECK_STRING(wire_get_string(&r), ""); break;
    case 'o': CHECK(wire_get_optional_string(&r) == NULL); break;
    case 'y': CHECK(wire_get_bytes(&r, &n) && n == 0); break;
    }
    free(copy);
    return r.bad;
}

TEST(values_out_of_their_range_are_bad)
{
    CHECK(bad_after("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, 'v'));
    CHECK(bad_after("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, 'v'));
    CHECK(bad_after("\x80", 1, 'v'));
    CHECK(bad_after("\x05xxxx", 5, 'c'));
    CHECK(bad_after("\x03", 1, 'i'));
    CHECK(bad_after("\x02", 1, 'b'));
    CHECK(bad_after("\x00", 1, 's'));      /* NULL where it may not be */
    CHECK(!bad_after("\x00", 1, 'o'));     /* and where it may */
    CHECK(bad_after("\x03xyz", 4, 's'));   /* not terminated */
    CHECK(bad_after("\x03x\0\0", 4, 's')); /* terminated early */
    CHECK(bad_after("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, 'y'));
}

TEST(each_type_has_a_name)
{
    for (unsigned type = 1; type < WIRE_TYPES; type++)
        CHECK(strcmp(wire_type_name(type), "unknown") != 0);
    CHECK_STRING(wire_type_name(0), "unknown");
    CHECK_STRING(wire_type_name(WIRE_TYPES), "unknown");
    CHECK(wire_type_is_workers(WIRE_RESULT) && !wire_type_is_workers(WIRE_DROP));
}

int main(void)
{
    RUN(what_is_written_is_read_back);
    RUN(a_frame_cut_anywhere_asks_for_more);
    RUN(a_payload_cut_anywhere_is_bad_and_stays_bad);
    RUN(a_payload_with_a_rest_is_bad);
    RUN(mutations_never_read_outside);
    RUN(a_header_that_cannot_be_believed_is_broken);
    RUN(a_frame_over_the_limit_is_taken_back);
    RUN(values_out_of_their_range_are_bad);
    RUN(each_type_has_a_name);
    return test_report();
}

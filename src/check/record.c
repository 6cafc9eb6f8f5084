/* record.c - see record.h. */
#include "check/record.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vm/failure.h"
#include "vm/pack.h"

/* Entries and bytes that one check may keep in each list. */
static const struct {
    const char *name;
    unsigned entries;
    size_t bytes;
} bounds[RECORD_LISTS] = {
    [RECORD_FAILURE] = {"failures", 100, 512 * 1024},
    [RECORD_WARNING] = {"warnings", 100, 64 * 1024},
    [RECORD_METRIC] = {"metrics", 1000, 128 * 1024},
    [RECORD_PROBE] = {"probes", 100, 64 * 1024},
    [RECORD_OUTPUT] = {"output", 1000, 64 * 1024},
};

void record_init(struct record *record)
{
    *record = (struct record){0};
}

void record_init_within(struct record *record, struct record *within)
{
    *record = (struct record){.within = within};
}

/* The records around it count what it has (or, negative, has no more). */
static void lend(struct record *record, int list, int count, ptrdiff_t size)
{
    for (struct record *r = record->within; r; r = r->within) {
        r->lists[list].lent_count += (unsigned)count;
        r->lists[list].lent_size += (size_t)size;
    }
}

static void cut(struct record *record, int list, size_t size, unsigned count)
{
    lend(record, list, (int)count - (int)record->lists[list].count,
         (ptrdiff_t)size - (ptrdiff_t)record->lists[list].packed.size);
    record->lists[list].packed.size = size;
    record->lists[list].count = count;
}

void record_fini(struct record *record)
{
    for (int i = 0; i < RECORD_LISTS; i++)
        buffer_fini(&record->lists[i].packed);
}

void record_clear_list(struct record *record, enum record_list list)
{
    cut(record, list, 0, 0);
    record->lists[list].dropped = 0;
}

void record_clear(struct record *record)
{
    for (int i = 0; i < RECORD_LISTS; i++)
        record_clear_list(record, (enum record_list)i);
    record->assertions = record->ours = 0;
    record->message[0] = '\0';
}

bool record_has_room(struct record *record, enum record_list list)
{
    for (const struct record *r = record; r; r = r->within)
        if (r->lists[list].count + r->lists[list].lent_count >= bounds[list].entries ||
            r->lists[list].packed.size + r->lists[list].lent_size >= bounds[list].bytes) {
            record->lists[list].dropped++;
            return false;
        }
    return true;
}

void record_note_message(struct record *record, const char *message)
{
    if (!record->message[0])
        snprintf(record->message, sizeof record->message, "%s", message);
}

void record_note_failure(struct record *record, lua_State *L, int index)
{
    if (failure_is_ours(L, index))
        record->ours++;
    if (record->message[0] || !lua_istable(L, index))
        return;
    index = lua_absindex(L, index);
    lua_pushliteral(L, "message");
    if (lua_rawget(L, index) == LUA_TSTRING)
        record_note_message(record, lua_tostring(L, -1));
    lua_pop(L, 1);
}

void record_add(struct record *record, enum record_list list, lua_State *L, int index)
{
    if (list == RECORD_FAILURE)
        record_note_failure(record, L, index);
    if (!record_has_room(record, list))
        return;
    struct buffer *packed = &record->lists[list].packed;
    size_t before = packed->size;
    pack_value(L, index, packed, NULL);
    record->lists[list].count++;
    lend(record, list, 1, (ptrdiff_t)(packed->size - before));
}

void record_add_text(struct record *record, enum record_list list, const char *text)
{
    if (!record_has_room(record, list))
        return;
    struct buffer *packed = &record->lists[list].packed;
    size_t before = packed->size;
    pack_text(packed, text);
    record->lists[list].count++;
    lend(record, list, 1, (ptrdiff_t)(packed->size - before));
}

struct record_mark record_here(const struct record *record)
{
    struct record_mark mark = {.record = record};
    for (int i = 0; i < RECORD_LISTS; i++) {
        mark.lists[i].size = record->lists[i].packed.size;
        mark.lists[i].count = record->lists[i].count;
        mark.lists[i].dropped = record->lists[i].dropped;
    }
    mark.ours = record->ours;
    mark.message = record->message[0] != '\0';
    return mark;
}

bool record_failed_since(const struct record *record, const struct record_mark *mark)
{
    return record->lists[RECORD_FAILURE].count + record->lists[RECORD_FAILURE].dropped >
           mark->lists[RECORD_FAILURE].count + mark->lists[RECORD_FAILURE].dropped;
}

/* Where the entry after the first `count` begins; SIZE_MAX when there are fewer. */
static size_t entries_end(const struct buffer *packed, unsigned count)
{
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t size = pack_first_size(packed->data + at, packed->size - at);
        if (size == 0)
            return SIZE_MAX;
        at += size;
    }
    return at;
}

/* A coroutine may keep a mark for longer than what it marks is there. */
static bool still_holds(const struct record *record, const struct record_mark *mark)
{
    if (mark->record != record)
        return false;
    for (int i = 0; i < RECORD_LISTS; i++)
        if (mark->lists[i].count > record->lists[i].count ||
            entries_end(&record->lists[i].packed, mark->lists[i].count) != mark->lists[i].size)
            return false;
    return true;
}

void record_rewind(struct record *record, const struct record_mark *mark)
{
    if (!still_holds(record, mark))
        return;
    for (int i = 0; i < RECORD_LISTS; i++) {
        if (i == RECORD_PROBE) /* what was probed was probed */
            continue;
        cut(record, i, mark->lists[i].size, mark->lists[i].count);
        record->lists[i].dropped = mark->lists[i].dropped;
    }
    record->ours = mark->ours;
    if (!mark->message)
        record->message[0] = '\0';
}

/* The bounds have been kept when it was said. */
static void merge_list(struct record *part, int list)
{
    struct record *record = part->within;
    struct buffer *packed = &part->lists[list].packed;
    size_t size = packed->size;
    unsigned count = part->lists[list].count;
    if (size > 0)
        buffer_add(&record->lists[list].packed, packed->data, size);
    record->lists[list].count += count;
    record->lists[list].dropped += part->lists[list].dropped;
    lend(record, list, (int)count, (ptrdiff_t)size);
    cut(part, list, 0, 0);
    part->lists[list].dropped = 0;
}

void record_merge(struct record *part)
{
    struct record *record = part->within;
    for (int i = 0; i < RECORD_LISTS; i++)
        merge_list(part, i);
    record->assertions += part->assertions;
    record->ours += part->ours;
    if (part->message[0])
        record_note_message(record, part->message);
    record_clear(part);
}

void record_prepend(struct record *record, enum record_list list, const struct record *from)
{
    struct buffer both = {0}, *own = &record->lists[list].packed;
    const struct buffer *more = &from->lists[list].packed;
    unsigned count = from->lists[list].count;
    record->lists[list].dropped += from->lists[list].dropped;
    if (count == 0)
        return;
    if (record->lists[list].count + count > bounds[list].entries ||
        own->size + more->size > bounds[list].bytes) {
        record->lists[list].dropped += count;
        return;
    }
    buffer_add(&both, more->data, more->size);
    if (own->size > 0)
        buffer_add(&both, own->data, own->size);
    buffer_fini(own);
    *own = both;
    record->lists[list].count += count;
    lend(record, list, (int)count, (ptrdiff_t)more->size);
}

/* What was not kept is said at the end of the output, which every report shows. */
static void pack_dropped(const struct record *record, struct buffer *out)
{
    for (int i = 0; i < RECORD_LISTS; i++) {
        char text[80];
        if (record->lists[i].dropped == 0)
            continue;
        snprintf(text, sizeof text, "(dropped: %u more of its %s)", record->lists[i].dropped,
                 bounds[i].name);
        pack_text(out, text);
    }
}

static void pack_list(const struct record *record, enum record_list list, bool dropped,
                      struct buffer *out)
{
    if (record->lists[list].count == 0 && !dropped)
        return;
    pack_text(out, bounds[list].name);
    pack_table_begin(out);
    buffer_add(out, record->lists[list].packed.data, record->lists[list].packed.size);
    if (dropped)
        pack_dropped(record, out);
    pack_table_end(out);
}

void record_pack(const struct record *record, struct buffer *out)
{
    bool any = false, dropped = false;
    for (int i = 0; i < RECORD_LISTS; i++) {
        any |= record->lists[i].count > 0;
        dropped |= record->lists[i].dropped > 0;
    }
    if (!any && !dropped)
        return;
    pack_table_begin(out);
    pack_table_fields(out);
    for (int i = 0; i < RECORD_LISTS; i++)
        pack_list(record, (enum record_list)i, dropped && i == RECORD_OUTPUT, out);
    pack_table_end(out);
}

/* record.h - what a check has said so far: kept by the host, outside the
 * sandbox, so that a killed check loses none of it and a hostile one cannot take
 * anything back.
 *
 * Every list is bounded; what did not fit is counted, and said at the end of the
 * output. */
#ifndef HOSPITAL_CHECK_RECORD_H
#define HOSPITAL_CHECK_RECORD_H

#include <lua.h>
#include <stdbool.h>

#include "base/buffer.h"

enum record_list {
    RECORD_FAILURE,
    RECORD_WARNING,
    RECORD_METRIC,
    RECORD_PROBE,
    RECORD_OUTPUT,
    RECORD_LISTS,
};

struct record {
    struct {
        struct buffer packed; /* the entries, one packed value after the other */
        unsigned count, dropped;
        unsigned lent_count; /* what the records within this one hold: it is */
        size_t lent_size;    /* going to be here, and counts already */
    } lists[RECORD_LISTS];
    struct record *within; /* whose bounds hold as well; borrowed; NULL: nobody's */
    unsigned assertions;
    unsigned ours;     /* failures that are the check's or the host's, not the target's */
    char message[200]; /* of the first failure, or why it was skipped; "" */
};

/* A place to return to: record_rewind forgets what came after it.  It holds for
 * the record it was taken from; where that was rewound beyond it or cleared
 * meanwhile, nothing is forgotten. */
struct record_mark {
    const struct record *record;
    struct {
        size_t size;
        unsigned count, dropped;
    } lists[RECORD_LISTS];
    unsigned ours;
    bool message; /* there was one already */
};

void record_init(struct record *record);

/* A record of a part of what `within` is about, which it is merged into at its
 * end: together they hold no more than one may.  Parts are merged or cleared
 * before `within` is. */
void record_init_within(struct record *record, struct record *within);

void record_fini(struct record *record);
void record_clear(struct record *record);
void record_clear_list(struct record *record, enum record_list list);

/* Copies the value at index into the list.  [-0, +0, -] */
void record_add(struct record *record, enum record_list list, lua_State *L, int index);

/* The same for a text of the host's. */
void record_add_text(struct record *record, enum record_list list, const char *text);

/* Notes the message (and whether it is ours) of the failure or skip at index, or
 * the given one, without adding to a list. */
void record_note_failure(struct record *record, lua_State *L, int index);
void record_note_message(struct record *record, const char *message);

/* For what packs its entry by hand: true when it may append one packed value to
 * lists[list].packed and count it; else it has been counted as dropped. */
bool record_has_room(struct record *record, enum record_list list);

/* Appends the packed table {failures=, warnings=, ...} of the lists that are not
 * empty; nothing when all are. */
void record_pack(const struct record *record, struct buffer *out);

/* Puts a copy of what `from` has in the list before what is there, as far as the
 * bounds allow: all of it, or none, which is counted as dropped. */
void record_prepend(struct record *record, enum record_list list, const struct record *from);

/* Moves all that is in `part` behind what is in the record it is within. */
void record_merge(struct record *part);

struct record_mark record_here(const struct record *record);
bool record_failed_since(const struct record *record, const struct record_mark *mark);
void record_rewind(struct record *record, const struct record_mark *mark);

#endif

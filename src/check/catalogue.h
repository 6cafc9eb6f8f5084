/* catalogue.h - what one file declares: its checks with their effective options.
 *
 * Written by the worker from the table `hospital.suite` once the file has loaded,
 * as bytes; parsed from those bytes by worker and supervisor alike, so that both
 * believe the same thing.  Everything a catalogue points to lies in its own copy
 * of the bytes or in one array; a hostile one is refused, never half believed. */
#ifndef HOSPITAL_CHECK_CATALOGUE_H
#define HOSPITAL_CHECK_CATALOGUE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/fault.h"
#include "base/strings.h"

struct check_decl {
    const char *id;   /* "shop.lua::orders::can be written" */
    const char *name; /* the title */
    int line;
    bool diagnosis;
    bool slow;
    unsigned lane;       /* 0: by itself; else checks of one number run in order */
    uint64_t timeout_ns; /* 0: the run's default */
    uint64_t retry_delay_ns;
    uint64_t every_ns;                   /* 0: not declared */
    int retries;                         /* -1: the run's default */
    const char *expected_failure, *skip; /* the reason; NULL: it is not */
    const char *description, *owner, *runbook, *severity;
    struct strings tags, requires, of; /* borrowed: never to be freed */
    const uint32_t *nodes;             /* describes around it, outer to inner; 0 is the file */
    size_t node_count;
};

struct node_decl {
    const char *id; /* "shop.lua::orders"; of node 0 the file's */
    int line;
    uint32_t setups, teardowns; /* how many functions */
};

struct catalogue {
    struct check_decl *checks;
    size_t count;
    struct node_decl *nodes;
    size_t node_count;
    unsigned lane_count; /* lanes are numbered up to this */
    uint64_t digest; /* of the bytes: a file that declares something else next time is found out */
    char *bytes;
    void **blocks; /* the arrays, to be freed */
    size_t block_count;
};

/* Appends the catalogue of the suite at index, raising (an ordinary error, with
 * the field's name) when the table is not what src/README.md promises.
 * [-0, +0, e] */
void catalogue_write(lua_State *L, int index, struct buffer *out);

/* Parses; false when the bytes are not a catalogue. */
bool catalogue_parse(struct catalogue *catalogue, const char *data, size_t size,
                     struct fault *why) CHECKED;
void catalogue_fini(struct catalogue *catalogue);

#endif

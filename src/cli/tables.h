/* tables.h - results and what is told of a run as the tables that reporters get
 * (src/README.md, "Events and results").
 *
 * Every string is redacted on its way.  The functions set a field of the table on
 * top of the stack: [-0, +0, m]. */
#ifndef HOSPITAL_CLI_TABLES_H
#define HOSPITAL_CLI_TABLES_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/fault.h"
#include "base/redact.h"
#include "check/result.h"

struct tables {
    lua_State *L;
    const struct redactor *redactor;
    struct buffer scratch;
    int shape; /* reference to the function that copies trusted fields from details */
};

/* The state and the redactor are borrowed. */
bool tables_open(struct tables *t, lua_State *L, const struct redactor *redactor,
                 struct fault *why) CHECKED;
void tables_close(struct tables *t);

void tables_push_text(struct tables *t, const char *text);                 /* [-0, +1, m] */
void tables_set_text(struct tables *t, const char *key, const char *text); /* NULL: nothing */
void tables_set_integer(struct tables *t, const char *key, size_t value);
void tables_set_bool(struct tables *t, const char *key, bool value);
void tables_set_duration(struct tables *t, const char *key, uint64_t ns);
void tables_set_epoch(struct tables *t, const char *key, uint64_t ns);

/* Pushes the table of a check, always; false when what its worker said is not in
 * it, because it could not be given a shape.  [-0, +1, m] */
bool tables_push_check(struct tables *t, const struct result *r, struct fault *why) CHECKED;

#endif

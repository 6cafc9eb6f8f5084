/* status_line.h - the line on a terminal's stderr that says how far a run is.
 *
 * What is written stands there until it is erased: who writes to stdout or stderr
 * meanwhile erases it first.  It never waits long for a terminal that does not read. */
#ifndef HOSPITAL_CLI_STATUS_LINE_H
#define HOSPITAL_CLI_STATUS_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct status_line {
    struct buffer text, shown; /* what it should say, and what stands on the terminal */
    bool redraw;
    unsigned shown_under; /* the column of stdout's text above it */
};

/* What it should say from the next drawing on; nothing: there is no line. */
void status_line_set(struct status_line *s, const char *text, size_t size);

/* column is where stdout's text ends on the same terminal: the line goes below it. */
void status_line_draw(struct status_line *s, unsigned column);
void status_line_erase(struct status_line *s);
void status_line_fini(struct status_line *s);

/* All of it, to a stderr that may be slow or gone. */
void status_line_write_stderr(const char *data, size_t size);

#endif

/* output.h - where one report goes: stdout, or a file.
 *
 * Writing only collects.  output_flush writes what is taken at once, so that a reader who has
 * stopped reading does not stop the run; output_commit waits for him.  A report to a file grows in
 * a temporary file beside it and takes its name in output_commit, so that half a report is never
 * mistaken for a whole one; devices, pipes and whatever else is no regular file are written
 * directly.  The first failure sticks.  SIGPIPE must be ignored by the process. */
#ifndef HOSPITAL_CLI_OUTPUT_H
#define HOSPITAL_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/fault.h"

enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct output {
    int fd;
    char *path;      /* for messages and to rename to; owned; "stdout" */
    char *temporary; /* what is written for now; owned; NULL: directly */
    struct buffer pending;
    size_t written;       /* of pending, from its front: at most half of it */
    uint64_t patience_ns; /* how long output_commit waits while nothing is read; 0: for ever */
    bool tty, color;
    bool failed; /* why says it; nothing more is written */
    struct fault why;
    unsigned width;  /* of the terminal; 80 when there is none */
    unsigned column; /* where the cursor of a terminal was left */
};

/* The rules of NO_COLOR, CLICOLOR_FORCE and TERM=dumb for one stream. */
bool color_is_wanted(enum color_mode mode, bool tty);

/* "auto", "always", "never". */
bool color_mode_parse(const char *text, enum color_mode *mode) CHECKED;

/* True when cursor movements can be sent there. */
bool output_is_terminal(int fd);
unsigned output_terminal_width(int fd);

/* path NULL or "-": stdout.  Returns owned, or NULL. */
struct output *output_open(const char *path, enum color_mode mode, struct fault *why);
void output_write(struct output *output, const char *data, size_t size);
bool output_flush(struct output *output) CHECKED;  /* false: output->why */
bool output_commit(struct output *output) CHECKED; /* all is written, the file has its name */
void output_close(struct output *output);          /* what was not committed is dropped */

#endif

/* run.h - the commands that look at check files: run, list and lint. */
#ifndef HOSPITAL_CLI_RUN_H
#define HOSPITAL_CLI_RUN_H

#include "cli/options.h"

enum exit_code {
    EXIT_GREEN = 0,
    EXIT_RED = 1,
    EXIT_INTERRUPTED = 2,
    EXIT_WAITED = 3,
    EXIT_USAGE = 4,
    EXIT_NOTHING = 5,
};

/* Each returns an exit code and has told what there is to tell. */
int run_command(const struct options *o); /* also with --list */
int lint_command(const struct options *o);

#endif

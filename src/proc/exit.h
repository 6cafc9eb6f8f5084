/* exit.h - how a process ended, in words for a result. */
#ifndef HOSPITAL_PROC_EXIT_H
#define HOSPITAL_PROC_EXIT_H

#include <stddef.h>

enum { EXIT_TEXT_MAX = 96 };

/* "killed by SIGSEGV", "exited with status 3", ... from waitpid's status.
 * Returns text, which is always terminated. */
const char *exit_describe(int wait_status, char *text, size_t size);

#endif

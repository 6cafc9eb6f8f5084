/* exit.c - see exit.h. */
#include "proc/exit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static const char *hint(int signal)
{
    switch (signal) {
    case SIGKILL: return " (out of memory, or by hand)";
    case SIGSYS: return " (a system call that the sandbox forbids)";
    case SIGXCPU: return " (over its limit of CPU time)";
    case SIGXFSZ: return " (over its limit of file size)";
    default: return "";
    }
}

const char *exit_describe(int wait_status, char *text, size_t size)
{
    if (WIFEXITED(wait_status)) {
        snprintf(text, size, "exited with status %d", WEXITSTATUS(wait_status));
    } else if (WIFSIGNALED(wait_status)) {
        int signal = WTERMSIG(wait_status);
        const char *name = sigabbrev_np(signal);
        if (name)
            snprintf(text, size, "killed by SIG%s%s", name, hint(signal));
        else
            snprintf(text, size, "killed by signal %d", signal);
    } else {
        snprintf(text, size, "ended with wait status %#x", (unsigned)wait_status);
    }
    return text;
}

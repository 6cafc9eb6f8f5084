/* nursery.h - the clean process that workers start from.
 *
 * nursery_open forks it from main while there is neither a thread nor a
 * library, a Lua state or a loop; each worker is then a fork of that small
 * process.  The nursery is every worker's parent: it alone kills and reaps
 * them, so a pid is never signalled after it was reaped.
 *
 * Who dies with whom: the supervisor's death, by whatever signal, kills the
 * nursery, and the nursery's death kills the workers (PDEATHSIG; a worker that
 * changes its user or group ids must arm that again).  SIGINT, SIGTERM,
 * SIGQUIT and SIGHUP, which a terminal sends to the whole group, are ignored
 * in both: what they mean is the supervisor's to decide.
 *
 * What a worker starts with: descriptors 0 (/dev/null), 1 and 2 (the
 * supervisor's stderr: nothing that it prints can reach a report), 3 (its
 * channel) and no other; no blocked signals, SIGPIPE ignored, the rest of the
 * handlers at their default; its name, "hospital-w7". */
#ifndef HOSPITAL_PROC_NURSERY_H
#define HOSPITAL_PROC_NURSERY_H

#include <sys/types.h>

#include "base/buffer.h"
#include "base/fault.h"
#include "loop/loop.h"

enum { NURSERY_WORKERS = 256 }; /* numbers are below this */

/* The whole life of a worker; what it returns is its exit status. */
typedef int nursery_main_fn(void *context, unsigned number, int fd);

/* Called once in the nursery, before the first worker: what is costly and the
 * same for all.  Returns a descriptor that workers keep besides, or -1. */
typedef int nursery_prepare_fn(void *context);

struct nursery_exit {
    unsigned number;
    pid_t pid;
    int wait_status; /* see exit_describe */
    bool asked;      /* nursery_kill was called for it */
};

struct nursery_events {
    void (*on_spawned)(void *owner, unsigned number, pid_t pid); /* may be NULL */
    /* The worker is gone and reaped; its number is free again.  Its channel
     * may still hold what it sent before: the channel tells its own end. */
    void (*on_exited)(void *owner, const struct nursery_exit *exit);
    /* No worker came of this number; it is free again. */
    void (*on_refused)(void *owner, unsigned number, const struct fault *why);
    /* The nursery has died, and all workers with it.  Nothing comes after it;
     * nursery_close is still to be called. */
    void (*on_lost)(void *owner, const struct fault *why);
};

struct nursery {
    pid_t pid; /* 0 when there is none */
    int fd;
    struct loop *loop;
    struct watch *watch;
    const struct nursery_events *events;
    void *owner;
    struct buffer unsent; /* struct request, when the socket was full */
    bool in_use[NURSERY_WORKERS], asked[NURSERY_WORKERS];
};

/* Forks the nursery.  Call it first of all, and only in a process where no loop
 * was ever opened: libuv's fork handler would close descriptors by number in
 * every worker.  context is what workers find, as it was at this moment;
 * prepare may be NULL. */
bool nursery_open(struct nursery *n, nursery_prepare_fn *prepare, nursery_main_fn *worker_main,
                  void *context, struct fault *why) CHECKED;

/* Gives the nursery to a loop; before the first nursery_spawn.  *n must stay
 * where it is until nursery_close. */
bool nursery_attach(struct nursery *n, struct loop *loop, const struct nursery_events *events,
                    void *owner, struct fault *why) CHECKED;

/* Asks for a worker whose channel is fd.  Takes fd in any case.  False when
 * the number is in use or out of range. */
bool nursery_spawn(struct nursery *n, unsigned number, int fd, struct fault *why) CHECKED;

/* Kills a worker, whatever it does; on_exited follows.  Harmless for a number
 * that is not in use. */
void nursery_kill(struct nursery *n, unsigned number);

/* Ends the nursery and all its workers and waits until they are gone, for two
 * seconds at most.  Harmless when not open, and inside the callbacks above. */
void nursery_close(struct nursery *n);

#endif

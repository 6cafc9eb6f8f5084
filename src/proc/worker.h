/* worker.h - the process that runs user Lua: one reactor, many sessions.
 *
 * It is told what to do by frames and decides nothing about the run: LOAD opens
 * a session in a slot, RUN says which checks, DROP closes it.  It ends when its
 * channel does.  Payloads (see wire.h for the types):
 *
 *     LOAD    varint slot, string id, string path, string? lib
 *     RUN     varint slot, count, { varint index, u8 enum session_go, string? reason }
 *     GO      varint slot, varint index
 *     SKIP    varint slot, varint index, string reason
 *     DROP    varint slot
 *     READY   bytes struct confinement
 *     LOADED  varint slot, bool loaded, bytes (catalogue, or packed details of the failure)
 *     RESULT  varint slot, varint index + 1 (0: teardown), varint node, u8 status,
 *             varint attempts, u64 started_ns, u64 duration_ns, string? context, bytes details
 *     DONE    varint slot, varint lag_ns (how late its loop ever was)
 */
#ifndef HOSPITAL_PROC_WORKER_H
#define HOSPITAL_PROC_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct confine;
struct heartbeat;
struct policy;

enum { WORKER_SLOTS_MAX = 65536 };

/* As it was when the nursery was forked. */
struct worker_settings {
    struct confine *confine; /* NULL in tests only */
    struct heartbeat *heartbeat;
    const struct policy *policy;
    size_t memory_limit;
    uint64_t timeout_ns;
    int retries;
};

/* A nursery_main_fn; context is a struct worker_settings. */
int worker_main(void *context, unsigned number, int fd);

#endif

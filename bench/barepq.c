/* barepq.c - the bare peer of the database benchmark: libuv and libpq, and nothing else.
 *
 *     barepq CONNINFO COUNT [AT_ONCE]
 *
 * COUNT times, AT_ONCE (8) at once: logs in, asks `select 1`, ends the session.  Exit status 1
 * when any answer is not 1.  It is what a worker would be without Lua, checks, sandbox or
 * reports, under the same rules for libpq: PQconnectPoll on the loop, an address, no GSS, the
 * same settings sent at the start. */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct client {
    uv_loop_t loop;
    const char *target;
    size_t count, started, ended, failed;
};

struct session {
    uv_poll_t poll; /* first: freed from its close callback through this */
    struct client *client;
    PGconn *pg;
    bool asked;
    bool right;
};

static void start(struct client *c);

static void die(const char *what)
{
    fprintf(stderr, "barepq: %s\n", what);
    exit(1);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void end(struct session *s)
{
    struct client *c = s->client;
    if (!s->right)
        fprintf(stderr, "barepq: %s\n", PQerrorMessage(s->pg));
    c->failed += !s->right;
    c->ended++;
    PQfinish(s->pg);
    free(s);
    if (c->started < c->count)
        start(c);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct session *s, int events)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (!poll || uv_poll_init(&s->client->loop, poll, PQsocket(s->pg)) != 0)
        die("uv_poll_init");
    poll->data = s;
    uv_poll_start(poll, events, on_ready);
}

static void read_answer(struct session *s)
{
    PGresult *result;
    if (!PQconsumeInput(s->pg)) {
        end(s);
        return;
    }
    while (!PQisBusy(s->pg)) {
        result = PQgetResult(s->pg);
        if (!result) {
            end(s);
            return;
        }
        s->right |= PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "1") == 0;
        PQclear(result);
    }
    watch(s, UV_READABLE);
}

static void log_in(struct session *s)
{
    switch (PQconnectPoll(s->pg)) {
    case PGRES_POLLING_READING: watch(s, UV_READABLE); break;
    case PGRES_POLLING_WRITING: watch(s, UV_WRITABLE); break;
    case PGRES_POLLING_OK:
        s->asked = true;
        PQsetnonblocking(s->pg, 1);
        if (!PQsendQueryParams(s->pg, "select 1", 0, NULL, NULL, NULL, NULL, 0) ||
            !PQsetSingleRowMode(s->pg) || PQflush(s->pg) != 0)
            die("cannot send");
        watch(s, UV_READABLE);
        break;
    default: end(s); break;
    }
}

/* The descriptor may be another one after PQconnectPoll: it is watched anew each time. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct session *s = poll->data;
    (void)status, (void)events;
    uv_poll_stop(poll);
    uv_close((uv_handle_t *)poll, on_closed);
    if (s->asked)
        read_answer(s);
    else
        log_in(s);
}

static void start(struct client *c)
{
    static const char *const keywords[] = {"dbname",          "gssencmode",       "options",
                                           "client_encoding", "application_name", NULL};
    const char *values[] = {c->target,
                            "disable",
                            "-c statement_timeout=10000 -c lock_timeout=2000 "
                            "-c idle_in_transaction_session_timeout=10000 "
                            "-c client_connection_check_interval=500 -c bytea_output=hex "
                            "-c extra_float_digits=1 -c TimeZone=UTC -c DateStyle=ISO "
                            "-c default_transaction_read_only=on",
                            "UTF8",
                            "barepq",
                            NULL};
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        die("out of memory");
    s->client = c;
    c->started++;
    s->pg = PQconnectStartParams(keywords, values, 1);
    if (!s->pg || PQstatus(s->pg) == CONNECTION_BAD)
        die("cannot connect");
    watch(s, UV_WRITABLE);
}

int main(int argc, char **argv)
{
    static struct client c;
    if (argc < 3 || atol(argv[2]) < 1) {
        fprintf(stderr, "usage: barepq CONNINFO COUNT [AT_ONCE]\n");
        return 4;
    }
    c.target = argv[1];
    c.count = (size_t)atol(argv[2]);
    size_t at_once = argc > 3 && atol(argv[3]) > 0 ? (size_t)atol(argv[3]) : 8;
    uint64_t started_ns = uv_hrtime();
    uv_loop_init(&c.loop);
    while (c.started < c.count && c.started < at_once)
        start(&c);
    uv_run(&c.loop, UV_RUN_DEFAULT);
    printf("{\"count\": %zu, \"failed\": %zu, \"wall_s\": %.4f}\n", c.ended, c.failed,
           (double)(uv_hrtime() - started_ns) / 1e9);
    return c.failed || c.ended < c.count ? 1 : 0;
}

/* http_test.c - a request ended at every moment, and many at once, leave nothing
 * behind.  The server answers a piece at a time, so every phase is hit. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "script.h"
#include "test.h"

static struct reactor reactor;
static struct script_outcome out;
static char url[64];
static int listener;

/* The server is a thread of its own: a byte of the answer each millisecond, and a
 * redirect first, so that a request takes about 60 ms. */
static void *drip(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char request[4096];
    ssize_t size = recv(fd, request, sizeof request, 0);
    bool first = size > 6 && memcmp(request, "GET / ", 6) == 0;
    const char *text =
        first ? "HTTP/1.1 302 F\r\nLocation: /b\r\n\r\n" : "HTTP/1.1 200 O\r\nA: b\r\n\r\nbody";
    for (; size > 0 && *text; text++) {
        if (send(fd, text, 1, MSG_NOSIGNAL) != 1)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    close(fd);
    return NULL;
}

static void *serve(void *argument)
{
    (void)argument;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd < 0)
            return NULL;
        if (pthread_create(&thread, NULL, drip, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

static bool listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t thread;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0)
        return false;
    getsockname(listener, (struct sockaddr *)&address, &size);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    return pthread_create(&thread, NULL, serve, NULL) == 0;
}

/* Runs code in which URL stands for the server's. */
static const char *run(const char *code, unsigned deadline_ms, size_t memory)
{
    char text[1024] = "";
    size_t size = 0;
    while (*code) {
        bool here = strncmp(code, "URL", 3) == 0;
        size += (size_t)snprintf(text + size, sizeof text - size, "%.*s", here ? 64 : 1,
                                 here ? url : code);
        code += here ? 3 : 1;
    }
    script_run_private(&reactor, text, deadline_ms, memory, &out);
    CHECK(reactor.ops == 0);
    CHECK(reactor.loop.watches == 0);
    return out.text;
}

static const char one[] =
    "local h = import('hospital.http').http local r = h.get('URL') return r.body";

TEST(a_request_completes)
{
    CHECK_STRING(run(one, 5000, 8 << 20), "returned: body");
}

TEST(a_kill_at_any_moment_leaves_nothing)
{
    int killed = 0;
    for (unsigned ms = 1; ms <= 60; ms++) {
        const char *outcome = run(one, ms, 8 << 20);
        killed += strcmp(outcome, "killed: deadline") == 0;
        if (strcmp(outcome, "killed: deadline") != 0)
            CHECK_STRING(outcome, "returned: body");
    }
    CHECK(killed >= 30);
}

TEST(a_kill_of_several_in_parallel_leaves_nothing)
{
    for (unsigned ms = 1; ms <= 60; ms += 4)
        run("local h = import('hospital.http').http local f = function() h.get('URL') end "
            "import('hospital.host').parallel(f, f, f, function() h.get('https' .. "
            "string.sub('URL', 5)) end)",
            ms, 8 << 20);
}

TEST(one_that_fails_ends_with_the_others)
{
    CHECK(strstr(
        run("local h = import('hospital.http').http local f = function() h.get('URL') end "
            "import('hospital.host').parallel(f, function() h.get('http://127.0.0.1:1/') end)",
            5000, 8 << 20),
        "raised: GET http://127.0.0.1:1/: connection refused"));
}

TEST(its_own_timeout_ends_it_in_any_phase)
{
    for (unsigned ms = 1; ms <= 40; ms += 3) {
        char text[256];
        snprintf(text, sizeof text,
                 "local h = import('hospital.http').http h.get('URL', {timeout = %u / 1000})", ms);
        CHECK(strstr(run(text, 5000, 8 << 20), "no complete answer within") != NULL);
    }
}

TEST(any_memory_limit_leaves_nothing)
{
    for (size_t limit = 50000; limit < 250000; limit += 1777)
        run(one, 5000, limit);
}

/* A listener whose queue is full: the kernel drops what else comes. */
TEST(a_connection_that_is_not_taken_times_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int full = socket(AF_INET, SOCK_STREAM, 0), clients[4];
    CHECK(bind(full, (struct sockaddr *)&address, size) == 0 && listen(full, 0) == 0);
    getsockname(full, (struct sockaddr *)&address, &size);
    for (int i = 0; i < 4; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(clients[i], (struct sockaddr *)&address, size);
    }
    char text[256], expected[256];
    unsigned port = ntohs(address.sin_port);
    snprintf(text, sizeof text,
             "import('hospital.http').http.get('http://127.0.0.1:%u/', {timeout = 0.1})", port);
    snprintf(expected, sizeof expected,
             "raised: GET http://127.0.0.1:%u/: no complete answer within 0.1 s (connect phase, ",
             port);
    run(text, 5000, 8 << 20);
    CHECK(strncmp(out.text, expected, strlen(expected)) == 0 || !puts(out.text));
    snprintf(text, sizeof text,
             "import('hospital.http').http.get('http://127.0.0.1:%u/', {connect_timeout = 0.1})",
             port);
    CHECK(strstr(run(text, 5000, 8 << 20), "no connection within connect_timeout (connect phase"));
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(full);
}

int main(void)
{
    if (!script_open(&reactor, NULL) || !listen_on_loopback())
        return 1;
    RUN(a_request_completes);
    RUN(a_kill_at_any_moment_leaves_nothing);
    RUN(a_kill_of_several_in_parallel_leaves_nothing);
    RUN(one_that_fails_ends_with_the_others);
    RUN(its_own_timeout_ends_it_in_any_phase);
    RUN(any_memory_limit_leaves_nothing);
    RUN(a_connection_that_is_not_taken_times_out);
    script_close(&reactor);
    return test_report();
}

/* baseline.c - the bare peer of the GET benchmark: libuv and libcurl, and nothing else.
 *
 *     baseline URL COUNT [CONCURRENCY]
 *
 * Fetches URL COUNT times, CONCURRENCY (all) at once, each on a connection of its own, and prints
 * one line of JSON.  Exit status 1 when any answer is not 200.  It is what a worker would be
 * without Lua, checks, sandbox or reports, under the same rules for libcurl: one uv_poll per
 * socket, one timer, no CA path, no proxy, a numeric host. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

struct client {
    uv_loop_t loop;
    uv_timer_t timer;
    CURLM *multi;
    const char *url;
    size_t count, started, ended, failed;
    double *latency_ms; /* by request, in the order of the ends */
};

struct request {
    uint64_t started_ns;
    size_t received;
};

struct watch {
    uv_poll_t poll;
    struct client *client;
    curl_socket_t fd;
};

static void die(const char *what)
{
    fprintf(stderr, "baseline: %s\n", what);
    exit(1);
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct request *request = user;
    (void)data;
    request->received += size * n;
    return size * n;
}

static void add_request(struct client *c)
{
    struct request *request = calloc(1, sizeof *request);
    CURL *easy = curl_easy_init();
    if (!request || !easy)
        die("out of memory");
    curl_easy_setopt(easy, CURLOPT_URL, c->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 60000L);
    request->started_ns = uv_hrtime();
    c->started++;
    if (curl_multi_add_handle(c->multi, easy) != CURLM_OK)
        die("curl_multi_add_handle");
}

static void finish_request(struct client *c, CURL *easy, CURLcode result)
{
    struct request *request = NULL;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK || status != 200 || request->received == 0) {
        if (c->failed++ == 0)
            fprintf(stderr, "baseline: %s, status %ld\n", curl_easy_strerror(result), status);
    }
    c->latency_ms[c->ended++] = (double)(uv_hrtime() - request->started_ns) / 1e6;
    curl_multi_remove_handle(c->multi, easy);
    curl_easy_cleanup(easy);
    free(request);
}

static void collect(struct client *c)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(c->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        finish_request(c, message->easy_handle, message->data.result);
        if (c->started < c->count)
            add_request(c);
    }
    if (c->ended == c->count)
        uv_stop(&c->loop);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct client *c = watch->client;
    int running, flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(c->multi, watch->fd, flags, &running);
    collect(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct client *c = timer->data;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct client *c = user;
    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct client *c = user;
    struct watch *watch = socket_user;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(c->multi, fd, NULL);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        return 0;
    }
    if (!watch) {
        watch = calloc(1, sizeof *watch);
        if (!watch || uv_poll_init_socket(&c->loop, &watch->poll, fd) != 0)
            die("uv_poll_init");
        watch->client = c;
        watch->fd = fd;
        watch->poll.data = watch;
        curl_multi_assign(c->multi, fd, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_socket_ready);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(struct client *c, uint64_t wall_ns)
{
    struct rusage usage;
    double sum = 0;
    getrusage(RUSAGE_SELF, &usage);
    qsort(c->latency_ms, c->count, sizeof *c->latency_ms, by_value);
    for (size_t i = 0; i < c->count; i++)
        sum += c->latency_ms[i];
    printf("{\"count\": %zu, \"failed\": %zu, \"wall_s\": %.4f, \"mean_ms\": %.2f, \"p99_ms\": "
           "%.2f, \"max_rss_kb\": %ld}\n",
           c->count, c->failed, (double)wall_ns / 1e9, sum / (double)c->count,
           c->latency_ms[(c->count - 1) * 99 / 100], usage.ru_maxrss);
}

int main(int argc, char **argv)
{
    static struct client c;
    struct rlimit files;
    if (argc < 3 || atol(argv[2]) < 1) {
        fprintf(stderr, "usage: baseline URL COUNT [CONCURRENCY]\n");
        return 4;
    }
    c.url = argv[1];
    c.count = (size_t)atol(argv[2]);
    size_t at_once = argc > 3 && atol(argv[3]) > 0 ? (size_t)atol(argv[3]) : c.count;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    uint64_t started_ns = uv_hrtime();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    uv_loop_init(&c.loop);
    uv_timer_init(&c.loop, &c.timer);
    c.timer.data = &c;
    c.multi = curl_multi_init();
    c.latency_ms = calloc(c.count, sizeof *c.latency_ms);
    if (!c.multi || !c.latency_ms)
        die("out of memory");
    curl_multi_setopt(c.multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(c.multi, CURLMOPT_SOCKETDATA, &c);
    curl_multi_setopt(c.multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(c.multi, CURLMOPT_TIMERDATA, &c);
    while (c.started < c.count && c.started < at_once)
        add_request(&c);
    while (c.ended < c.count)
        if (uv_run(&c.loop, UV_RUN_DEFAULT) == 0 && c.ended < c.count)
            die("nothing left to wait for");
    report(&c, uv_hrtime() - started_ns);
    return c.failed ? 1 : 0;
}

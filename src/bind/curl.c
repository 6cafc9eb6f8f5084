/* curl.c - see curl.h. */
#include "bind/curl.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/library.h"
#include "loop/reactor.h"

struct curl_service {
    struct curl_api api; /* first: curl_load hands it out */
    struct reactor *reactor;
    CURLM *multi;
    struct timer timer;
    struct deferred drain;
};

/* --- libcurl asks for descriptors and time -------------------------------- */

struct curl_socket {
    struct curl_service *service;
    struct watch *watch;
    curl_socket_t fd;
    int events;
};

static void act(struct curl_service *service, curl_socket_t fd, int events)
{
    int running;
    service->api.multi_socket_action(service->multi, fd, events, &running);
    loop_defer(&service->reactor->loop, &service->drain);
}

/* libuv stops watching a descriptor with an error on it (a reset, say).  What came
 * before the error is still to be read, and the error itself for its reason: so
 * go on watching, and let libcurl look for itself. */
static void on_socket_ready(void *owner, int status, int events)
{
    const struct curl_socket *socket = owner;
    if (status < 0) {
        loop_watch_change(socket->watch, socket->events);
        events = LOOP_READ | LOOP_WRITE;
    }
    act(socket->service, socket->fd,
        (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *owner, void *known)
{
    (void)easy;
    struct curl_service *service = owner;
    struct curl_socket *socket = known;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            loop_unwatch(socket->watch);
        free(socket);
        service->api.multi_assign(service->multi, fd, NULL);
        return 0;
    }
    int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
    if (socket) {
        socket->events = events;
        loop_watch_change(socket->watch, events);
        return 0;
    }
    socket = memory_new(sizeof *socket);
    *socket = (struct curl_socket){.service = service, .fd = fd, .events = events};
    socket->watch = loop_watch(&service->reactor->loop, fd, events, on_socket_ready, socket);
    if (!socket->watch) {
        free(socket);
        return -1;
    }
    service->api.multi_assign(service->multi, fd, socket);
    return 0;
}

static int on_timer(CURLM *multi, long wait_ms, void *owner)
{
    (void)multi;
    struct curl_service *service = owner;
    struct loop *loop = &service->reactor->loop;
    if (wait_ms < 0)
        loop_timer_disarm(loop, &service->timer);
    else
        loop_timer_arm(loop, &service->timer, clock_now_ns() + (uint64_t)wait_ms * NS_PER_MS);
    return 0;
}

static void on_due(struct timer *timer)
{
    act(list_entry(timer, struct curl_service, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* Deferred: tells the owners of what has ended. */
static void drain(struct deferred *work)
{
    struct curl_service *service = list_entry(work, struct curl_service, drain);
    const struct curl_api *api = &service->api;
    CURLMsg *message;
    int left;
    while ((message = api->multi_info_read(service->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        struct curl_transfer *transfer = NULL;
        api->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        api->multi_remove_handle(service->multi, transfer->easy);
        transfer->running = false;
        transfer->on_done(transfer, code);
    }
}

/* --- the service ---------------------------------------------------------- */

static void curl_close(void *self)
{
    struct curl_service *service = self;
    if (service->multi)
        service->api.multi_cleanup(service->multi);
    loop_timer_disarm(&service->reactor->loop, &service->timer);
    loop_undefer(&service->drain);
    service->api.global_cleanup();
    free(service); /* the library stays: it may have registered exit handlers */
}

static bool load_functions(struct curl_api *api, struct fault *why)
{
#define FUNCTION(name) {"curl_" #name, offsetof(struct curl_api, name)},
    static const struct library_function functions[] = {CURL_FUNCTIONS(FUNCTION)};
#undef FUNCTION
    return library_load("libcurl.so.4", "libcurl4", functions,
                        sizeof functions / sizeof functions[0], api, why);
}

/* SSL_CERT_FILE is the operator's, as it is to OpenSSL's own tools. */
static const char *find_ca_bundle(const struct curl_api *api)
{
    const char *file = getenv("SSL_CERT_FILE");
    if (file && *file)
        return file;
    const curl_version_info_data *info = api->version_info(CURLVERSION_NOW);
    return info->age >= CURLVERSION_SEVENTH && info->cainfo ? info->cainfo
                                                            : "/etc/ssl/certs/ca-certificates.crt";
}

static bool open_multi(struct curl_service *service)
{
    struct curl_api *api = &service->api;
    if (api->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    api->ca_bundle = find_ca_bundle(api);
    service->multi = api->multi_init();
    if (!service->multi)
        return false;
    api->multi_setopt(service->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    api->multi_setopt(service->multi, CURLMOPT_SOCKETDATA, service);
    api->multi_setopt(service->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    api->multi_setopt(service->multi, CURLMOPT_TIMERDATA, service);
    api->multi_setopt(service->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return true;
}

static struct curl_service *service_of(struct reactor *reactor, struct fault *why)
{
    struct service *place = &reactor->services[SERVICE_HTTP];
    if (place->self)
        return place->self;
    struct curl_service *service = memory_new(sizeof *service);
    service->reactor = reactor;
    service->timer.on_due = on_due;
    service->drain.run = drain;
    if (!load_functions(&service->api, why)) {
        free(service);
        return NULL;
    }
    if (!open_multi(service)) {
        fault_set(why, FAULT_INTERNAL, "libcurl cannot be started");
        free(service);
        return NULL;
    }
    *place = (struct service){.self = service, .close = curl_close};
    return service;
}

const struct curl_api *curl_load(struct reactor *reactor, struct fault *why)
{
    struct curl_service *service = service_of(reactor, why);
    return service ? &service->api : NULL;
}

bool curl_transfer_open(struct reactor *reactor, struct curl_transfer *transfer, struct fault *why)
{
    const struct curl_api *api = curl_load(reactor, why);
    if (!api)
        return false;
    transfer->easy = api->easy_init();
    if (!transfer->easy)
        return fault_set(why, FAULT_INTERNAL, "libcurl has no memory for a transfer");
    api->easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    api->easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L);
    api->easy_setopt(transfer->easy, CURLOPT_QUICK_EXIT, 1L);
    api->easy_setopt(transfer->easy, CURLOPT_PROXY, "");
    api->easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L);
    api->easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L);
    api->easy_setopt(transfer->easy, CURLOPT_CAINFO, api->ca_bundle);
    api->easy_setopt(transfer->easy, CURLOPT_CAPATH, NULL);
    return true;
}

bool curl_transfer_start(struct reactor *reactor, struct curl_transfer *transfer, struct fault *why)
{
    struct curl_service *service = reactor->services[SERVICE_HTTP].self;
    CURLMcode code = service->api.multi_add_handle(service->multi, transfer->easy);
    if (code != CURLM_OK)
        return fault_set(why, FAULT_INTERNAL, "libcurl: %s", service->api.multi_strerror(code));
    transfer->running = true;
    return true;
}

void curl_transfer_close(struct reactor *reactor, struct curl_transfer *transfer)
{
    struct curl_service *service = reactor->services[SERVICE_HTTP].self;
    if (!transfer->easy)
        return;
    if (transfer->running)
        service->api.multi_remove_handle(service->multi, transfer->easy);
    service->api.easy_cleanup(transfer->easy);
    transfer->easy = NULL;
    transfer->running = false;
}

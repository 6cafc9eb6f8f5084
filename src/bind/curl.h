/* curl.h - libcurl on the loop.
 *
 * The library is opened with dlopen when the first binding needs it: linking it
 * would cost every start of the program what it costs to load forty libraries.
 * All calls go through one table, curl_api.
 *
 * A transfer is an easy handle that its owner set up, inside one multi handle a
 * process.  on_done is called from the defer queue, after every callback of
 * libcurl has returned: there the owner may do anything, also end transfers.
 * Write and header callbacks of an easy handle must only fill memory. */
#ifndef HOSPITAL_BIND_CURL_H
#define HOSPITAL_BIND_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdbool.h>

#include "base/fault.h"

struct reactor;

/* clang-format off */
#define CURL_FUNCTIONS(X) \
    X(global_init) X(global_cleanup) X(version_info) X(getdate) X(free) \
    X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_strerror) \
    X(easy_recv) X(easy_send) X(easy_pause) \
    X(slist_append) X(slist_free_all) \
    X(multi_init) X(multi_cleanup) X(multi_add_handle) X(multi_remove_handle) X(multi_setopt) \
    X(multi_socket_action) X(multi_info_read) X(multi_assign) X(multi_strerror) \
    X(url) X(url_cleanup) X(url_get) X(url_set) X(url_strerror)
/* clang-format on */

/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define CURL_POINTER(name) __typeof__(curl_##name) *name;
struct curl_api {
    CURL_FUNCTIONS(CURL_POINTER)
    const char *ca_bundle; /* the system's certificates; NULL when unknown */
};
#undef CURL_POINTER

/* One transfer; embedded in its owner, zeroed at first. */
struct curl_transfer {
    CURL *easy; /* owned from curl_transfer_open to curl_transfer_close */
    bool running;
    void (*on_done)(struct curl_transfer *transfer, CURLcode code);
};

/* The library, loaded if need be; NULL and *why when it cannot be. */
const struct curl_api *curl_load(struct reactor *reactor, struct fault *why);

/* A fresh easy handle with what holds for every transfer of ours: nothing of
 * the environment, no signals, no waiting for resolver threads. */
bool curl_transfer_open(struct reactor *reactor, struct curl_transfer *transfer,
                        struct fault *why) CHECKED;

/* Starts it; on_done comes later, never from inside. */
bool curl_transfer_start(struct reactor *reactor, struct curl_transfer *transfer,
                         struct fault *why) CHECKED;

/* Ends it in whatever state and frees the easy handle; harmless when closed.
 * Must not be called from libcurl's callbacks. */
void curl_transfer_close(struct reactor *reactor, struct curl_transfer *transfer);

#endif

/* http_fault.c - why an exchange failed, in the operator's words. */
#include <stdio.h>
#include <string.h>

#include "bind/dial.h"
#include "bind/http.h"

static bool reached(const struct exchange *x, CURLINFO when)
{
    curl_off_t us = 0;
    x->api->easy_getinfo(x->transfer.easy, when, &us);
    return us > 0;
}

/* CONNECT_TIME is set when TLS is done, too: the local port tells earlier. */
static bool is_connected(const struct exchange *x)
{
    long port = 0;
    x->api->easy_getinfo(x->transfer.easy, CURLINFO_LOCAL_PORT, &port);
    return port > 0 || reached(x, CURLINFO_CONNECT_TIME_T);
}

bool http_refuse(struct exchange *x, const char *what, const char *reason, struct fault *why)
{
    x->refused = true;
    return fault_set(why, FAULT_DENIED, "%.200s is not allowed: %s", what, reason);
}

enum http_phase http_phase_now(const struct exchange *x)
{
    if (x->refused)
        return PHASE_POLICY;
    if (!x->resolved_ns || !x->transfer.easy)
        return x->query.on_done ? PHASE_DNS : PHASE_SETUP;
    if (x->head.size > 0)
        return x->head_whole ? PHASE_BODY : PHASE_HEADERS;
    if (!is_connected(x))
        return PHASE_CONNECT;
    if (x->https && !reached(x, CURLINFO_APPCONNECT_TIME_T))
        return PHASE_TLS;
    return PHASE_FIRST_BYTE;
}

static const char *http_target(const struct exchange *x, char what[160])
{
    snprintf(what, 160, "connecting to %.120s port %u", x->host, x->port);
    return what;
}

/* libcurl keeps the errno of a connection that failed, not of a socket that could
 * not be made.  The permissions of a Unix socket are the target's own.  When the
 * policy left addresses out, those might have answered. */
static void explain_connect(struct exchange *x, struct fault *why)
{
    long number = 0;
    char text[96] = "", what[160];
    x->api->easy_getinfo(x->transfer.easy, CURLINFO_OS_ERRNO, &number);
    if (number == 0)
        number = x->open_error;
    if (number != 0)
        (void)(x->host[0] ? dial_network_error_text((int)number, text)
                          : dial_error_text((int)number, text));
    if (x->denied && number == 0)
        http_refuse(x, http_target(x, what), x->refusal, why);
    else if (x->denied)
        fault_set(why, FAULT_DENIED, "%s; another address of %s is not allowed: %s", text, x->host,
                  x->refusal);
    else if (number == 0)
        fault_set(why, FAULT_CONNECT, "cannot connect: %s", x->error);
    else
        fault_set(why, x->host[0] || x->open_error ? dial_error_kind((int)number) : FAULT_CONNECT,
                  "%s", text);
}

static void explain_partial(const struct exchange *x, struct fault *why)
{
    curl_off_t wanted = -1;
    x->api->easy_getinfo(x->transfer.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &wanted);
    if (wanted >= 0)
        fault_set(why, FAULT_CLOSED,
                  "the server closed in the middle of the body, after %zu of %lld bytes",
                  x->body.size, (long long)wanted);
    else
        fault_set(why, FAULT_CLOSED, "the server closed in the middle of the body, after %zu bytes",
                  x->body.size);
}

static void explain_stop(const struct exchange *x, struct fault *why)
{
    if (x->stop == STOP_HEAD_TOO_LONG)
        fault_set(why, FAULT_PROTOCOL, "the answer's headers are longer than %d kB",
                  HTTP_HEAD_MAX / 1024);
    else
        fault_set(why, FAULT_LIMIT,
                  "the body does not fit into the sandbox's memory: see max_body, --memory-limit");
}

static enum fault_kind kind_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return FAULT_DNS;
    case CURLE_OPERATION_TIMEDOUT: return FAULT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_USE_SSL_FAILED: return FAULT_TLS;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: return FAULT_CLOSED;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_PROXY: return FAULT_PROTOCOL;
    default: return FAULT_INTERNAL;
    }
}

void http_explain(struct exchange *x, CURLcode code, struct fault *why)
{
    const char *text = x->error[0] ? x->error : x->api->easy_strerror(code);
    if (x->stop != STOP_NONE) {
        explain_stop(x, why);
        return;
    }
    switch (code) {
    case CURLE_COULDNT_CONNECT: explain_connect(x, why); return;
    case CURLE_PARTIAL_FILE: explain_partial(x, why); return;
    case CURLE_GOT_NOTHING:
        fault_set(why, FAULT_CLOSED, "the server closed the connection without an answer");
        return;
    case CURLE_UNSUPPORTED_PROTOCOL:
        fault_set(why, FAULT_PROTOCOL, "the answer is not HTTP (%s)%s", text,
                  x->https ? "" : "; does the server speak TLS here: https?");
        return;
    case CURLE_SSL_CONNECT_ERROR:
        fault_set(why, FAULT_TLS, "%s%s", text,
                  strstr(text, "wrong version number") || strstr(text, "packet length too long")
                      ? "; the server does not speak TLS here: http?"
                      : "");
        return;
    case CURLE_OPERATION_TIMEDOUT:
        fault_set(why, FAULT_TIMEOUT, "no connection within connect_timeout");
        return;
    case CURLE_RECV_ERROR:
        if (strstr(text, "reset by peer"))
            text = "the server reset the connection";
        fault_set(why, FAULT_CLOSED, "%s", text);
        return;
    default: fault_set(why, kind_of(code), "%s", text);
    }
}

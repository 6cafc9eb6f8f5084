/* http_policy_test.c - what a policy forbids is not connected to, by whatever
 * way a request comes to it: name, number, redirect, override, proxy, socket. */
#include <arpa/inet.h>
#include <unistd.h>

#include "base/policy.h"
#include "script.h"
#include "test.h"

static struct reactor reactor;
static struct policy policy;
static struct script_outcome out;
static int listener;
static unsigned port, connections;

static void on_connection(void *owner, int status, int events)
{
    (void)owner, (void)status, (void)events;
    char request[1024], answer[256];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return;
    connections++;
    snprintf(answer, sizeof answer,
             "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:%u/\r\nContent-Length: 0\r\n\r\n",
             port);
    (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, request, sizeof request, MSG_DONTWAIT);
    close(fd);
}

/* request(url .. options) under allow and deny; what was raised. */
static const char *ask(const char *allow, const char *deny, const char *host, const char *options)
{
    char text[512];
    struct fault why;
    policy_fini(&policy);
    policy_init(&policy);
    CHECK(!allow || policy_allow(&policy, allow, &why));
    CHECK(!deny || policy_deny(&policy, deny, &why));
    snprintf(
        text, sizeof text,
        "local ok, e = pcall(import('hospital.http').http.get, 'http://%s:%u/', {timeout = 2, %s}) "
        "return ok and e.status or e.kind .. ' ' .. e.message",
        host, port, options);
    connections = 0;
    script_run_private(&reactor, text, 5000, 8 << 20, &out);
    CHECK(reactor.ops == 0);
    return out.text;
}

static void check_denied(const char *allow, const char *deny, const char *host, const char *options)
{
    const char *outcome = ask(allow, deny, host, options);
    CHECK(strncmp(outcome, "returned: denied ", 17) == 0 || !puts(outcome));
    CHECK(connections == 0);
}

TEST(what_is_allowed_is_reached)
{
    CHECK_STRING(ask(NULL, NULL, "127.0.0.1", "follow = false"), "returned: 302");
    CHECK_STRING(ask("net=127.0.0.0/8", NULL, "127.0.0.1", "follow = false"), "returned: 302");
    CHECK_STRING(ask("net=localhost", NULL, "localhost", "follow = false"), "returned: 302");
}

TEST(what_is_denied_is_not)
{
    check_denied(NULL, "net", "127.0.0.1", "");
    check_denied(NULL, "net=127.0.0.0/8", "127.0.0.1", "");
    check_denied(NULL, "net=127.0.0.0/8,[::1]", "localhost", "");
    check_denied("net=10.0.0.0/8", NULL, "localhost", "");
    check_denied(NULL, "net=127.0.0.0/8", "0x7f.1", "");
    check_denied(NULL, "net=127.0.0.0/8", "2130706433", "");
    check_denied(NULL, "net=127.0.0.0/8", "[::ffff:127.0.0.1]", "");
    check_denied(NULL, "net=127.0.0.0/8", "0.0.0.0", "");
}

TEST(an_override_is_no_way_round)
{
    char options[64];
    snprintf(options, sizeof options, "resolve = 'shop.test:%u:127.0.0.1'", port);
    check_denied(NULL, "net=127.0.0.0/8", "shop.test", options);
}

TEST(a_proxy_is_no_way_round)
{
    char options[64];
    snprintf(options, sizeof options, "proxy = 'http://127.0.0.1:%u'", port);
    check_denied(NULL, "net=127.0.0.0/8", "shop.test", options);
    check_denied(NULL, "net=shop.test", "shop.test", options);
}

TEST(a_redirect_is_no_way_round)
{
    const char *outcome = ask("net=127.0.0.1", NULL, "127.0.0.1", "");
    CHECK(strstr(outcome, "denied GET http://127.0.0.2") != NULL || !puts(outcome));
    CHECK(connections == 1);
}

TEST(sockets_and_files_are_asked_for)
{
    check_denied("net=127.0.0.1", NULL, "x", "unix_socket = '/run/none'");
    const char *outcome = ask(NULL, "read", "127.0.0.1", "tls = {ca = '/etc/passwd'}");
    CHECK(strcmp(outcome, "returned: 302") != 0 || !puts(outcome)); /* a redirect loop on http */
    char text[256];
    snprintf(text, sizeof text,
             "import('hospital.http').http.get('https://127.0.0.1:%u/', "
             "{tls = {ca = '/etc/ssl/certs/ca-certificates.crt'}})",
             port);
    script_run_private(&reactor, text, 5000, 8 << 20, &out);
    CHECK(strstr(out.text,
                 "reading tls.ca = \"/etc/ssl/certs/ca-certificates.crt\" is not allowed") ||
          !puts(out.text));
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 64) != 0)
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    policy_init(&policy);
    if (!script_open(&reactor, NULL))
        return 1;
    reactor.policy = &policy;
    struct watch *watch = loop_watch(&reactor.loop, listener, LOOP_READ, on_connection, NULL);
    RUN(what_is_allowed_is_reached);
    RUN(what_is_denied_is_not);
    RUN(an_override_is_no_way_round);
    RUN(a_proxy_is_no_way_round);
    RUN(a_redirect_is_no_way_round);
    RUN(sockets_and_files_are_asked_for);
    loop_unwatch(watch);
    script_close(&reactor);
    policy_fini(&policy);
    return test_report();
}

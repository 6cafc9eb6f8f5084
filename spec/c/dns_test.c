/* dns_test.c - the resolver against a nameserver that does as the name says:
 * "v4.*" has one A record, "both.*" A and AAAA, "many.*" twenty, "none.*" no
 * addresses, "nx.*" does not exist, "fail.*" is SERVFAIL, "refuse.*" REFUSED,
 * "mute.*" is never answered, "garbage.*" is answered with noise, "cut.*" only
 * over TCP, "ttl0.*" has a TTL of 0, "short.*" a packet that ends early. */
#include "bind/dns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include "script.h"
#include "test.h"

static struct reactor reactor;
static struct script_outcome out;

/* --- the nameserver --------------------------------------------------------- */

static int udp = -1, tcp = -1;
static unsigned questions; /* over UDP; those that are asked again and again are left out */
static char server_text[64];

/* The name's first label, and the type; the end of the question. */
static size_t read_question(const uint8_t *packet, size_t size, char *label, unsigned *type)
{
    size_t at = 12;
    size_t length = packet[at] < 63 ? packet[at] : 0;
    memcpy(label, packet + at + 1, length);
    label[length] = '\0';
    while (at < size && packet[at])
        at += packet[at] + 1u;
    *type = (unsigned)packet[at + 1] << 8 | packet[at + 2];
    return at + 5;
}

static size_t add_record(uint8_t *at, unsigned type, unsigned n, unsigned ttl)
{
    static const uint8_t head[] = {0xc0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    memcpy(at, head, sizeof head);
    at[3] = (uint8_t)type;
    at[9] = (uint8_t)ttl;
    size_t size = type == 1 ? 4 : 16;
    at[11] = (uint8_t)size;
    memset(at + 12, 0, size);
    at[12] = type == 1 ? 192 : 0x20;
    at[12 + size - 1] = (uint8_t)n;
    return 12 + size;
}

/* 0: no answer. */
static size_t answer(uint8_t *packet, size_t size, bool over_tcp)
{
    char label[64];
    unsigned type, records = 0;
    size_t end = read_question(packet, size, label, &type);
    packet[2] = 0x81, packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    if (strcmp(label, "mute") == 0)
        return 0;
    if (strcmp(label, "garbage") != 0 && strcmp(label, "short") != 0)
        questions += !over_tcp;
    if (strcmp(label, "nx") == 0)
        packet[3] |= 3;
    if (strcmp(label, "fail") == 0)
        packet[3] |= 2;
    if (strcmp(label, "refuse") == 0)
        packet[3] |= 5;
    if (strcmp(label, "garbage") == 0) {
        memset(packet + 2, 0x5a, 40);
        return 42;
    }
    if (strcmp(label, "cut") == 0 && !over_tcp) {
        packet[2] |= 2;
        return end;
    }
    bool has_a = strcmp(label, "v4") == 0 || strcmp(label, "both") == 0 ||
                 strcmp(label, "cut") == 0 || strcmp(label, "ttl0") == 0 ||
                 strcmp(label, "short") == 0 || strcmp(label, "many") == 0 || label[0] == 'x';
    bool has_aaaa = strcmp(label, "both") == 0;
    if (type == 1 && has_a)
        records = strcmp(label, "many") == 0 ? 20 : 1;
    if (type == 28 && has_aaaa)
        records = 1;
    packet[7] = (uint8_t)records;
    for (unsigned i = 0; i < records; i++)
        end += add_record(packet + end, type, i + 1, strcmp(label, "ttl0") == 0 ? 0 : 60);
    return strcmp(label, "short") == 0 ? end - 3 : end;
}

static void on_udp(void *owner, int status, int events)
{
    (void)owner, (void)status, (void)events;
    uint8_t packet[2048];
    struct sockaddr_in from;
    socklen_t from_size = sizeof from;
    ssize_t size;
    while ((size = recvfrom(udp, packet, 512, 0, (struct sockaddr *)&from, &from_size)) > 12) {
        size_t length = answer(packet, (size_t)size, false);
        if (length)
            CHECK(sendto(udp, packet, length, 0, (struct sockaddr *)&from, from_size) > 0);
    }
}

/* One question a connection, which is small enough to arrive at once. */
static struct {
    struct watch *watch;
    int fd;
} connection;

static void on_tcp_question(void *owner, int status, int events)
{
    (void)owner, (void)status, (void)events;
    uint8_t packet[2048];
    ssize_t size = recv(connection.fd, packet, 512, 0);
    if (size > 14) {
        size_t length = answer(packet + 2, (size_t)size - 2, true);
        packet[0] = (uint8_t)(length >> 8), packet[1] = (uint8_t)length;
        CHECK(send(connection.fd, packet, length + 2, MSG_NOSIGNAL) > 0);
    }
    loop_unwatch(connection.watch);
    connection.watch = NULL;
    close(connection.fd);
}

static void on_tcp(void *owner, int status, int events)
{
    (void)owner, (void)status, (void)events;
    int fd = accept(tcp, NULL, NULL);
    if (fd < 0 || connection.watch)
        return;
    connection.fd = fd;
    connection.watch = loop_watch(&reactor.loop, fd, LOOP_READ, on_tcp_question, NULL);
}

static int serve(int type, uint16_t *port)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t size = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, size) != 0)
        return -1;
    getsockname(fd, (struct sockaddr *)&address, &size);
    *port = ntohs(address.sin_port);
    if (type == SOCK_STREAM)
        listen(fd, 16);
    return fd;
}

/* --- asking ------------------------------------------------------------------- */

struct asked {
    struct dns_query query;
    bool done;
    unsigned count;
    union dns_address first;
    struct fault why;
};

static void on_done(void *owner, const struct fault *why, const union dns_address *addresses,
                    unsigned count)
{
    struct asked *a = owner;
    CHECK(!a->done);
    a->done = true;
    a->count = count;
    if (why)
        a->why = *why;
    else
        a->first = addresses[0];
}

static void ask(struct asked *a, const char *name, int family, unsigned timeout_ms)
{
    memset(a, 0, sizeof *a);
    dns_resolve(&reactor, &a->query, name, family, timeout_ms * NS_PER_MS, on_done, a);
}

static void settle(struct asked *a)
{
    uint64_t until_ns = clock_now_ns() + 8 * NS_PER_S;
    while (!a->done && clock_now_ns() < until_ns)
        reactor_turn(&reactor, 100 * NS_PER_MS);
    CHECK(a->done);
}

/* "192.0.0.1" or the fault's message. */
static const char *resolve(const char *name, int family, unsigned timeout_ms)
{
    static struct asked a;
    static char text[64];
    ask(&a, name, family, timeout_ms);
    settle(&a);
    return a.count ? dns_format_address(&a.first.any, text) : a.why.message;
}

TEST(addresses_need_no_resolver)
{
    CHECK_STRING(resolve("127.0.0.1", AF_UNSPEC, 100), "127.0.0.1");
    CHECK_STRING(resolve("127.1", AF_UNSPEC, 100), "127.0.0.1");
    CHECK_STRING(resolve("0x7f000001", AF_UNSPEC, 100), "127.0.0.1");
    CHECK_STRING(resolve("2130706433", AF_INET, 100), "127.0.0.1");
    CHECK_STRING(resolve("[::1]", AF_UNSPEC, 100), "::1");
    CHECK_STRING(resolve("::1", AF_INET6, 100), "::1");
    CHECK_STRING(resolve("fe80::1%lo", AF_UNSPEC, 100), "fe80::1");
    CHECK_STRING(resolve("127.0.0.1", AF_INET6, 100), "127.0.0.1 is not an IPv6 address");
    CHECK_STRING(resolve("::1", AF_INET, 100), "::1 is not an IPv4 address");
    CHECK(questions == 0);
}

TEST(localhost_is_loopback)
{
    CHECK_STRING(resolve("localhost", AF_UNSPEC, 100), "127.0.0.1");
    CHECK_STRING(resolve("LOCALHOST.", AF_INET6, 100), "::1");
    CHECK_STRING(resolve("shop.localhost", AF_UNSPEC, 100), "127.0.0.1");
    CHECK(questions == 0);
}

TEST(what_is_no_name_is_refused)
{
    CHECK_STRING(resolve("", AF_UNSPEC, 100), "\"\" is not a host name");
    CHECK_STRING(resolve("a b", AF_UNSPEC, 100), "\"a b\" is not a host name");
    CHECK_STRING(resolve("a..b", AF_UNSPEC, 100), "\"a..b\" is not a host name");
    CHECK_STRING(resolve("a/b", AF_UNSPEC, 100), "\"a/b\" is not a host name");
    CHECK_STRING(resolve("::g", AF_UNSPEC, 100), "\"::g\" is not a host name");
    CHECK(questions == 0);
}

TEST(names_resolve)
{
    CHECK_STRING(resolve("v4.test.", AF_UNSPEC, 2000), "192.0.0.1");
    CHECK_STRING(resolve("both.test.", AF_INET6, 2000), "2000::1");
    CHECK_STRING(resolve("both.test.", AF_INET, 2000), "192.0.0.1");
    struct asked a;
    ask(&a, "both.test.", AF_UNSPEC, 2000);
    settle(&a);
    CHECK(a.count == 2);
    ask(&a, "many.test.", AF_INET, 2000);
    settle(&a);
    CHECK(a.count == DNS_ADDRESSES_MAX);
}

TEST(a_cut_answer_comes_over_tcp)
{
    CHECK_STRING(resolve("cut.test.", AF_INET, 4000), "192.0.0.1");
}

TEST(what_went_wrong_is_said)
{
    CHECK(has(resolve("nx.test.", AF_INET, 2000),
              "cannot resolve nx.test.: no such host (nameserver 127.0.0.1"));
    CHECK(has(resolve("none.test.", AF_INET6, 2000), "it has no IPv6 address"));
    CHECK(has(resolve("v4.test.", AF_INET6, 2000), "it has no IPv6 address"));
    CHECK(has(resolve("fail.test.", AF_INET, 2000), "cannot resolve fail.test.: "));
    CHECK(has(resolve("refuse.test.", AF_INET, 2000), "cannot resolve refuse.test.: "));
    CHECK(has(resolve("mute.test.", AF_INET, 100),
              "cannot resolve mute.test.: the resolver did not "
              "answer within 100ms (nameserver 127.0.0.1 port"));
    CHECK(has(resolve("garbage.test.", AF_INET, 100), "cannot resolve garbage.test.: "));
    CHECK(has(resolve("short.test.", AF_INET, 100), "cannot resolve short.test.: "));
}

TEST(equal_lookups_are_one)
{
    static struct asked many[500];
    questions = 0;
    for (int i = 0; i < 500; i++)
        ask(&many[i], i % 2 ? "xsame.test." : "XSAME.test.", AF_INET, 2000);
    for (int i = 0; i < 500; i++) {
        settle(&many[i]);
        CHECK(many[i].count == 1);
    }
    CHECK(questions == 1);
}

TEST(answers_are_kept_and_failures_are_not)
{
    resolve("xkept.test.", AF_INET, 2000);
    resolve("nx.kept.test.", AF_INET, 2000);
    questions = 0;
    resolve("xkept.test.", AF_INET, 2000);
    CHECK(questions == 0);
    resolve("nx.kept.test.", AF_INET, 2000);
    CHECK(questions == 1);
    CHECK_STRING(resolve("ttl0.test.", AF_INET, 2000), "192.0.0.1");
    questions = 0;
    uint64_t until_ns = clock_now_ns() + 3 * NS_PER_S; /* a TTL of 0 counts as a second */
    while (questions == 0 && clock_now_ns() < until_ns) {
        resolve("ttl0.test.", AF_INET, 2000);
        reactor_turn(&reactor, 100 * NS_PER_MS);
    }
    CHECK(questions == 1);
}

TEST(a_cancelled_query_is_not_told)
{
    struct asked a, b;
    ask(&a, "mute.cancel.test.", AF_INET, 50);
    ask(&b, "mute.cancel.test.", AF_INET, 50);
    dns_cancel(&reactor, &a.query);
    dns_cancel(&reactor, &a.query);
    settle(&b);
    CHECK(!a.done);
    ask(&a, "xcancel.test.", AF_INET, 2000);
    dns_cancel(&reactor, &a.query);
    ask(&b, "xcancel.test.", AF_INET, 2000);
    settle(&b);
    CHECK(!a.done && b.count == 1);
}

TEST(many_names_at_once)
{
    static struct asked many[3000];
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "x%d.test.", i);
        ask(&many[i], name, AF_INET, 5000);
        if (i % 50 == 0)
            reactor_turn(&reactor, 0);
    }
    for (int i = 0; i < 3000; i++) {
        settle(&many[i]);
        CHECK(many[i].count == 1);
    }
}

static const char *run(const char *text, unsigned deadline_ms)
{
    script_run_private(&reactor, text, deadline_ms, 8 << 20, &out);
    CHECK(reactor.ops == 0);
    return out.text;
}

TEST(lua_resolves)
{
    CHECK_STRING(run("local l = import('hospital.core.dns').resolve('both.test.') table.sort(l) "
                     "return table.concat(l, ' ')",
                     2000),
                 "returned: 192.0.0.1 2000::1");
    CHECK(has(run("import('hospital.core.dns').resolve('nx.test.', {family = 4})", 2000),
              "raised: cannot resolve nx.test.: no such host"));
    CHECK(has(run("import('hospital.core.dns').resolve('mute.test.', {timeout = 0.05})", 2000),
              "did not answer within 50ms"));
    for (unsigned ms = 1; ms < 30; ms += 3) {
        CHECK_STRING(run("import('hospital.core.dns').resolve('mute.test.')", ms),
                     "killed: deadline");
        CHECK_STRING(run("import('hospital.http').http.get('http://mute.test./')", ms),
                     "killed: deadline");
    }
    CHECK(has(run("return import('hospital.http').http.get('http://nx.test./')", 2000),
              "GET http://nx.test./: cannot resolve nx.test.: no such host"));
    CHECK(has(
        run("return import('hospital.http').http.get('http://mute.test./', {timeout = 0.1})", 2000),
        "the resolver did not answer within "));
}

TEST(servers_must_be_understood)
{
    struct fault why;
    CHECK(!dns_set_servers(&reactor, "no address", &why));
    CHECK(dns_set_servers(&reactor, server_text, &why));
}

int main(void)
{
    uint16_t port = 0;
    struct fault why;
    if (!script_open(&reactor, NULL))
        return 1;
    for (int i = 0; i < 20 && (udp < 0 || tcp < 0); i++) {
        port = 0;
        udp = serve(SOCK_DGRAM, &port);
        tcp = serve(SOCK_STREAM, &port);
    }
    snprintf(server_text, sizeof server_text, "127.0.0.1:%u", port);
    struct watch *watches[] = {loop_watch(&reactor.loop, udp, LOOP_READ, on_udp, NULL),
                               loop_watch(&reactor.loop, tcp, LOOP_READ, on_tcp, NULL)};
    if (!dns_set_servers(&reactor, server_text, &why))
        return 1;
    RUN(servers_must_be_understood);
    RUN(addresses_need_no_resolver);
    RUN(localhost_is_loopback);
    RUN(what_is_no_name_is_refused);
    RUN(names_resolve);
    RUN(a_cut_answer_comes_over_tcp);
    RUN(what_went_wrong_is_said);
    RUN(equal_lookups_are_one);
    RUN(answers_are_kept_and_failures_are_not);
    RUN(a_cancelled_query_is_not_told);
    RUN(many_names_at_once);
    RUN(lua_resolves);
    loop_unwatch(watches[0]);
    loop_unwatch(watches[1]);
    script_close(&reactor);
    return test_report();
}

/* tcp_test.c - connections of checks to real listeners: what is said when they
 * do not answer, that nothing waits for ever, and that nothing is left. */
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/policy.h"
#include "peer.h"
#include "script.h"
#include "test.h"

static struct reactor reactor;
static struct script_outcome out;
static struct peer peer;
enum { MB = 1024 * 1024 };

/* Runs text; PORT is the peer's. */
static const char *run_within(const char *text, unsigned deadline_ms, size_t memory_limit)
{
    char prelude[160];
    snprintf(prelude, sizeof prelude,
             "local tcp = import 'hospital.tcp' local host = import 'hospital.host' "
             "local PORT = %d",
             peer.port);
    script_run_after(&reactor, prelude, text, deadline_ms, memory_limit, &out);
    CHECK(reactor.ops == 0 && reactor.loop.watches == 0);
    return out.text;
}

static const char *run(const char *text, unsigned deadline_ms)
{
    return run_within(text, deadline_ms, 8 * MB);
}

static const char *run_with(enum peer_manner manner, const char *text, unsigned deadline_ms)
{
    CHECK(peer_start(&peer, manner, "127.0.0.1", 16));
    const char *result = run(text, deadline_ms);
    peer_stop(&peer);
    return result;
}

TEST(a_connection_talks_both_ways)
{
    CHECK_STRING(run_with(PEER_ECHO,
                          "local c = tcp.connect('127.0.0.1', PORT) c:send('one\\ntwo\\r\\nrest') "
                          "local a, b, d = c:receive('line'), c:receive('line'), c:receive(4) "
                          "c:send('x;;y') local e = c:receive_until(';;') c:shutdown() "
                          "return a .. b .. d .. e .. c:receive('all')",
                          3000),
                 "returned: onetworestxybye");
}

TEST(a_connection_knows_where_it_leads)
{
    CHECK_STRING(run_with(PEER_HELLO,
                          "local i = tcp.connect('localhost', PORT, { family = 4 }):info() "
                          "return i.remote_ip .. i.family .. tostring(i.port == PORT) .. "
                          "tostring(i.timings.connect > 0 and i.timings.connect < 1)",
                          3000),
                 "returned: 127.0.0.14truetrue");
}

TEST(much_data_goes_and_comes)
{
    CHECK_STRING(
        run_with(PEER_ECHO,
                 "local c = tcp.connect('127.0.0.1', PORT) local s = ('x'):rep(100000) "
                 "for i = 1, 3 do c:send(s) if c:receive(#s) ~= s then return 'no' end end "
                 "return c:send('')",
                 5000),
        "returned: 0");
}

TEST(a_refusal_names_host_port_and_phase)
{
    CHECK(peer_start(&peer, PEER_DEAF, "127.0.0.1", 1));
    peer_stop(&peer); /* nobody listens there now */
    const char *text = run("tcp.connect('127.0.0.1', PORT)", 3000);
    CHECK(has(text, "raised: tcp 127.0.0.1:"));
    CHECK(has(text, ": connection refused (connect phase, after "));
    text = run("tcp.connect('localhost', PORT)", 3000);
    CHECK(has(text, "127.0.0.1: connection refused"));
    CHECK_STRING(run("local ok, e = pcall(tcp.connect, '127.0.0.1', PORT) "
                     "return e.kind .. e.phase .. tostring(e.timings.total < 1) .. e.target",
                     3000) +
                     10,
                 out.text + 10);
    CHECK(has(out.text, "returned: connectconnecttrue127.0.0.1:"));
}

TEST(names_that_are_none_are_of_kind_dns)
{
    CHECK(has(run("local ok, e = pcall(tcp.connect, 'no_such..name', 1) return e.kind .. e.message",
                  3000),
              "returned: dnstcp no_such..name:1: \"no_such..name\" is not a host name (dns phase"));
}

/* The next address is tried at once when one refuses. */
TEST(another_address_is_tried)
{
    CHECK_STRING(
        run_with(PEER_HELLO, "return tcp.connect('localhost', PORT):info().remote_ip", 3000),
        "returned: 127.0.0.1");
}

TEST(a_listener_that_does_not_accept_is_a_timeout)
{
    CHECK(peer_start(&peer, PEER_DEAF, "127.0.0.1", 0));
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)peer.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[4];
    for (int i = 0; i < 4; i++) { /* fill the backlog */
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&at, sizeof at);
    }
    const char *text = run("tcp.connect('127.0.0.1', PORT, 0.1)", 3000);
    CHECK(has(text, "no connection within 0.1 s (connect phase, after "));
    CHECK(out.took_ns < 2900 * NS_PER_MS);
    CHECK_STRING(run("tcp.connect('127.0.0.1', PORT, 9)", 50), "killed: deadline");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    peer_stop(&peer);
}

TEST(receiving_ends)
{
    static const struct {
        enum peer_manner manner;
        const char *before, *what, *wanted, *also;
    } cases[] = {
        {PEER_STUMP, "", "'line'", "closed", "the peer closed the connection, 3 bytes without the"},
        {PEER_STUMP, "", "4", "closed", "3 of 4 bytes (receive phase, after"},
        {PEER_STUMP, "c:receive(3)", "nil", "closed", "0 bytes"},
        {PEER_RESET, "c:receive(3) c:send('x')", "'all'", "closed",
         "the peer reset the connection"},
        {PEER_DRIP, "", "'line', { timeout = 0.1 }", "timeout", "no complete answer within 0.1 s"},
        {PEER_DRIP, "", "1000, { timeout = 0.1 }", "timeout", "of 1000 bytes"},
        {PEER_SILENT, "", "nil, { timeout = 0.05 }", "timeout", "0 bytes"},
        {PEER_FLOOD, "", "'all'", "limit", "more than 1048576 bytes (see max)"},
        {PEER_FLOOD, "", "'line', { max = 1000 }", "limit", "more than 1000 bytes"},
        {PEER_HELLO, "", "'line', { max = 3 }", "limit", "more than 3 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        if (asprintf(&text,
                     "local c = tcp.connect('127.0.0.1', PORT, 2) %s "
                     "local ok, e = pcall(c.receive, c, %s) return e.kind .. ' ' .. e.message",
                     cases[i].before, cases[i].what) < 0)
            return;
        const char *got = run_with(cases[i].manner, text, 5000);
        CHECK(has(got, cases[i].wanted));
        CHECK(has(got, cases[i].also));
        CHECK(out.took_ns < 4900 * NS_PER_MS);
        free(text);
    }
}

TEST(what_came_before_a_timeout_is_not_lost)
{
    CHECK_STRING(run_with(PEER_ECHO,
                          "local c = tcp.connect('127.0.0.1', PORT) c:send('ab') "
                          "pcall(c.receive, c, 'line', { timeout = 0.05 }) c:send('c\\n') "
                          "return c:receive('line')",
                          3000),
                 "returned: abc");
}

TEST(sending_ends)
{
    CHECK(has(run_with(PEER_SILENT,
                       "local c = tcp.connect('127.0.0.1', PORT, 0.2) local s = ('x'):rep(1 << 20) "
                       "while true do c:send(s) end",
                       5000),
              "not all sent within 0.2 s"));
    CHECK(has(run_with(PEER_STUMP,
                       "local c = tcp.connect('127.0.0.1', PORT, 2) c:receive('all') "
                       "while true do c:send('x') host.sleep(0.001) end",
                       5000),
              "the peer reset the connection"));
}

/* What is kept for a script counts against its memory. */
TEST(memory_is_the_sandbox_s)
{
    CHECK(has(run_with(PEER_FLOOD,
                       "local c = tcp.connect('127.0.0.1', PORT) "
                       "c:receive('all', { max = 1 << 29 })",
                       8000),
              "does not fit into the sandbox's memory"));
    CHECK(out.memory_peak <= 8 * MB);
}

TEST(misuse_is_an_error_of_the_check)
{
    CHECK(has(run("tcp.connect('127.0.0.1', 0)", 1000), "the port must be a number from 1 to"));
    CHECK(has(run("tcp.connect('127.0.0.1', 65536)", 1000), "the port must be a number from 1 to"));
    CHECK(has(run("tcp.connect('127.0.0.1')", 1000), "got nil"));
    CHECK(has(run("tcp.connect('a b', 1)", 1000), "the host must be a name or an address"));
    CHECK(has(run("tcp.connect('a', 1, { timout = 1 })", 1000), "did you mean \"timeout\"?"));
    CHECK(has(run("tcp.connect('a', 1, { timeout = 0 })", 1000), "duration above zero"));
    CHECK(has(run("tcp.connect('a', 1, { source = 'b' })", 1000), "source must be an address"));
    CHECK(has(run("tcp.assert_tcp('a', 1, { expect = '(' })", 1000), "is no Lua pattern"));
    CHECK(has(run_with(PEER_HELLO,
                       "local c = tcp.connect('127.0.0.1', PORT) c:close() c:close() c:receive()",
                       1000),
              "was closed by this check"));
    CHECK(has(run_with(PEER_SILENT,
                       "local c = tcp.connect('127.0.0.1', PORT) "
                       "host.parallel(function() pcall(c.receive, c, 9, { timeout = 0.1 }) end, "
                       "function() c:send('x') end)",
                       1000),
              "another function of this check is using the connection"));
    CHECK(has(run_with(PEER_HELLO,
                       "table.sort({1, 2}, function() tcp.connect('127.0.0.1', PORT) end)", 1000),
              "cannot wait here"));
}

TEST(addresses_are_written_in_many_ways)
{
    CHECK_STRING(run_with(PEER_HELLO,
                          "for _, a in ipairs { '127.0.0.1:' .. PORT, 'localhost:' .. PORT, "
                          "'[::ffff:127.0.0.1]:' .. PORT } do tcp.assert_tcp(a) "
                          "tcp.assert_tcp(a, 2) tcp.assert_tcp(a, { timeout = '2s' }, 'm') end "
                          "return tcp.connect('[::ffff:127.0.0.1]', PORT):info().family",
                          3000),
                 "returned: 6");
}

TEST(ipv6_loopback)
{
    if (!peer_start(&peer, PEER_HELLO, "::1", 4)) {
        printf("    left out: this host has no ::1\n");
        return;
    }
    CHECK_STRING(run("local r = tcp.assert_tcp('::1', PORT, { expect = 'world' }) "
                     "tcp.connect('[::1]:' .. PORT) tcp.connect('localhost', PORT) "
                     "return r.remote_ip .. r.family",
                     3000),
                 "returned: ::16");
    peer_stop(&peer);
}

TEST(unix_sockets)
{
    char path[64], text[300];
    snprintf(path, sizeof path, "/tmp/hospital-tcp-test-%d.sock", (int)getpid());
    CHECK(peer_start(&peer, PEER_HELLO, path, 4));
    snprintf(text, sizeof text,
             "local c = tcp.connect('unix:%s') local i = c:info() tcp.assert_tcp('unix:%s', 2) "
             "return c:receive('line') .. i.family .. tostring(i.remote_ip)",
             path, path);
    CHECK_STRING(run(text, 3000), "returned: hellounixnil");
    peer_stop(&peer);
    unlink(path);
    CHECK(has(run("tcp.connect('unix:/nowhere/at/all')", 3000),
              "tcp unix:/nowhere/at/all: no such file or directory (connect phase"));
}

/* A full backlog of a Unix listener is EAGAIN and not EINPROGRESS. */
TEST(a_full_unix_backlog_is_waited_for)
{
    char path[64], text[200];
    snprintf(path, sizeof path, "/tmp/hospital-tcp-full-%d.sock", (int)getpid());
    CHECK(peer_start(&peer, PEER_DEAF, path, 0));
    snprintf(text, sizeof text,
             "local all = {} for i = 1, 9 do all[i] = tcp.connect('unix:%s', 0.05) end", path);
    CHECK(has(run(text, 3000), "no connection within 0.05 s"));
    peer_stop(&peer);
    unlink(path);
}

/* A port that nobody listens on, in the range that outgoing connections are
 * given: the kernel connects such a socket to itself. */
TEST(a_connection_to_itself_is_a_refusal)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&at, size) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    close(fd);
    char text[200];
    snprintf(
        text, sizeof text,
        "for i = 1, 40000 do local ok, e = pcall(tcp.connect, '127.0.0.1', %d) "
        "if ok then return 'connected' end if e.kind ~= 'connect' then return e.message end end "
        "return 'refused'",
        ntohs(at.sin_port) ^ 1); /* Linux gives out every other port */
    CHECK_STRING(run(text, 120000), "returned: refused");
}

TEST(the_policy_is_asked)
{
    struct policy policy;
    struct fault why;
    policy_init(&policy);
    CHECK(policy_deny(&policy, "net=127.0.0.0/8,unix:/tmp", &why));
    reactor.policy = &policy;
    CHECK(peer_start(&peer, PEER_DEAF, "127.0.0.1", 16));
    static const char *const hosts[] = {"'127.0.0.1', PORT",  "'localhost', PORT, { family = 4 }",
                                        "'2130706433', PORT", "'::ffff:127.0.0.1', PORT",
                                        "'0.0.0.0', PORT",    "'unix:/tmp/x'"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "local ok, e = pcall(tcp.connect, %s) return e.kind .. ' ' .. e.message",
                 hosts[i]);
        run(text, 2000);
        CHECK(has(out.text, "returned: denied tcp "));
        CHECK(has(out.text, "is not allowed: denied by --deny net="));
    }
    peer_stop(&peer);
    reactor.policy = NULL;
    policy_fini(&policy);
}

TEST(assertions_tell_what_they_expected)
{
    CHECK_STRING(run_with(PEER_HELLO,
                          "local r = tcp.assert_tcp('127.0.0.1', PORT, { expect = '^hello%s' }) "
                          "return r.remote_ip .. tostring(r.timings.total < 1) .. #r.banner",
                          2000),
                 "returned: 127.0.0.1true13");
    CHECK(has(
        run_with(PEER_HELLO,
                 "tcp.assert_tcp('127.0.0.1', PORT, { expect = '^220', timeout = 0.1 }, 'mail')",
                 2000),
        "mail: tcp 127.0.0.1:"));
    CHECK(has(out.text,
              "a match of \"^220\" expected, got \"hello\\r\\nworld\\n\": nothing more came "
              "in time (answer phase, after"));
    CHECK(has(run_with(PEER_STUMP, "tcp.assert_tcp('127.0.0.1', PORT, { contains = 'xyz' })", 2000),
              "text with \"xyz\" expected, got \"abc\": the peer closed the connection"));
    CHECK_STRING(run_with(PEER_ECHO,
                          "return tcp.assert_tcp('127.0.0.1', PORT, "
                          "{ send = 'PING', contains = 'PING' }).banner",
                          2000),
                 "returned: PING");
    CHECK(
        has(run_with(PEER_DRIP,
                     "tcp.assert_tcp('127.0.0.1', PORT, { contains = 'y', timeout = 0.15 })", 2000),
            "nothing more came in time"));
    CHECK(has(run_with(PEER_FLOOD, "tcp.assert_tcp('127.0.0.1', PORT, { contains = 'y' })", 2000),
              "no answer in 65536 bytes"));
    CHECK(
        has(run_with(PEER_DRIP,
                     "tcp.assert_tcp('127.0.0.1', PORT, { contains = 'xxxxxx', max_time = '5ms' })",
                     2000),
            "more than 5.0 ms"));
    CHECK_STRING(run("return tostring(tcp.expect_tcp('127.0.0.1', 1))", 2000), "returned: nil");
}

/* Killed at any moment of an exchange, nothing is left. */
TEST(a_deadline_may_fall_anywhere)
{
    CHECK(peer_start(&peer, PEER_ECHO, "127.0.0.1", 64));
    for (unsigned ms = 0; ms < 40; ms++) {
        run("while true do local c = tcp.connect('localhost', PORT) c:send('a\\nb') "
            "c:receive('line') pcall(c.receive, c, 'line', { timeout = 0.002 }) "
            "host.sleep(0.001) tcp.assert_tcp('127.0.0.1', 1) end",
            ms);
        CHECK(strcmp(out.text, "killed: deadline") == 0 || has(out.text, "connection refused"));
    }
    peer_stop(&peer);
}

TEST(memory_may_run_out_anywhere)
{
    CHECK(peer_start(&peer, PEER_ECHO, "127.0.0.1", 64));
    const char *text =
        "local c = tcp.connect('127.0.0.1', PORT, 1) c:send('a\\nb') "
        "local t = { c:receive('line'), c:receive('some'), c:info() } c:close() "
        "return #tcp.assert_tcp('127.0.0.1', PORT, { send = 'x', contains = 'x' }).banner";
    bool enough = false;
    for (size_t limit = 40000; limit < 400000 && !enough; limit += 1000)
        enough = strcmp(run_within(text, 3000, limit), "returned: 1") == 0;
    CHECK(enough);
    peer_stop(&peer);
}

/* Every connection lives in a check of its own scope: here in one, at once. */
TEST(many_connections)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    unsigned count = files.rlim_max >= 12000 ? 5000 : 400;
    if (count != 5000)
        printf("    only %u: the limit of open files is %lu\n", count,
               (unsigned long)files.rlim_max);
    CHECK(peer_start(&peer, PEER_HOLD, "127.0.0.1", 4096));
    char text[300];
    snprintf(text, sizeof text,
             "local f = {} for i = 1, %u do f[i] = function() "
             "return tcp.connect('127.0.0.1', PORT, 20) end end local t = host.now() "
             "local all = { host.parallel(table.unpack(f)) } "
             "return #all .. ' in ' .. math.floor((host.now() - t) * 1000) .. ' ms'",
             count);
    run_within(text, 30000, 64 * MB);
    char wanted[32];
    snprintf(wanted, sizeof wanted, "returned: %u in", count);
    printf("    %s\n", out.text);
    CHECK(has(out.text, wanted));
    peer_stop(&peer);
}

int main(void)
{
    if (!script_open(&reactor, NULL))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    RUN(a_connection_talks_both_ways);
    RUN(a_connection_knows_where_it_leads);
    RUN(much_data_goes_and_comes);
    RUN(a_refusal_names_host_port_and_phase);
    RUN(names_that_are_none_are_of_kind_dns);
    RUN(another_address_is_tried);
    RUN(a_listener_that_does_not_accept_is_a_timeout);
    RUN(receiving_ends);
    RUN(what_came_before_a_timeout_is_not_lost);
    RUN(sending_ends);
    RUN(memory_is_the_sandbox_s);
    RUN(misuse_is_an_error_of_the_check);
    RUN(addresses_are_written_in_many_ways);
    RUN(ipv6_loopback);
    RUN(unix_sockets);
    RUN(a_full_unix_backlog_is_waited_for);
    RUN(a_connection_to_itself_is_a_refusal);
    RUN(the_policy_is_asked);
    RUN(assertions_tell_what_they_expected);
    RUN(a_deadline_may_fall_anywhere);
    RUN(memory_may_run_out_anywhere);
    RUN(many_connections);
    script_close(&reactor);
    return test_report();
}

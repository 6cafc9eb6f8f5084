/* ping_test.c - echoes in network namespaces that this test makes: with datagram
 * sockets, with raw ones, and with neither; lost, refused, forged and doubled.
 *
 * Where the environment gives no namespace, what needs one is left out and said. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <net/if.h>
#include <unistd.h>

#include "base/policy.h"
#include "bind/icmp.h"
#include "script.h"
#include "test.h"

static struct reactor reactor;
static struct script_outcome out;
enum { MB = 1024 * 1024 };

static const char prelude[] =
    "local p = import 'hospital.ping' local ping = p.ping local host = import 'hospital.host' ";

static const char *run(const char *text, unsigned deadline_ms)
{
    script_run_after(&reactor, prelude, text, deadline_ms, 64 * MB, &out);
    CHECK(reactor.ops == 0);
    return out.text;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* A network of its own with lo up; as a plain user inside a user namespace. */
static bool enter_network(void)
{
    char map[32];
    unsigned uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
            return false;
        snprintf(map, sizeof map, "0 %u 1", uid);
        write_file("/proc/self/setgroups", "deny");
        write_file("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %u 1", gid);
        write_file("/proc/self/gid_map", map);
    }
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return up;
}

static bool set_range(bool open_to_all)
{
    return write_file("/proc/sys/net/ipv4/ping_group_range", open_to_all ? "0 0" : "1 0");
}

static bool drop_raw_sockets(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capset, &header, data) == 0;
}

/* Echo requests to this host are answered, or dropped. */
static bool answer(bool yes)
{
    return write_file("/proc/sys/net/ipv4/icmp_echo_ignore_all", yes ? "0" : "1");
}

/* Reopens the sockets: the next echo finds what is permitted now. */
static void forget_sockets(void)
{
    struct service *service = &reactor.services[SERVICE_ICMP];
    if (service->self)
        service->close(service->self);
    *service = (struct service){0};
}

static bool shell(const char *command)
{
    return system(command) == 0;
}

/* --- the same by either kind of socket ---------------------------------------- */

static const char *socket_name;

TEST(loopback_answers)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "returned: 3 3 0.0 3 127.0.0.1 true %s", socket_name);
    CHECK_STRING(
        run("local r = ping('127.0.0.1', { interval = 0.01 }) "
            "return r.sent .. ' ' .. r.received .. ' ' .. r.loss .. ' ' .. #r.rtts .. ' ' .. "
            "r.remote_ip .. ' ' .. tostring(r.rtt.min > 0 and r.rtt.max < 0.1 and "
            "r.rtt.min <= r.rtt.avg and r.rtt.avg <= r.rtt.max and r.rtt.mdev >= 0) .. ' ' .. "
            "r.socket",
            3000),
        wanted);
    CHECK(out.took_ns < 1900 * NS_PER_MS);
    CHECK(reactor.loop.watches == 1); /* one socket, however many pings */
}

TEST(sizes_and_spellings)
{
    CHECK_STRING(run("for _, h in ipairs { '127.0.0.1', '0.0.0.0', '127.1', '::ffff:127.0.0.1', "
                     "'localhost' } do for _, size in ipairs { 8, 9, 56, 2000, 65507 } do "
                     "local r = ping(h, { count = 1, size = size, timeout = 1 }) "
                     "if r.loss ~= 0 then return h .. ' ' .. size end end end return 'all'",
                     9000),
                 "returned: all");
}

TEST(ipv6_answers)
{
    CHECK_STRING(run("local r = ping('::1', { interval = 0.01 }) "
                     "ping('localhost', { family = 6, count = 1 }) "
                     "return r.received .. r.remote_ip .. #r.rtts",
                     3000),
                 "returned: 3::13");
}

TEST(what_is_dropped_is_lost)
{
    CHECK(answer(false));
    CHECK_STRING(run("local r = ping('127.6.6.6', { timeout = 0.1 }) "
                     "return r.sent .. r.received .. tostring(r.rtt) .. r.loss",
                     3000),
                 "returned: 30nil1.0");
    CHECK(
        has(run("p.assert_ping('127.6.6.6', 0.1, 'router')", 3000),
            "raised: router: ping 127.6.6.6: 100 % loss (0 of 3 answered), at most 0 % expected"));
    CHECK_STRING(run("local ok, e = pcall(p.assert_ping, '127.6.6.6', 0.1) "
                     "return e.kind .. '|' .. e.expected .. '|' .. e.actual .. '|' .. e.target",
                     3000),
                 "returned: timeout|at most 0 % loss|100 % loss|127.6.6.6");
    CHECK_STRING(
        run("return p.assert_ping('127.6.6.6', { timeout = 0.1, max_loss = '100%' }).loss", 3000),
        "returned: 1.0");
    CHECK_STRING(run("return tostring(p.expect_ping('127.6.6.6', 0.05))", 3000), "returned: nil");
    CHECK(answer(true));
}

TEST(unreachable_is_told_at_once)
{
    CHECK(has(run("local ok, e = pcall(ping, '127.7.7.7', { timeout = 5 }) "
                  "return e.kind .. ' ' .. e.message",
                  8000),
              "returned: connect ping 127.7.7.7: "));
    CHECK(out.took_ns < 4500 * NS_PER_MS);
    CHECK(has(run("ping('192.0.2.1', 5)", 8000), "network is unreachable (echo phase"));
    CHECK(out.took_ns < 4500 * NS_PER_MS);
    /* one that is unreachable does not disturb the others */
    CHECK_STRING(
        run("local f = {} for i = 1, 200 do f[i] = function() local ok, r = pcall(ping, "
            "i % 2 == 0 and '127.7.7.7' or '127.0.0.1', { count = 3, timeout = 2 }) "
            "return ok and r.received or 0 end end "
            "local n = 0 for _, r in ipairs { host.parallel(table.unpack(f)) } do n = n + r end "
            "return n",
            8000),
        "returned: 300");
}

TEST(five_thousand_at_once)
{
    run("ping('127.0.0.1', { count = 1 }) local f = {} "
        "for i = 1, 5000 do f[i] = function() "
        "return ping('127.0.0.1', { count = 1, timeout = 5 }) end end "
        "local t = host.now() local n, worst = 0, 0 "
        "for _, r in ipairs { host.parallel(table.unpack(f)) } do n = n + r.received "
        "worst = math.max(worst, r.rtt and r.rtt.max or 9) end "
        "return n .. string.format(' in %.0f ms, worst rtt %.2f ms', (host.now() - t) * 1000, "
        "worst * 1000)",
        20000);
    printf("    %s: %s\n", socket_name, out.text);
    CHECK(has(out.text, "returned: 5000 in"));
    CHECK(reactor.loop.watches <= 2);
}

TEST(a_deadline_may_fall_anywhere)
{
    for (unsigned ms = 0; ms < 25; ms++)
        CHECK_STRING(run("while true do ping('127.0.0.1', { count = 3, interval = 0.001 }) "
                         "ping('localhost', { count = 1 }) pcall(ping, '127.7.7.7', 1) end",
                         ms),
                     "killed: deadline");
}

TEST(memory_may_run_out_anywhere)
{
    bool enough = false;
    for (size_t limit = 40000; limit < 400000 && !enough; limit += 1000) {
        script_run_after(&reactor, prelude,
                         "return ping('127.0.0.1', { count = 2, interval = 0.001 }).received", 3000,
                         limit, &out);
        CHECK(reactor.ops == 0);
        enough = strcmp(out.text, "returned: 2") == 0;
    }
    CHECK(enough);
}

/* --- a network that lies ----------------------------------------------------------- */

static int forger_stop[2];

static void set_checksum(unsigned char *p, size_t size)
{
    uint32_t sum = 0;
    memset(p + 2, 0, 2);
    for (size_t i = 0; i < size; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    uint16_t checksum = htons((uint16_t)~sum);
    memcpy(p + 2, &checksum, 2);
}

static void send_back(int raw, unsigned char *reply, size_t size)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, reply + 16, 4);
    set_checksum(reply + 20, size - 20);
    sendto(raw, reply, size, 0, (struct sockaddr *)&to, sizeof to);
}

/* Answers a request: to 127.5.5.5 three times; to 127.6.6.6 by another address,
 * with another token, and shorter; of 127.8.8.8 it says, quoting eight bytes as
 * the oldest routers do, that the host is unreachable. */
static void forge_answer(int raw, const unsigned char *packet, size_t size)
{
    unsigned char reply[2048];
    unsigned char whom = packet[17];
    for (int trick = 0; trick < 3; trick++) {
        memcpy(reply, packet, size);
        memcpy(reply + 12, packet + 16, 4);
        memcpy(reply + 16, packet + 12, 4);
        if (whom == 8) {
            memset(reply + 20, 0, 8);
            reply[20] = ICMP_DEST_UNREACH;
            reply[21] = ICMP_HOST_UNREACH;
            memcpy(reply + 28, packet, 28);
            send_back(raw, reply, 56);
            return;
        }
        reply[20] = ICMP_ECHOREPLY;
        if (whom == 6 && trick == 0)
            reply[15] ^= 1;
        if (whom == 6 && trick == 1)
            reply[30] ^= 1;
        send_back(raw, reply, whom == 6 && trick == 2 ? size - 2 : size);
    }
}

static int sniffer, raw;

static void *forge(void *unused)
{
    (void)unused;
    struct pollfd polls[] = {{.fd = forger_stop[0], .events = POLLIN},
                             {.fd = sniffer, .events = POLLIN}};
    unsigned char packet[2048];
    while (poll(polls, 2, 30000) > 0 && !polls[0].revents) {
        struct sockaddr_ll from = {0};
        socklen_t length = sizeof from;
        ssize_t size =
            recvfrom(sniffer, packet, sizeof packet, 0, (struct sockaddr *)&from, &length);
        if (size >= 36 && from.sll_pkttype != PACKET_OUTGOING && packet[9] == IPPROTO_ICMP &&
            packet[20] == ICMP_ECHO && (packet[17] == 5 || packet[17] == 6 || packet[17] == 8))
            forge_answer(raw, packet, (size_t)size);
    }
    return NULL;
}

TEST(forged_doubled_and_refused)
{
    pthread_t thread = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, forger_stop) == 0 && answer(false));
    sniffer = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    int room = 32 * MB; /* the replies are seen as well */
    setsockopt(sniffer, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    CHECK(sniffer >= 0 && raw >= 0 && pthread_create(&thread, NULL, forge, NULL) == 0);
    CHECK_STRING(
        run("return ping('127.6.6.6', { count = 5, interval = 0.01, timeout = 0.3 }).received",
            3000),
        "returned: 0");
    CHECK_STRING(run("local r = ping('127.5.5.5', { count = 5, interval = 0.01, timeout = 2 }) "
                     "return r.received .. #r.rtts .. r.loss",
                     3000),
                 "returned: 550.0");
    /* The loop stands still for 20 ms while a reply arrives: the kernel's stamp
     * of it tells the time, not the moment at which it was read. */
    run("local r host.parallel(function() r = ping('127.5.5.5', { count = 8, interval = 0.01 }) "
        "end, "
        "function() for i = 1, 8 do local t = host.now() while host.now() - t < 0.02 do end "
        "host.sleep(0.001) end end) return r.received .. tostring(r.rtt.min < 0.01) .. r.rtt.min",
        4000);
    CHECK(has(out.text, "returned: 8true"));
    CHECK(has(
        run("local ok, e = pcall(ping, '127.8.8.8', 5) return e.kind .. ' ' .. e.message", 8000),
        "returned: connect ping 127.8.8.8: host unreachable, says 127.8.8.8 (echo phase, after"));
    CHECK(out.took_ns < 4500 * NS_PER_MS);
    /* what is said of one does not disturb the others, on the same socket */
    CHECK(answer(true));
    CHECK_STRING(
        run("local f = {} for i = 1, 100 do f[i] = function() local ok, r = pcall(ping, "
            "i % 2 == 0 and '127.8.8.8' or '127.0.0.1', { count = 3, timeout = 2 }) "
            "return i % 2 == 1 and ok and r.received or 0 end end local n = 0 "
            "for _, r in ipairs { host.parallel(table.unpack(f)) } do n = n + r end return n",
            8000),
        "returned: 150");
    CHECK(shutdown(forger_stop[1], SHUT_WR) == 0);
    pthread_join(thread, NULL);
    close(sniffer);
    close(raw);
    close(forger_stop[0]);
    close(forger_stop[1]);
    CHECK(answer(true));
}

/* --- without a socket --------------------------------------------------------------- */

TEST(where_it_is_not_permitted_the_check_is_an_error)
{
    CHECK(has(run("ping('127.0.0.1')", 2000),
              "ping 127.0.0.1: not permitted on this host; as root: sysctl -w "
              "net.ipv4.ping_group_range=\"0 2147483647\", or give the program CAP_NET_RAW"));
    CHECK_STRING(run("local ok, e = pcall(p.assert_ping, '127.0.0.1', 1) return e.kind", 2000),
                 "returned: denied");
    CHECK_STRING(run("local ok, e = pcall(p.assert_ping, '::1', 1) return e.kind", 2000),
                 "returned: denied");
    CHECK(out.took_ns < 1900 * NS_PER_MS);
}

TEST(the_policy_is_asked)
{
    struct policy policy;
    struct fault why;
    policy_init(&policy);
    CHECK(policy_deny(&policy, "net=127.0.0.0/8", &why));
    reactor.policy = &policy;
    CHECK(has(run("local ok, e = pcall(ping, '127.1', 1) return e.kind .. e.message", 2000),
              "returned: deniedping 127.1: pinging"));
    CHECK(has(run("local ok, e = pcall(ping, 'localhost', { family = 4 }) return e.kind", 2000),
              "returned: denied"));
    reactor.policy = NULL;
    policy_fini(&policy);
}

TEST(misuse_is_an_error_of_the_check)
{
    CHECK(has(run("ping()", 1000), "the host must be a name or an address, got nil"));
    CHECK(has(run("ping('a', { cuont = 1 })", 1000), "did you mean \"count\"?"));
    CHECK(has(run("ping('a', { count = 0 })", 1000), "from 1 to 1000, got 0"));
    CHECK(has(run("ping('a', { size = 65508 })", 1000), "from 8 to 65507"));
    CHECK(has(run("ping('a', { size = 7 })", 1000), "from 8 to 65507"));
    CHECK(has(run("p.assert_ping('a', { max_loss = 2 })", 1000), "a share from 0 to 1"));
    CHECK(has(run("ping('a', { count = 10, interval = 1, timeout = 5 })", 1000),
              "10 echoes with an interval of 1.00 s take 9.00 s"));
}

/* --- the three hosts ------------------------------------------------------------------ */

static void run_all(const char *name, bool can_filter)
{
    socket_name = name;
    RUN(loopback_answers);
    RUN(sizes_and_spellings);
    RUN(ipv6_answers);
    if (can_filter) {
        RUN(what_is_dropped_is_lost);
        RUN(unreachable_is_told_at_once);
        RUN(forged_doubled_and_refused);
    }
    RUN(five_thousand_at_once);
    RUN(a_deadline_may_fall_anywhere);
    RUN(memory_may_run_out_anywhere);
    RUN(the_policy_is_asked);
    forget_sockets();
    CHECK(reactor.loop.watches == 0);
}

static void run_in_namespace(void)
{
    if (!enter_network()) {
        printf("left out: no network namespace here (neither root nor user namespaces)\n");
        return;
    }
    bool can_filter = answer(false) && answer(true) &&
                      shell("ip route add unreachable 127.7.7.0/24 table local 2>/dev/null");
    if (!can_filter)
        printf("left out: losses and refusals, for lack of ip(8) or its permission\n");
    if (set_range(true))
        run_all("datagram", can_filter);
    else
        printf("left out: datagram sockets, ping_group_range cannot be set\n");
    if (set_range(false))
        run_all("raw", can_filter);
    if (drop_raw_sockets())
        RUN(where_it_is_not_permitted_the_check_is_an_error);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!script_open(&reactor, NULL))
        return 1;
    RUN(misuse_is_an_error_of_the_check);
    run_in_namespace();
    script_close(&reactor);
    return test_report();
}

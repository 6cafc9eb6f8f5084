/* policy_test.c - what --allow and --deny mean, case by case. */
#include "base/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"

/* "+net=10.0.0.0/8 -net=10.9.0.0/16": a policy in a line. */
static void read_policy(struct policy *p, const char *line)
{
    char copy[512], *save = NULL;
    struct fault why;
    policy_init(p);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        bool ok = w[0] == '+' ? policy_allow(p, w + 1, &why) : policy_deny(p, w + 1, &why);
        CHECK(ok || (printf("%s: %s\n", w, why.message), false));
    }
}

static bool host(const char *line, const char *name, uint16_t port)
{
    struct policy p;
    read_policy(&p, line);
    bool allowed = policy_allows_host(&p, name, port);
    policy_fini(&p);
    return allowed;
}

static bool address(const char *line, const char *text, uint16_t port, const char *name)
{
    struct policy p;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    read_policy(&p, line);
    bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
    CHECK(is_v4 || inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    bool allowed = policy_allows_address(
        &p, is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6, name);
    policy_fini(&p);
    return allowed;
}

TEST(defaults)
{
    struct policy p;
    policy_init(&p);
    const struct policy *both[] = {&p, NULL};
    for (int i = 0; i < 2; i++) {
        CHECK(policy_allows_host(both[i], "example.com", 443));
        CHECK(policy_allows_env(both[i], "HOME"));
        CHECK(policy_allows_read(both[i], "/etc/passwd", NULL));
        CHECK(!policy_allows_path(both[i], CAPABILITY_WRITE, "/tmp/x", NULL));
        CHECK(!policy_allows_path(both[i], CAPABILITY_EXEC, "/bin/true", NULL));
        CHECK(!policy_is_narrowed(both[i], CAPABILITY_NET));
        CHECK_STRING(policy_allowed_path(both[i], CAPABILITY_READ, 0), "/");
        CHECK(!policy_allowed_path(both[i], CAPABILITY_READ, 1));
        CHECK(!policy_allowed_path(both[i], CAPABILITY_WRITE, 0));
    }
    CHECK_STRING(capability_name(CAPABILITY_EXEC), "exec");
}

TEST(deny_wins_whatever_the_order)
{
    CHECK(!host("+net -net", "a.example", 80));
    CHECK(!host("-net +net", "a.example", 80));
    CHECK(!host("-net +net=a.example", "a.example", 80));
    CHECK(!host("+net=a.example -net=a.example", "a.example", 80));
    CHECK(!host("-net=a.example +net", "a.example", 80));
    CHECK(host("-net=a.example", "b.example", 80));
    CHECK(host("+net=b.example +net", "a.example", 80));
    CHECK(!address("+net=10.0.0.0/8 -net=10.9.0.0/16", "10.9.1.1", 80, NULL));
    CHECK(address("+net=10.0.0.0/8 -net=10.9.0.0/16", "10.8.1.1", 80, NULL));
}

TEST(names)
{
    CHECK(host("+net=a.example", "A.Example.", 80));
    CHECK(!host("+net=a.example", "b.a.example", 80));
    CHECK(host("+net=*.example", "b.a.example", 80));
    CHECK(!host("+net=*.example", "example", 80));
    CHECK(!host("+net=*.example", ".example", 80));
    CHECK(!host("+net=*.example", "anexample", 80));
    CHECK(!host("-net=*.example", "a.EXAMPLE.", 80));
    CHECK(host("+net=a.example,b.example", "b.example", 80));
}

TEST(a_name_may_resolve_where_the_patterns_let_it)
{
    /* allowed by name: anywhere that is not denied */
    CHECK(address("+net=a.example", "192.0.2.1", 443, "a.example"));
    CHECK(!address("+net=a.example", "192.0.2.1", 443, "b.example"));
    CHECK(!address("+net=a.example", "192.0.2.1", 443, NULL));
    CHECK(!address("+net=a.example -net=192.0.2.0/24", "192.0.2.1", 443, "a.example"));
    CHECK(!address("-net=a.example", "192.0.2.1", 443, "a.example"));
    /* not named: to what is allowed by address only */
    CHECK(host("+net=10.0.0.0/8", "a.example", 443));
    CHECK(!host("+net=10.0.0.0/8:80", "a.example", 443));
    CHECK(address("+net=10.0.0.0/8", "10.1.2.3", 443, "a.example"));
    CHECK(!address("+net=10.0.0.0/8", "11.1.2.3", 443, "a.example"));
}

TEST(prefixes)
{
    CHECK(address("+net=10.128.0.0/9", "10.128.0.1", 1, NULL));
    CHECK(!address("+net=10.128.0.0/9", "10.127.255.255", 1, NULL));
    CHECK(address("+net=192.0.2.7", "192.0.2.7", 1, NULL));
    CHECK(!address("+net=192.0.2.7", "192.0.2.8", 1, NULL));
    CHECK(address("+net=fd00::/8", "fd12::1", 1, NULL));
    CHECK(!address("+net=fd00::/8", "fe80::1", 1, NULL));
    CHECK(address("+net=0.0.0.0/0", "192.0.2.7", 1, NULL));
    CHECK(!address("+net=0.0.0.0/0", "2001:db8::1", 1, NULL));
    CHECK(address("+net=::/0", "2001:db8::1", 1, NULL));
    CHECK(!address("+net=::/0", "192.0.2.7", 1, NULL));
    CHECK(!address("+net=::/0", "::ffff:192.0.2.7", 1, NULL)); /* it is IPv4 on the wire */
    CHECK(address("-net=::/0", "192.0.2.7", 1, NULL));
}

TEST(ports)
{
    CHECK(host("+net=a.example:443", "a.example", 443));
    CHECK(!host("+net=a.example:443", "a.example", 80));
    CHECK(host("+net=a.example:8000-8099", "a.example", 8099));
    CHECK(!host("+net=a.example:8000-8099", "a.example", 8100));
    CHECK(host("+net=*:443", "any.example", 443));
    CHECK(!host("+net=*:443", "any.example", 80));
    CHECK(address("+net=*:443", "192.0.2.1", 443, NULL));
    CHECK(!address("-net=*:25", "192.0.2.1", 25, "a.example"));
    CHECK(address("+net=[::1]:80", "::1", 80, NULL));
    CHECK(!address("+net=[::1]:80", "::1", 81, NULL));
    CHECK(address("+net=[fd00::/8]:80", "fd01::1", 80, NULL));
    CHECK(address("+net=127.0.0.1:80-90", "127.0.0.1", 85, NULL));
    /* ping has no port */
    CHECK(!host("+net=a.example:443", "a.example", 0));
    CHECK(host("-net=a.example:443", "a.example", 0));
}

TEST(other_spellings_of_an_address_are_the_address)
{
    static const char *const loopback[] = {
        "127.0.0.1",     "127.1", "0x7f.1",  "2130706433",         "0177.0.0.1",
        "0x7f000001",    "0",     "0.0.0.0", "[::ffff:127.0.0.1]", "::ffff:7f00:1",
        "::ffff:0.0.0.0"};
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        CHECK(!host("-net=127.0.0.0/8", loopback[i], 80) || (puts(loopback[i]), false));
        CHECK(host("+net=127.0.0.1", loopback[i], 80) || (puts(loopback[i]), false));
    }
    CHECK(!address("-net=127.0.0.1", "::ffff:127.0.0.1", 80, NULL));
    CHECK(!address("-net=127.0.0.1", "0.0.0.0", 80, NULL));
    CHECK(!address("-net=::1", "::", 80, NULL));
    CHECK(!host("-net=::1", "::1%lo", 80));
    CHECK(!address("-net=::ffff:10.0.0.0/104", "10.1.1.1", 80, NULL));
    CHECK(address("-net=::ffff:10.0.0.0/104", "11.1.1.1", 80, NULL));
    CHECK(!host("+net=10.0.0.0/8", "127.1", 80)); /* an address, not a name that may resolve */
}

static bool unix_socket(const char *line, const char *path)
{
    struct policy p;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    if (path[0] == '@')
        un.sun_path[0] = '\0';
    read_policy(&p, line);
    bool allowed = policy_allows_address(&p, (const struct sockaddr *)&un, NULL);
    policy_fini(&p);
    return allowed;
}

TEST(unix_sockets)
{
    CHECK(unix_socket("", "/dev/x.sock"));
    CHECK(unix_socket("", "@x"));
    CHECK(!unix_socket("-net", "/dev/x.sock"));
    CHECK(!unix_socket("+net=*", "/dev/x.sock"));
    CHECK(unix_socket("+net=unix:/dev", "/dev/x.sock"));
    CHECK(!unix_socket("+net=unix:/dev", "/devil"));
    CHECK(!unix_socket("-net=unix:/dev/x.sock", "/dev/../dev/x.sock"));
    CHECK(unix_socket("+net=unix:@x", "@x"));
    CHECK(!unix_socket("+net=unix:@x", "@xy"));
}

static bool reads(const char *line, const char *path, char real[PATH_MAX])
{
    struct policy p;
    read_policy(&p, line);
    bool allowed = policy_allows_read(&p, path, real);
    policy_fini(&p);
    return allowed;
}

TEST(paths)
{
    char dir[] = "/tmp/policy-XXXXXX", line[64], real[PATH_MAX], here[PATH_MAX];
    CHECK(mkdtemp(dir) && getcwd(here, sizeof here) && chdir(dir) == 0);
    CHECK(mkdir("in", 0700) == 0 && mkdir("inside", 0700) == 0 && mkdir("out", 0700) == 0);
    CHECK(symlink("../out", "in/escape") == 0 && symlink("nowhere", "in/dangling") == 0);
    CHECK(symlink("in", "alias") == 0 && close(creat("in/file", 0600)) == 0);
    snprintf(line, sizeof line, "+read=%s//./in/", dir);
    CHECK(reads(line, "in", NULL));
    CHECK(reads(line, "in/file", real) && strstr(real, "/in/file"));
    CHECK(reads(line, "alias/file", real) && strstr(real, "/in/file"));
    CHECK(reads(line, "in/not/yet/there", real) && strstr(real, "/in/not/yet/there"));
    CHECK(reads(line, "in/../in/file", NULL));
    CHECK(!reads(line, "in/../out/x", NULL));
    CHECK(!reads(line, "in/escape/x", NULL));
    CHECK(!reads(line, "in/dangling", NULL));
    CHECK(!reads(line, "in/none/../../out", NULL));
    CHECK(!reads(line, "inside", NULL));
    CHECK(!reads(line, "/etc/passwd", NULL));
    snprintf(line, sizeof line, "+read=%s/alias", dir); /* the pattern leads through a link */
    CHECK(reads(line, "in/file", NULL));
    snprintf(line, sizeof line, "-read=%s/out", dir);
    CHECK(!reads(line, "in/escape/x", NULL));
    CHECK(reads(line, "in/file", NULL));
    CHECK(reads("+read=/", "/etc/passwd", real) && strcmp(real, "/etc/passwd") == 0);
    CHECK(!reads("-read=/", "/etc/passwd", NULL));
    CHECK(reads("", "in/dangling", NULL)); /* nothing to protect: opening it tells */
    CHECK(unlink("in/escape") == 0 && unlink("in/dangling") == 0 && unlink("in/file") == 0 &&
          unlink("alias") == 0 && rmdir("in") == 0 && rmdir("inside") == 0 && rmdir("out") == 0);
    CHECK(chdir(here) == 0 && rmdir(dir) == 0);
}

static bool env(const char *line, const char *name)
{
    struct policy p;
    read_policy(&p, line);
    bool allowed = policy_allows_env(&p, name);
    policy_fini(&p);
    return allowed;
}

TEST(environment)
{
    CHECK(env("+env=PG*,HOME", "PGHOST") && env("+env=PG*,HOME", "HOME"));
    CHECK(!env("+env=PG*", "HOME") && !env("+env=PG*", "pghost"));
    CHECK(!env("-env=*SECRET*", "MY_SECRET_KEY") && env("-env=*SECRET*", "HOME"));
    CHECK(!env("-env", "HOME"));
}

TEST(off_capabilities_open_only_where_told)
{
    struct policy p;
    read_policy(&p, "+write=/tmp/a -write=/tmp/a/b +exec");
    CHECK(policy_allows_path(&p, CAPABILITY_WRITE, "/tmp/a/x", NULL));
    CHECK(!policy_allows_path(&p, CAPABILITY_WRITE, "/tmp/a/b/x", NULL));
    CHECK(!policy_allows_path(&p, CAPABILITY_WRITE, "/tmp/x", NULL));
    CHECK(policy_is_narrowed(&p, CAPABILITY_WRITE) && !policy_is_narrowed(&p, CAPABILITY_EXEC));
    CHECK_STRING(policy_allowed_path(&p, CAPABILITY_WRITE, 0), "/tmp/a");
    policy_fini(&p);
    read_policy(&p, "-write=/tmp/a");
    CHECK(!policy_has(&p, CAPABILITY_WRITE));
    policy_fini(&p);
}

static void check_refused(const char *text, const char *mend)
{
    struct policy p;
    struct fault why = {0};
    policy_init(&p);
    bool ok = policy_allow(&p, text, &why);
    CHECK(!ok || (printf("taken: %s\n", text), false));
    CHECK((strstr(why.message, "--allow") && strstr(why.message, mend)) ||
          (printf("%s: %s\n", text, why.message), false));
    policy_fini(&p);
}

TEST(bad_patterns_are_named_and_mended)
{
    check_refused("netz", "they are net, read, env, write and exec");
    check_refused("", "they are net");
    check_refused("net=", "a pattern is empty");
    check_refused("net=a.example,,b.example", "a pattern is empty");
    check_refused("net=10.1.2.3/8", "10.0.0.0/8 for the network");
    check_refused("net=fd00::1/8", "fd00::/8 for the network");
    check_refused("net=10.0.0.0/33", "from 0 to 32");
    check_refused("net=10.0.0.0/", "from 0 to 32");
    check_refused("net=::1/129", "from 0 to 128");
    check_refused("net=::ffff:0.0.0.0/90", "write it as IPv4");
    check_refused("net=0x7f.1", "127.0.0.1");
    check_refused("net=2130706433", "127.0.0.1");
    check_refused("net=a.example/8", "before the slash");
    check_refused("net=a*.example", "a star stands alone or in front");
    check_refused("net=http://a.example", "after the colon");
    check_refused("net=a.example:0", "from 1 to 65535");
    check_refused("net=a.example:70000", "from 1 to 65535");
    check_refused("net=a.example:9-8", "from 1 to 65535");
    check_refused("net=a.example:", "from 1 to 65535");
    check_refused("net=[::1", "in brackets");
    check_refused("net=::1:zz", "in brackets");
    check_refused("net=:443", "there is no host");
    check_refused("net=*.", "there is no host");
    check_refused("net=b\xc3\xbc.example", "xn--");
    check_refused("net=unix:run", "absolute");
    check_refused("read=etc", "absolute");
    check_refused("read=/a/../b", "'..'");
    check_refused("read=/a/..", "'..'");
    check_refused("read=/var/log/*.log", "without stars");
    check_refused("env=A=B", "no '='");
    check_refused("read=/etc,relative", "--allow read=relative");
}

/* Under a sanitizer this is what finds an overrun; here, that every refusal
 * has a message and every pattern can be asked. */
TEST(any_bytes_are_taken_or_refused)
{
    static const char *const starts[] = {"net=", "read=/", "env=", "net=unix:", "net=[", ""};
    static const char letters[] = "0123456789abcdefx:./*[]-,@%= ";
    srand(1);
    for (int i = 0; i < 20000; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "%s", starts[rand() % 6]);
        for (int n = rand() % 24; n > 0; n--)
            text[size++] = letters[rand() % (int)(sizeof letters - 1)];
        text[size] = '\0';
        struct policy p;
        struct fault why = {0};
        policy_init(&p);
        if (!policy_allow(&p, text, &why))
            CHECK(why.message[0] != '\0');
        (void)policy_allows_host(&p, text, 80);
        (void)policy_allows_env(&p, text);
        (void)policy_allows_read(&p, text, NULL);
        policy_fini(&p);
    }
}

int main(void)
{
    RUN(defaults);
    RUN(deny_wins_whatever_the_order);
    RUN(names);
    RUN(a_name_may_resolve_where_the_patterns_let_it);
    RUN(prefixes);
    RUN(ports);
    RUN(other_spellings_of_an_address_are_the_address);
    RUN(unix_sockets);
    RUN(paths);
    RUN(environment);
    RUN(off_capabilities_open_only_where_told);
    RUN(bad_patterns_are_named_and_mended);
    RUN(any_bytes_are_taken_or_refused);
    return test_report();
}

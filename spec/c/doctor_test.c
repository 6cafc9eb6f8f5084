/* doctor_test.c - the doctor tells a host that can from one that cannot. */
#include "cli/doctor.h"

#include "proc/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

struct visit {
    int code;
    bool prepared;
    char text[8192];
};

/* In a child, on a host that prepare (false: it could not) has changed. */
static const struct visit *visit(bool (*prepare)(void), struct doctor_options options)
{
    static struct visit *v;
    if (!v)
        v = mmap(NULL, sizeof *v, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(v, 0, sizeof *v);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        v->prepared = !prepare || prepare();
        FILE *out = tmpfile();
        v->code = doctor(out, &options);
        rewind(out);
        (void)!fread(v->text, 1, sizeof v->text - 1, out);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return v;
}

/* Does the line that begins with state and name say this too? */
static bool says(const struct visit *v, const char *state, const char *name, const char *text)
{
    char line[64];
    snprintf(line, sizeof line, "%-8s %-18s ", state, name);
    const char *at = strstr(v->text, line);
    const char *end = at ? strchr(at, '\n') : NULL;
    const char *found = at ? strstr(at, text) : NULL;
    return found && end && found < end;
}

TEST(a_healthy_host)
{
    const struct visit *v = visit(NULL, (struct doctor_options){.concurrency = 8});
    CHECK(says(v, "ok", "Lua", "5.4"));
    CHECK(says(v, "ok", "descriptors", "8 checks"));
    CHECK(strstr(v->text, "landlock") && strstr(v->text, "seccomp"));
    CHECK(v->code == (strstr(v->text, " 0 missing") ? 0 : 1));
    CHECK(!strchr(v->text, '\033'));
    v = visit(NULL, (struct doctor_options){.concurrency = 8, .color = true});
    CHECK(strstr(v->text, "\033[32mok"));
}

static bool few_descriptors(void)
{
    struct rlimit limit = {64, 64};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

TEST(too_few_descriptors_are_essential)
{
    const struct visit *v = visit(few_descriptors, (struct doctor_options){.concurrency = 256});
    CHECK(v->code == 1);
    CHECK(says(v, "missing", "descriptors", "256 checks"));
    CHECK(strstr(v->text, "mend: ulimit -Hn 576"));
}

static bool write_range(const char *range)
{
    int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
    bool ok = fd >= 0 && write(fd, range, strlen(range)) > 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool become_nobody(void)
{
    return setgid(65534) == 0 && setuid(65534) == 0;
}

static bool without_ping(void)
{
    return unshare(CLONE_NEWNET) == 0 && write_range("1 0") && become_nobody();
}

static bool with_ping(void)
{
    return unshare(CLONE_NEWNET) == 0 && write_range("0 2147483647") &&
           system("ip link set lo up") == 0 && become_nobody();
}

/* Raw only, and the loopback is down: a socket alone is no ping. */
static bool with_dead_network(void)
{
    return unshare(CLONE_NEWNET) == 0 && write_range("0 2147483647");
}

TEST(ping_is_tried)
{
    struct doctor_options options = {.concurrency = 8};
    if (geteuid() != 0) {
        printf("skipped: ping permissions: not root\n");
        return;
    }
    const struct visit *v = visit(without_ping, options);
    if (!v->prepared) {
        printf("skipped: ping permissions: no network namespaces here\n");
        return;
    }
    CHECK(says(v, "limited", "ping", "not permitted on this host"));
    CHECK(strstr(v->text, "mend: sysctl -w net.ipv4.ping_group_range=\"0 2147483647\""));
    CHECK(v->code == 0);
    v = visit(with_ping, options);
    CHECK(!v->prepared || says(v, "ok", "ping", "datagram sockets are permitted"));
    v = visit(with_dead_network, options);
    CHECK(!v->prepared || !says(v, "ok", "ping", "permitted"));
    CHECK(!v->prepared || !strstr(v->text, "mend: sysctl"));
}

/* What --without-layer would leave can be looked at before a run does without. */
TEST(layers_may_be_left_away)
{
    const struct visit *v = visit(
        NULL, (struct doctor_options){.concurrency = 8, .layers_off = 1u << CONFINE_SYSCALLS});
    CHECK(says(v, "limited", "seccomp", "switched off"));
    CHECK(!strstr(v->text, "libseccomp-dev") && !strstr(v->text, "CONFIG_SECCOMP"));
    v = visit(NULL, (struct doctor_options){.concurrency = 8});
    CHECK(!strstr(v->text, "switched off"));
}

TEST(json)
{
    const struct visit *v = visit(NULL, (struct doctor_options){.concurrency = 8, .json = true});
    CHECK(v->text[0] == '{' && strstr(v->text, "\"findings\":["));
    CHECK(strstr(v->text, v->code == 0 ? "\"status\":\"pass\"" : "\"status\":\"fail\""));
    CHECK(strcmp(v->text + strlen(v->text) - 4, "\n]}\n") == 0);
}

int main(void)
{
    RUN(a_healthy_host);
    RUN(too_few_descriptors_are_essential);
    RUN(ping_is_tried);
    RUN(layers_may_be_left_away);
    RUN(json);
    return test_report();
}

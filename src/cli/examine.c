/* examine.c - see examine.h. */
#include "cli/examine.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <lua.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"

enum { LIBRARIES = 4 };

/* What the confined child has to tell, in memory that both see. */
struct sample {
    bool done;
    struct confinement confinement;
    int ping[2][2];               /* [IPv4, IPv6][datagram, raw]: 0 or errno */
    char library[LIBRARIES][200]; /* its version; empty: the error says why */
    char library_error[LIBRARIES][200];
    int run, write, process; /* errno of what confinement forbids; 0: it went through */
};

static void say(struct finding *f, const char *name, enum finding_state state, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

static void say(struct finding *f, const char *name, enum finding_state state, const char *format,
                ...)
{
    va_list args;
    memset(f, 0, sizeof *f);
    f->name = name;
    f->state = state;
    va_start(args, format);
    vsnprintf(f->detail, sizeof f->detail, format, args);
    va_end(args);
}

static void mend(struct finding *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void mend(struct finding *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->mend, sizeof f->mend, format, args);
    va_end(args);
}

/* ---- in the child ---- */

/* One echo request to this host itself; what comes back first may be the
 * request (a raw socket sees both), which shows as much. */
static int exchange_echo(int fd, bool v6)
{
    struct icmphdr v4_request = {.type = ICMP_ECHO, .un.echo.sequence = htons(1)};
    struct icmp6_hdr v6_request = {.icmp6_type = ICMP6_ECHO_REQUEST};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    v4_request.checksum = (uint16_t) ~(ICMP_ECHO + htons(1)); /* both words as they lie */
    ssize_t sent =
        v6 ? sendto(fd, &v6_request, sizeof v6_request, 0, (struct sockaddr *)&six, sizeof six)
           : sendto(fd, &v4_request, sizeof v4_request, 0, (struct sockaddr *)&v4, sizeof v4);
    if (sent < 0)
        return errno;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 1000) == 1 ? 0 : ETIMEDOUT;
}

static int try_ping(bool v6, int type)
{
    int fd = v6 ? socket(AF_INET6, type, IPPROTO_ICMPV6) : socket(AF_INET, type, IPPROTO_ICMP);
    if (fd < 0)
        return errno;
    int code = exchange_echo(fd, v6);
    close(fd);
    return code;
}

/* What bindings open when a check first needs it. */
static const struct {
    const char *name, *file, *package;
    const char *version; /* the function that tells it as text; NULL: a number, PQlibVersion's */
    const char *needed_for;
    bool optional;
} libraries[LIBRARIES] = {
    {"libcurl", "libcurl.so.4", "libcurl4", "curl_version", "http", false},
    {"libpq", "libpq.so.5", "libpq5", NULL, "postgres:// databases", true},
    {"libsqlite3", "libsqlite3.so.0", "libsqlite3-0", "sqlite3_libversion", "sqlite: databases",
     true},
    {"libmariadb", "libmariadb.so.3", "libmariadb3", "mysql_get_client_info", "mysql:// databases",
     true},
};

static void try_library(struct sample *s, int i)
{
    void *library = dlopen(libraries[i].file, RTLD_NOW | RTLD_LOCAL);
    const char *symbol = libraries[i].version ? libraries[i].version : "PQlibVersion";
    void *version = library ? dlsym(library, symbol) : NULL;
    const char *error = version ? NULL : dlerror();
    if (!version) {
        snprintf(s->library_error[i], sizeof s->library_error[i], "%s", error ? error : "too old");
    } else if (libraries[i].version) {
        const char *(*text)(void);
        memcpy(&text, &version, sizeof text);
        snprintf(s->library[i], sizeof s->library[i], "%s", text());
    } else {
        int (*number)(void);
        memcpy(&number, &version, sizeof number);
        snprintf(s->library[i], sizeof s->library[i], "%d.%d", number() / 10000, number() % 10000);
    }
}

/* Harmless where they are not refused: there is no such program, the file has
 * no name, the process ends at once. */
static void try_forbidden(struct sample *s)
{
    char *const none[] = {NULL};
    execve("/nonexistent/hospital-doctor", none, none);
    s->run = errno;
    FILE *file = tmpfile();
    s->write = file ? 0 : errno;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    s->process = pid < 0 ? errno : 0;
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static void fill_sample(struct sample *s)
{
    for (int v6 = 0; v6 < 2; v6++) {
        s->ping[v6][0] = try_ping(v6, SOCK_DGRAM);
        s->ping[v6][1] = try_ping(v6, SOCK_RAW);
    }
    try_forbidden(s);
    for (int i = 0; i < LIBRARIES; i++)
        try_library(s, i);
    s->done = true;
}

/* Never NULL; unmapped by the caller.  A child that hangs is ended by its own
 * alarm. */
static struct sample *take_sample(unsigned layers_off)
{
    struct sample *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return NULL;
    struct confine_options options = {.off = layers_off};
    struct confine *c = confine_new(&options);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        alarm(10);
        confine_apply(c, parent, &s->confinement);
        fill_sample(s);
        _exit(0);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
    confine_free(c);
    return s;
}

/* ---- findings ---- */

static bool is_refusal(int code)
{
    return code == EPERM || code == EACCES;
}

static void find_ping(struct finding *f, const struct sample *s, bool v6)
{
    const char *name = v6 ? "ping over IPv6" : "ping";
    int datagram = s->ping[v6][0], raw = s->ping[v6][1];
    if (datagram == 0)
        say(f, name, FINDING_OK, "datagram sockets are permitted");
    else if (raw == 0)
        say(f, name, FINDING_OK, "raw sockets are permitted (datagram ones: %s)",
            strerror(datagram));
    else if (v6 && (raw == EADDRNOTAVAIL || raw == EAFNOSUPPORT || datagram == EADDRNOTAVAIL ||
                    datagram == EAFNOSUPPORT || raw == ENETUNREACH))
        say(f, name, FINDING_LIMITED, "this host has no IPv6 (%s)", strerror(raw));
    else if (!is_refusal(datagram) || !is_refusal(raw))
        say(f, name, FINDING_LIMITED, "no answer from this host itself: %s",
            strerror(is_refusal(datagram) ? raw : datagram));
    else {
        say(f, name, FINDING_LIMITED, "not permitted on this host: datagram: %s; raw: %s",
            strerror(datagram), strerror(raw));
        mend(f, "sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"   (or give the program "
                "CAP_NET_RAW: setcap cap_net_raw+ep hospital)");
    }
}

static const char *layer_mend(enum confine_layer layer, const char *reason)
{
    if (layer == CONFINE_FILES && strstr(reason, "not switched on"))
        return "add landlock to the lsm= list of the kernel's command line";
    if (layer == CONFINE_FILES)
        return "boot Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK; in a container, allow the "
               "landlock_* system calls";
    if (layer == CONFINE_SYSCALLS && strstr(reason, "libseccomp"))
        return "apt-get install libseccomp-dev, and build again";
    if (layer == CONFINE_SYSCALLS)
        return "boot a kernel with CONFIG_SECCOMP_FILTER";
    return "";
}

static void find_layer(struct finding *f, const struct sample *s, enum confine_layer layer)
{
    const char *reason = s->confinement.layers[layer].reason;
    bool on = s->confinement.layers[layer].state == CONFINE_ON;
    say(f, confine_layer_name(layer), on ? FINDING_OK : FINDING_LIMITED, "%s", reason);
    if (on && layer == CONFINE_FILES && strstr(reason, "cannot")) {
        f->state = FINDING_LIMITED;
        mend(f, "boot Linux 6.12 or later");
    } else if (s->confinement.layers[layer].state == CONFINE_UNAVAILABLE)
        mend(f, "%s", layer_mend(layer, reason));
}

/* The layers' own word is not enough: what they forbid was tried. */
static void find_walls(struct finding *f, const struct sample *s)
{
    bool run = s->run != EPERM && s->run != EACCES;
    if (run || s->write == 0 || s->process == 0)
        say(f, "confinement", FINDING_LIMITED, "a worker could %s%s%s", run ? "run programs " : "",
            s->write == 0 ? "write files " : "", s->process == 0 ? "start processes" : "");
    else
        say(f, "confinement", FINDING_OK,
            "a worker was refused to run a program, to write a file and to start a process");
}

static void find_library(struct finding *f, const struct sample *s, int i)
{
    const char *error = s->library_error[i];
    if (s->library[i][0]) {
        say(f, libraries[i].name, FINDING_OK, "%s", s->library[i]);
        return;
    }
    say(f, libraries[i].name, libraries[i].optional ? FINDING_LIMITED : FINDING_MISSING,
        "needed for %s, cannot be loaded: %s", libraries[i].needed_for, error);
    if (strstr(error, "No such file"))
        mend(f, "apt-get install %s", libraries[i].package);
    else if (strstr(error, "failed to map") || strstr(error, "allocate"))
        mend(f, "raise the memory limit of this process (ulimit -v, MemoryMax= in a systemd unit)");
}

/* A check holds a connection and at times a second one (a redirect, a racing
 * address); the engine some dozens. */
static void find_descriptors(struct finding *f, unsigned concurrency)
{
    struct rlimit files;
    unsigned long long wanted = 2ull * concurrency + 64;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        say(f, "descriptors", FINDING_LIMITED, "unknown: %s", strerror(errno));
        return;
    }
    bool enough = files.rlim_max == RLIM_INFINITY || files.rlim_max >= wanted;
    say(f, "descriptors", enough ? FINDING_OK : FINDING_MISSING,
        "at most %llu a process; %u checks in flight want %llu", (unsigned long long)files.rlim_max,
        concurrency, wanted);
    if (!enough)
        mend(f, "ulimit -Hn %llu   (LimitNOFILE=%llu in a systemd unit)", wanted, wanted);
}

static size_t count_lines(const char *path, const char *beginning)
{
    char line[512];
    size_t count = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        count += strncmp(line, beginning, strlen(beginning)) == 0;
    if (file)
        fclose(file);
    return count;
}

static void find_bundle(struct finding *f)
{
    const char *const places[] = {getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt",
                                  "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                  "/etc/ssl/cert.pem"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t count = places[i] ? count_lines(places[i], "-----BEGIN") : 0;
        if (count) {
            say(f, "certificates", FINDING_OK, "%zu in %s", count, places[i]);
            return;
        }
    }
    say(f, "certificates", FINDING_MISSING,
        "no bundle of authorities: every https check would fail");
    mend(f, "apt-get install ca-certificates");
}

static void find_resolver(struct finding *f)
{
    size_t count = count_lines("/etc/resolv.conf", "nameserver");
    if (count) {
        say(f, "resolver", FINDING_OK, "%zu nameserver%s in /etc/resolv.conf", count,
            count == 1 ? "" : "s");
        return;
    }
    say(f, "resolver", FINDING_LIMITED,
        "no nameserver in /etc/resolv.conf: only /etc/hosts answers");
    mend(f, "echo 'nameserver ADDRESS' >> /etc/resolv.conf");
}

static void find_clock(struct finding *f)
{
    const uint64_t released_s = UINT64_C(1735689600); /* 2025: no run is older than the program */
    struct timex state = {0};
    uint64_t now_s = clock_epoch_ns() / NS_PER_S;
    if (now_s < released_s) {
        say(f, "clock", FINDING_MISSING, "it is in the past: certificates would not be valid yet");
        mend(f, "timedatectl set-ntp true");
    } else if (adjtimex(&state) == TIME_ERROR)
        say(f, "clock", FINDING_OK, "plausible; the kernel does not call it synchronised");
    else
        say(f, "clock", FINDING_OK, "synchronised");
}

size_t examine_host(struct finding findings[EXAMINED], unsigned concurrency, unsigned layers_off)
{
    size_t n = 0;
    struct sample *s = take_sample(layers_off);
    say(&findings[n++], "Lua", FINDING_OK, LUA_RELEASE);
    find_descriptors(&findings[n++], concurrency);
    find_resolver(&findings[n++]);
    find_bundle(&findings[n++]);
    find_clock(&findings[n++]);
    if (!s || !s->done) {
        say(&findings[n++], "worker", FINDING_MISSING,
            "a confined process did not live to the end of its tries");
    } else {
        for (int i = 0; i < LIBRARIES; i++)
            find_library(&findings[n++], s, i);
        find_ping(&findings[n++], s, false);
        find_ping(&findings[n++], s, true);
        find_walls(&findings[n++], s);
        for (int layer = 0; layer < CONFINE_LAYERS; layer++)
            find_layer(&findings[n++], s, (enum confine_layer)layer);
    }
    if (s)
        munmap(s, sizeof *s);
    return n;
}

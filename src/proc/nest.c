/* nest.c - the process that workers are forked from: see nursery.h.
 *
 * It allocates nothing, opens nothing and knows no library, so that each fork
 * is small and starts clean.  It waits in one place, ppoll, which is also the
 * only place where SIGCHLD is let through. */
#include "proc/nest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sanitizer.h"

enum { OWN_FD = 3, LEAVE_MS = 900 };

struct nest {
    pid_t self;
    nursery_main_fn *worker_main;
    void *context;
    int kept;                       /* a descriptor that workers keep; -1: none */
    pid_t workers[NURSERY_WORKERS]; /* by number; 0: none */
    unsigned count;
};

/* The kernel kills this process when its parent goes; unless it has already. */
static void die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
}

static void close_from_to(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
        return;
    unsigned end = (unsigned)sysconf(_SC_OPEN_MAX);
    for (unsigned fd = first; fd <= last && fd < end; fd++)
        close((int)fd); /* a kernel before 5.9 */
}

/* fd becomes OWN_FD, and nothing above it stays open but kept (-1: none). */
static void keep_only(int fd, int kept)
{
    if (fd != OWN_FD && dup3(fd, OWN_FD, O_CLOEXEC) < 0)
        _exit(1);
    unsigned next = OWN_FD + 1;
    if (kept >= OWN_FD + 1) {
        close_from_to(next, (unsigned)kept - 1);
        next = (unsigned)kept + 1;
    }
    close_from_to(next, ~0U);
}

/* Output meant for a report can come from the supervisor only. */
static void redirect_stdio(void)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(1);
}

static void on_child(int signal)
{
    (void)signal; /* it interrupts ppoll, that is all */
}

static bool is_sanitizers(int signal)
{
#if SANITIZES_ADDRESSES
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE;
#else
    (void)signal;
    return false;
#endif
}

/* Handlers and ignored signals that our own parent left us are undone here,
 * once; workers inherit the result. */
static void settle_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGPIPE};
    for (int s = 1; s < NSIG; s++)
        if (!is_sanitizers(s))
            signal(s, SIG_DFL); /* fails for some, which cannot be changed */
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    struct sigaction action = {.sa_handler = on_child};
    sigaction(SIGCHLD, &action, NULL);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void be_worker(const struct nest *nest, unsigned number, int fd)
{
    char name[16];
    sigset_t none;
    die_with(nest->self);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    keep_only(fd, nest->kept);
    snprintf(name, sizeof name, "hospital-w%u", number);
    prctl(PR_SET_NAME, name);
    _exit(nest->worker_main(nest->context, number, OWN_FD));
}

static void tell(enum nest_kind kind, unsigned number, pid_t pid, int value)
{
    struct nest_message m = {kind, number, pid, value};
    while (send(OWN_FD, &m, sizeof m, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

static void spawn(struct nest *nest, unsigned number, int fd)
{
    if (number >= NURSERY_WORKERS || nest->workers[number])
        return; /* the supervisor never asks for that */
    pid_t pid = fd < 0 ? -1 : fork();
    if (pid == 0)
        be_worker(nest, number, fd);
    if (pid < 0) {
        tell(NEST_REFUSED, number, 0, fd < 0 ? EMFILE : errno);
        return;
    }
    nest->workers[number] = pid;
    nest->count++;
    tell(NEST_SPAWNED, number, pid, 0);
}

static void kill_worker(const struct nest *nest, unsigned number)
{
    if (number < NURSERY_WORKERS && nest->workers[number])
        kill(nest->workers[number], SIGKILL);
}

static void reap(struct nest *nest)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned number = 0; number < NURSERY_WORKERS; number++)
            if (nest->workers[number] == pid) {
                nest->workers[number] = 0;
                nest->count--;
                tell(NEST_EXITED, number, pid, status);
                break;
            }
}

/* The supervisor is gone or wants to go.  A worker that hangs in the kernel
 * (a dead network file system) is left to die by itself. */
static void leave(struct nest *nest, const sigset_t *waiting) __attribute__((noreturn));
static void leave(struct nest *nest, const sigset_t *waiting)
{
    uint64_t until_ns = clock_now_ns() + LEAVE_MS * NS_PER_MS;
    for (unsigned number = 0; number < NURSERY_WORKERS; number++)
        kill_worker(nest, number);
    for (reap(nest); nest->count; reap(nest)) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= until_ns)
            break;
        struct timespec rest = {0, (long)(until_ns - now_ns)}; /* below a second */
        ppoll(NULL, 0, &rest, waiting);
    }
    _exit(0);
}

/* The descriptor that came with a message, -1 if none did. */
static int descriptor_in(struct msghdr *message)
{
    int fd = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/* Takes one request.  False when the supervisor has closed. */
static bool serve(struct nest *nest)
{
    struct nest_message m = {0};
    struct iovec data = {.iov_base = &m, .iov_len = sizeof m};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t got = recvmsg(OWN_FD, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got != (ssize_t)sizeof m)
        return false;
    int fd = descriptor_in(&message);
    if (m.kind == NEST_SPAWN)
        spawn(nest, m.number, fd);
    else if (m.kind == NEST_KILL)
        kill_worker(nest, m.number);
    if (fd >= 0)
        close(fd);
    return true;
}

void nest_main(int fd, pid_t supervisor, nursery_prepare_fn *prepare, nursery_main_fn *worker_main,
               void *context)
{
    struct nest nest = {.self = getpid(), .worker_main = worker_main, .context = context};
    sigset_t waiting; /* SIGCHLD comes in while ppoll waits, and only then */
    settle_signals();
    die_with(supervisor);
    redirect_stdio();
    keep_only(fd, -1);
    prctl(PR_SET_NAME, "hospital-nest");
    nest.kept = prepare ? prepare(context) : -1;
    sigemptyset(&waiting);
    for (;;) {
        struct pollfd p = {.fd = OWN_FD, .events = POLLIN};
        reap(&nest);
        if (ppoll(&p, 1, NULL, &waiting) > 0 && !serve(&nest))
            leave(&nest, &waiting);
    }
}

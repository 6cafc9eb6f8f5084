/* output.c - see output.h. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

enum { FLUSH_SIZE = 256 << 10 };

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool terminal_is_dumb(void)
{
    const char *term = getenv("TERM");
    return !term || !*term || strcmp(term, "dumb") == 0;
}

bool color_is_wanted(enum color_mode mode, bool tty)
{
    if (mode != COLOR_AUTO)
        return mode == COLOR_ALWAYS;
    if (is_set("NO_COLOR"))
        return false;
    const char *force = getenv("CLICOLOR_FORCE");
    if (force && *force && strcmp(force, "0") != 0)
        return true;
    return tty && !terminal_is_dumb();
}

bool color_mode_parse(const char *text, enum color_mode *mode)
{
    static const char *const names[] = {"auto", "always", "never"};
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum color_mode)i;
            return true;
        }
    return false;
}

bool output_is_terminal(int fd)
{
    return isatty(fd) && !terminal_is_dumb();
}

unsigned output_terminal_width(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

/* -- Opening ---------------------------------------------------------------- */

/* A new file beside path, with the mode that path has or would get. */
static bool open_beside(struct output *o, const struct stat *old, struct fault *why)
{
    struct buffer name = {0};
    const char *slash = strrchr(o->path, '/');
    buffer_add(&name, o->path, slash ? (size_t)(slash + 1 - o->path) : 0);
    buffer_addf(&name, ".%.200s.XXXXXX%c", slash ? slash + 1 : o->path, 0);
    o->temporary = name.data;
    o->fd = mkostemp(o->temporary, O_CLOEXEC);
    if (o->fd < 0) {
        free(o->temporary);
        o->temporary = NULL;
        return fault_set(why, FAULT_INTERNAL, "cannot write the report %s: %s", o->path,
                         strerror(errno));
    }
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(o->fd, old ? old->st_mode & 0777 : 0666 & ~mask) != 0)
        return fault_set(why, FAULT_INTERNAL, "cannot set the mode of %s: %s", o->temporary,
                         strerror(errno));
    return true;
}

/* Names of what is open already: a rename would replace what they lead to. */
static bool is_descriptor(const char *path)
{
    return strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/dev/fd/", 8) == 0 ||
           strcmp(path, "/dev/stderr") == 0;
}

static bool open_file(struct output *o, const char *path, struct fault *why)
{
    struct stat old;
    bool exists = stat(path, &old) == 0, special = is_descriptor(path);
    /* A link stays one: what it points to is replaced. */
    char *real = exists ? realpath(path, NULL) : NULL;
    o->path = memory_copy_string(real ? real : path);
    free(real);
    if (exists && S_ISDIR(old.st_mode))
        return fault_set(why, FAULT_INTERNAL, "cannot write the report %s: %s", path,
                         strerror(EISDIR));
    if ((exists && S_ISREG(old.st_mode) && !special) || (!exists && !special)) {
        if (exists && access(path, W_OK) != 0) /* a rename would not ask */
            return fault_set(why, FAULT_INTERNAL, "cannot write the report %s: %s", path,
                             strerror(errno));
        return open_beside(o, exists ? &old : NULL, why);
    }
    free(o->path);
    o->path = memory_copy_string(path);
    o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (o->fd < 0)
        return fault_set(why, FAULT_INTERNAL, "cannot write the report %s: %s", path,
                         strerror(errno));
    return true;
}

struct output *output_open(const char *path, enum color_mode mode, struct fault *why)
{
    struct output *o = memory_new(sizeof *o);
    o->fd = -1;
    if (!path || strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0) {
        o->fd = STDOUT_FILENO;
        o->path = memory_copy_string("stdout");
    } else if (!open_file(o, path, why)) {
        output_close(o);
        return NULL;
    }
    o->tty = output_is_terminal(o->fd);
    o->color = color_is_wanted(mode, isatty(o->fd));
    o->width = output_terminal_width(o->fd);
    return o;
}

/* -- Writing ---------------------------------------------------------------- */

static bool fail(struct output *o, const char *what, int error)
{
    o->failed = true;
    buffer_clear(&o->pending);
    o->written = 0;
    return fault_set(&o->why, FAULT_INTERNAL, "cannot %s the report %s: %s", what, o->path,
                     strerror(error));
}

/* Where the bytes leave a terminal's cursor: escapes and continuation bytes take no room. */
static void follow_cursor(struct output *o, const char *data, size_t size)
{
    enum { TEXT, ESCAPE, CSI } state = TEXT;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (state == ESCAPE)
            state = c == '[' ? CSI : TEXT;
        else if (state == CSI)
            state = c >= 0x40 && c <= 0x7e ? TEXT : CSI;
        else if (c == 0x1b)
            state = ESCAPE;
        else if (c == '\n' || c == '\r')
            o->column = 0;
        else if (c >= 0x20 && (c & 0xc0) != 0x80)
            o->column++;
    }
}

void output_write(struct output *o, const char *data, size_t size)
{
    if (o->failed)
        return;
    buffer_add(&o->pending, data, size);
    if (o->pending.size > FLUSH_SIZE && !o->tty && !output_flush(o))
        return; /* it sticks, and the next flush says it */
}

enum waited { WRITABLE, NOT_YET, WAIT_AGAIN };

static enum waited wait_writable(const struct output *o, int ms)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    int n = poll(&p, 1, ms);
    return n > 0 ? WRITABLE : n < 0 && errno == EINTR ? WAIT_AGAIN : NOT_YET;
}

/* What a pipe that says it is writable takes without blocking; a file takes all. */
static size_t chunk_of(const struct output *o, size_t left)
{
    return left > PIPE_BUF && !o->temporary ? PIPE_BUF : left;
}

/* Writes until nothing is left, or nobody takes any for wait_ms; -1: for ever. */
static bool write_out(struct output *o, int wait_ms)
{
    size_t done = o->written;
    enum waited waited = WRITABLE;
    while (done < o->pending.size && (waited = wait_writable(o, wait_ms)) != NOT_YET) {
        if (waited == WAIT_AGAIN)
            continue;
        ssize_t n = write(o->fd, o->pending.data + done, chunk_of(o, o->pending.size - done));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN) /* someone made our stdout non-blocking */
            return fail(o, "write", errno);
    }
    if (o->tty)
        follow_cursor(o, o->pending.data + o->written, done - o->written);
    o->written = done;
    if (done > o->pending.size / 2) { /* seldom enough to stay linear */
        buffer_drop_front(&o->pending, done);
        o->written = 0;
    }
    return true;
}

bool output_flush(struct output *o)
{
    return !o->failed && write_out(o, 0);
}

static bool wait_for_reader(struct output *o)
{
    int wait_ms = o->patience_ns ? (int)((o->patience_ns + NS_PER_MS - 1) / NS_PER_MS) : -1;
    if (o->failed || !write_out(o, wait_ms))
        return false;
    return o->pending.size == 0 || fail(o, "finish", ETIMEDOUT);
}

bool output_commit(struct output *o)
{
    if (!wait_for_reader(o))
        return false;
    if (o->fd == STDOUT_FILENO)
        return true;
    if (o->temporary && fsync(o->fd) != 0)
        return fail(o, "write", errno);
    int fd = o->fd;
    o->fd = -1;
    if (close(fd) != 0)
        return fail(o, "write", errno);
    if (o->temporary) {
        if (rename(o->temporary, o->path) != 0)
            return fail(o, "name", errno);
        free(o->temporary);
        o->temporary = NULL;
    }
    return true;
}

void output_close(struct output *o)
{
    if (!o)
        return;
    if (o->fd >= 0 && o->fd != STDOUT_FILENO)
        close(o->fd);
    if (o->temporary)
        unlink(o->temporary);
    free(o->temporary);
    free(o->path);
    buffer_fini(&o->pending);
    free(o);
}

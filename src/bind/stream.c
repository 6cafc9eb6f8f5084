/* stream.c - see stream.h. */
#include "bind/stream.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bind/fields.h"
#include "loop/reactor.h"
#include "vm/charge.h"
#include "vm/failure.h"

enum { CHUNK = 16 * 1024, MOST_DEFAULT = 1024 * 1024, EXCERPT = 200 };

/* --- a descriptor's own bytes ----------------------------------------------- */

static ssize_t plain_read(struct stream *s, void *data, size_t size)
{
    return recv(s->fd, data, size, 0);
}

static ssize_t plain_write(struct stream *s, const void *data, size_t size)
{
    return send(s->fd, data, size, MSG_NOSIGNAL);
}

static int plain_shutdown(struct stream *s)
{
    return shutdown(s->fd, SHUT_WR);
}

static const struct stream_io plain_io = {plain_read, plain_write, plain_shutdown, NULL};

/* --- what is held ----------------------------------------------------------- */

static bool keep(struct stream *s, struct buffer *b, const char *data, size_t size)
{
    if (!vm_charge(s->vm, size))
        return false;
    s->charged += size;
    buffer_add(b, data, size);
    return true;
}

static void forget(struct stream *s, struct buffer *b, size_t size)
{
    vm_uncharge(s->vm, size);
    s->charged -= size;
    buffer_drop_front(b, size);
    if (b->size == 0)
        buffer_fini(b);
}

static void stream_release(struct op *op)
{
    struct stream *s = (struct stream *)op;
    loop_unwatch(s->watch);
    if (s->io->close)
        s->io->close(s);
    if (s->fd >= 0)
        close(s->fd);
    vm_uncharge(s->vm, s->charged);
    s->charged = 0;
    buffer_fini(&s->in);
    buffer_fini(&s->out);
}

static const struct op_class stream_class = {"tcp connection", stream_release};

/* --- how a wait ends -------------------------------------------------------- */

static void settle(struct stream *s, const struct fault *why)
{
    if (s->watch)
        loop_watch_change(s->watch, 0);
    op_complete(&s->op, why);
}

/* "3 of 10 bytes", "3 bytes without the end of a line" */
static void describe_progress(const struct stream *s, char text[96])
{
    size_t got = s->in.size;
    switch (s->want) {
    case WANT_COUNT: snprintf(text, 96, "%zu of %zu bytes", got, s->most); return;
    case WANT_UNTIL:
        snprintf(text, 96, "%zu bytes without the end of %s", got,
                 strcmp(s->delimiter, "\n") == 0 ? "a line" : "what was asked for");
        return;
    case WANT_SENT: snprintf(text, 96, "%zu bytes left to send", s->out.size); return;
    case WANT_SOME:
    case WANT_ALL: snprintf(text, 96, "%zu bytes", got); return;
    }
}

static const char *phase_of(const struct stream *s)
{
    return s->want == WANT_SENT ? "send" : "receive";
}

static void explain_time(const struct stream *s, char text[48])
{
    double ms = (double)(clock_now_ns() - s->began_ns) / (double)NS_PER_MS;
    snprintf(text, 48, "(%s phase, after %.*f ms)", phase_of(s), ms < 10 ? 1 : 0, ms);
}

static void fail(struct stream *s, enum fault_kind kind, const char *what)
{
    char progress[96], when[48];
    struct fault why;
    describe_progress(s, progress);
    explain_time(s, when);
    fault_set(&why, kind, "tcp %s: %s, %s %s", s->target, what, progress, when);
    settle(s, &why);
}

static void fail_ended(struct stream *s)
{
    char text[96], reason[96];
    if (s->error == 0)
        snprintf(text, sizeof text, "the peer closed the connection");
    else if (s->error == ECONNRESET || s->error == EPIPE)
        snprintf(text, sizeof text, "the peer reset the connection");
    else
        snprintf(text, sizeof text, "%s", dial_error_text(s->error, reason));
    fail(s, s->error == ETIMEDOUT ? FAULT_TIMEOUT : FAULT_CLOSED, text);
}

static void on_timeout(struct timer *timer)
{
    struct op *op = list_entry(timer, struct op, timeout);
    struct stream *s = (struct stream *)op;
    char text[64];
    snprintf(text, sizeof text,
             s->want == WANT_SENT ? "not all sent within %.4g s"
                                  : "no complete answer within %.4g s",
             (double)s->timeout_ns / (double)NS_PER_S);
    fail(s, FAULT_TIMEOUT, text);
}

/* --- receiving ---------------------------------------------------------------- */

static bool find_delimiter(struct stream *s)
{
    size_t overlap = s->delimiter_size - 1u;
    size_t from = s->scanned > overlap ? s->scanned - overlap : 0;
    const char *at = s->in.size > from ? memmem(s->in.data + from, s->in.size - from, s->delimiter,
                                                s->delimiter_size)
                                       : NULL;
    s->scanned = s->in.size;
    if (!at)
        return false;
    s->take = (size_t)(at - s->in.data);
    s->skip = s->delimiter_size;
    return true;
}

/* Is there enough?  Then take and skip say what of it is the answer. */
static bool is_satisfied(struct stream *s)
{
    s->skip = 0;
    s->take = s->in.size < s->most ? s->in.size : s->most;
    switch (s->want) {
    case WANT_SOME: return s->in.size > 0;
    case WANT_COUNT: return s->in.size >= s->most;
    case WANT_UNTIL: return find_delimiter(s);
    case WANT_ALL: return s->ended && s->error == 0;
    case WANT_SENT: break;
    }
    return false;
}

static bool is_too_much(const struct stream *s)
{
    bool bounded = s->want == WANT_ALL || s->want == WANT_UNTIL;
    size_t size = s->want == WANT_UNTIL && s->skip ? s->take : s->in.size;
    return bounded && size > s->most;
}

/* True while there is no end in sight and nothing to read. */
static bool read_more(struct stream *s)
{
    char chunk[CHUNK];
    ssize_t size = s->io->read(s, chunk, sizeof chunk);
    if (size > 0 && !keep(s, &s->in, chunk, (size_t)size)) {
        fail(s, FAULT_LIMIT, "what came does not fit into the sandbox's memory (--memory-limit)");
        return false;
    }
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (size <= 0 && !(size < 0 && errno == EINTR)) {
        s->ended = true;
        s->error = size < 0 ? errno : 0;
    }
    return false;
}

/* Goes on until the answer is there, the stream has failed, or the peer must be
 * waited for: true in that case. */
static bool receive_on(struct stream *s)
{
    while (!s->op.done) {
        bool enough = is_satisfied(s);
        if (is_too_much(s)) {
            char text[64];
            snprintf(text, sizeof text, "more than %zu bytes (see max)", s->most);
            fail(s, FAULT_LIMIT, text);
        } else if (enough) {
            settle(s, NULL);
        } else if (s->ended) {
            fail_ended(s);
        } else if (read_more(s)) {
            return true;
        }
    }
    return false;
}

/* --- sending -------------------------------------------------------------------- */

/* As receive_on. */
static bool send_on(struct stream *s)
{
    while (s->out.size > 0 && !s->op.done) {
        ssize_t size = s->io->write(s, s->out.data, s->out.size);
        if (size > 0)
            forget(s, &s->out, (size_t)size);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return true;
        else if (errno != EINTR) {
            s->error = errno;
            fail_ended(s);
        }
    }
    settle(s, NULL);
    return false;
}

static void on_ready(void *owner, int status, int events)
{
    (void)status, (void)events; /* read and write tell better */
    struct stream *s = owner;
    if (s->op.done)
        settle(s, NULL); /* nobody waits any more: look away */
    else if (s->want == WANT_SENT)
        send_on(s);
    else
        receive_on(s);
}

/* --- from Lua --------------------------------------------------------------------- */

static struct stream *check_stream(lua_State *L)
{
    struct stream *s = op_check(L, 1, &stream_class);
    if (!s->op.open)
        luaL_error(L, "tcp %s: the connection was closed by this check", s->target);
    if (s->op.waiter)
        luaL_error(L, "tcp %s: another function of this check is using the connection", s->target);
    return s;
}

static int raise_fault(lua_State *L, struct stream *s)
{
    failure_push(L, &s->op.fault);
    lua_pushstring(L, s->target);
    lua_setfield(L, -2, "target");
    lua_pushstring(L, phase_of(s));
    lua_setfield(L, -2, "phase");
    if (s->in.size) {
        lua_pushlstring(L, s->in.data, s->in.size < EXCERPT ? s->in.size : EXCERPT);
        lua_setfield(L, -2, "actual");
    }
    return lua_error(L);
}

static int k_receive(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct stream *s = lua_touserdata(L, 1);
    if (s->op.fault.kind != FAULT_NONE)
        return raise_fault(L, s);
    size_t size = s->take;
    if (s->want == WANT_UNTIL && strcmp(s->delimiter, "\n") == 0 && size > 0 &&
        s->in.data[size - 1] == '\r')
        size--;
    lua_pushlstring(L, s->in.data ? s->in.data : "", size);
    forget(s, &s->in, s->take + s->skip);
    return 1;
}

static int k_send(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    struct stream *s = lua_touserdata(L, 1);
    if (s->op.fault.kind != FAULT_NONE)
        return raise_fault(L, s);
    lua_pushinteger(L, (lua_Integer)context);
    return 1;
}

static void begin(struct stream *s, enum stream_want want, uint64_t timeout_ns)
{
    op_begin(&s->op);
    s->want = want;
    s->scanned = 0;
    s->timeout_ns = timeout_ns;
    s->began_ns = clock_now_ns();
}

static int wait_for(lua_State *L, struct stream *s, int events, lua_KContext context,
                    lua_KFunction k)
{
    loop_watch_change(s->watch, events);
    s->op.timeout.on_due = on_timeout;
    loop_timer_arm(&s->op.reactor->loop, &s->op.timeout, s->began_ns + s->timeout_ns);
    return op_await(L, &s->op, context, k);
}

static uint64_t check_timeout(lua_State *L, int index, const struct stream *s)
{
    uint64_t ns = s->usual_timeout_ns;
    if (lua_isnoneornil(L, index))
        return ns;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, "timeout");
    bool good =
        lua_isnil(L, -1) ||
        (lua_type(L, -1) == LUA_TNUMBER && duration_from_seconds(lua_tonumber(L, -1), &ns)) ||
        (lua_type(L, -1) == LUA_TSTRING && duration_parse(lua_tostring(L, -1), &ns));
    luaL_argcheck(L, good && ns > 0, index, "timeout must be a duration above zero");
    lua_pop(L, 1);
    return ns;
}

static size_t check_most(lua_State *L, int index)
{
    lua_Integer most = MOST_DEFAULT;
    if (lua_isnoneornil(L, index))
        return MOST_DEFAULT;
    luaL_checktype(L, index, LUA_TTABLE);
    if (lua_getfield(L, index, "max") != LUA_TNIL) {
        int is_integer;
        most = lua_tointegerx(L, -1, &is_integer);
        luaL_argcheck(L, is_integer && most > 0 && most <= 1 << 30, index,
                      "max must be a number of bytes from 1 to 1 GB");
    }
    lua_pop(L, 1);
    return (size_t)most;
}

static void set_delimiter(struct stream *s, const char *text, size_t size)
{
    memset(s->delimiter, 0, sizeof s->delimiter);
    memcpy(s->delimiter, text, size);
    s->delimiter_size = (unsigned char)size;
}

static int receive(lua_State *L, struct stream *s, enum stream_want want, size_t most,
                   uint64_t timeout_ns)
{
    s->most = most;
    begin(s, want, timeout_ns);
    if (!receive_on(s))
        return k_receive(L, LUA_OK, 0);
    return wait_for(L, s, LOOP_READ, 0, k_receive);
}

/*** Waits for bytes of the peer.
 * What it raises has what had come so far as `actual`; after a timeout they are not lost, the next
 * call goes on from there.
 * @function connection:receive
 * @param [what] integer|string so many bytes; "line" (without its end, LF or CRLF); "all" (until
 *   the peer closes); "some" (what has come, at least one byte), which is the default
 * @param [options] table see below
 * @param options.timeout duration for all of it; that of the connection
 * @param options.max integer bytes at the most, for "line", "all" and "some"; 1 MB
 * @return string the bytes
 * @raise timeout when it is not complete in time
 * @raise closed when the peer closed or reset the connection before it was complete
 * @raise limit when it is longer than max
 * @usage
 * local banner = conn:receive("line", { timeout = 1 })
 */
static int l_receive(lua_State *L)
{
    static const char *const words[] = {"some", "line", "all", NULL};
    struct stream *s = check_stream(L);
    uint64_t timeout_ns = check_timeout(L, 3, s);
    size_t most = check_most(L, 3);
    if (lua_type(L, 2) == LUA_TNUMBER) {
        lua_Integer count = luaL_checkinteger(L, 2);
        luaL_argcheck(L, count > 0 && count <= 1 << 30, 2, "from 1 byte to 1 GB");
        lua_settop(L, 1);
        return receive(L, s, WANT_COUNT, (size_t)count, timeout_ns);
    }
    static const enum stream_want wants[] = {WANT_SOME, WANT_UNTIL, WANT_ALL};
    enum stream_want want = wants[luaL_checkoption(L, 2, "some", words)];
    if (want == WANT_UNTIL)
        set_delimiter(s, "\n", 1);
    lua_settop(L, 1);
    return receive(L, s, want, most, timeout_ns);
}

/*** Waits for all bytes up to a delimiter, which is read but not returned.
 * @function connection:receive_until
 * @param delimiter string 1 to 64 bytes, taken as they are
 * @param [options] table timeout and max as for receive
 * @return string the bytes before it
 * @raise timeout when it has not come in time
 * @raise closed when the peer closed or reset the connection before it
 * @raise limit when more than max bytes came without it
 * @usage
 * local head = conn:receive_until("\r\n\r\n")
 */
static int l_receive_until(lua_State *L)
{
    struct stream *s = check_stream(L);
    size_t size;
    const char *delimiter = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, size > 0 && size <= STREAM_DELIMITER_MAX, 2, "from 1 to 64 bytes");
    uint64_t timeout_ns = check_timeout(L, 3, s);
    size_t most = check_most(L, 3);
    set_delimiter(s, delimiter, size);
    return receive(L, s, WANT_UNTIL, most, timeout_ns);
}

/*** Sends bytes, and waits until the kernel has taken all of them.
 * @function connection:send
 * @param data string what to send
 * @param [options] table timeout: a duration for all of it; that of the connection
 * @return integer how many bytes that were
 * @raise timeout when the peer does not take them in time
 * @raise closed when the peer has closed or reset the connection
 * @usage
 * conn:send("PING\r\n")
 */
static int l_send(lua_State *L)
{
    struct stream *s = check_stream(L);
    size_t size;
    const char *data = luaL_checklstring(L, 2, &size);
    begin(s, WANT_SENT, check_timeout(L, 3, s));
    ssize_t sent = 0;
    if (s->out.size == 0 && size > 0)
        sent = s->io->write(s, data, size);
    size_t rest = size - (sent > 0 ? (size_t)sent : 0);
    if (!keep(s, &s->out, data + (size - rest), rest))
        fail(s, FAULT_LIMIT, "the data does not fit into the sandbox's memory (--memory-limit)");
    if (!send_on(s))
        return k_send(L, LUA_OK, (lua_KContext)size);
    return wait_for(L, s, LOOP_WRITE, (lua_KContext)size, k_send);
}

/*** Tells the peer that no more will be sent; receiving goes on.
 * @function connection:shutdown
 * @raise closed when the connection is gone
 * @usage
 * conn:shutdown()
 * local rest = conn:receive("all")
 */
static int l_shutdown(lua_State *L)
{
    struct stream *s = check_stream(L);
    begin(s, WANT_SENT, 0);
    if (s->io->shutdown(s) == 0) {
        settle(s, NULL);
        return 0;
    }
    s->error = errno == ENOTCONN ? 0 : errno;
    fail_ended(s);
    return raise_fault(L, s);
}

/*** Closes the connection; harmless when it is closed. The end of the check does it too, and so
 * does leaving the block of a `local conn <close>`.
 * @function connection:close
 * @usage
 * conn:close()
 */
static int l_close(lua_State *L)
{
    op_close(op_check(L, 1, &stream_class));
    return 0;
}

/*** What is known of the connection.
 * @function connection:info
 * @return table remote_ip (nil for a Unix socket), port, family (4, 6 or "unix") and timings: dns,
 *   connect and total, in seconds
 * @usage
 * log(conn:info().remote_ip)
 */
static int l_info(lua_State *L)
{
    struct stream *s = op_check(L, 1, &stream_class);
    char text[64];
    lua_createtable(L, 0, 4);
    if (s->facts.remote.any.sa_family == AF_UNIX) {
        lua_pushliteral(L, "unix");
    } else {
        lua_pushstring(L, dns_format_address(&s->facts.remote.any, text));
        lua_setfield(L, -2, "remote_ip");
        lua_pushinteger(L, s->port);
        lua_setfield(L, -2, "port");
        lua_pushinteger(L, s->facts.remote.any.sa_family == AF_INET6 ? 6 : 4);
    }
    lua_setfield(L, -2, "family");
    lua_createtable(L, 0, 3);
    field_seconds(L, "dns", s->facts.dns_ns);
    field_seconds(L, "connect", s->facts.connect_ns);
    field_seconds(L, "total", s->facts.total_ns);
    lua_setfield(L, -2, "timings");
    return 1;
}

struct stream *stream_push(lua_State *L, struct dial *dial, const char *target, uint16_t port,
                           uint64_t usual_timeout_ns)
{
    static const luaL_Reg methods[] = {
        {"send", l_send},
        {"receive", l_receive},
        {"close", l_close},
        {"receive_until", l_receive_until},
        {"shutdown", l_shutdown},
        {"info", l_info},
        {NULL, NULL},
    };
    size_t length = strlen(target);
    struct stream *s = op_new_object(L, sizeof *s + length + 1, &stream_class, methods);
    s->io = &plain_io;
    s->fd = dial_take_fd(dial);
    s->vm = vm_of(L);
    s->port = port;
    s->usual_timeout_ns = usual_timeout_ns;
    s->facts = *dial_result(dial);
    memcpy(s->target, target, length + 1);
    op_complete(&s->op, NULL);
    s->watch = loop_watch(&s->op.reactor->loop, s->fd, 0, on_ready, s);
    if (s->watch)
        return s;
    op_close(&s->op);
    luaL_error(L, "tcp %s: the connection cannot be watched", target);
    return NULL;
}

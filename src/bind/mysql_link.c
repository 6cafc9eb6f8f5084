/* mysql_link.c - see mysql_link.h. */
#include "bind/mysql_link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/clock.h"

enum {
    LOGIN_BYTES = 1024 * 1024, /* what a login may bring: a certificate and some words */
    COROUTINE_STACK = 128 * 1024,
    SERVER_LOST = 2013,
    GREETING_TLS = 0x0800, /* CLIENT_SSL, in the lower half of the server's capabilities */
};

/* Plugins that do no more than what they are called: `dialog` would ask a person at the
 * terminal, `auth_gssapi` the network.  The clear text of a password goes to nobody whose
 * certificate was not verified. */
static const char plugins[] = "mysql_native_password,client_ed25519,caching_sha2_password,"
                              "sha256_password,parsec";
static const char plugins_verified[] = "mysql_native_password,client_ed25519,"
                                       "caching_sha2_password,sha256_password,parsec,"
                                       "mysql_clear_password";

/* Whose calls block on this thread; NULL on the loop. */
static _Thread_local struct mysql_link *blocking;

const char *mysql_phase_name(enum mysql_phase phase)
{
    static const char *const names[] = {"connect", "tls", "login"};
    return names[phase];
}

static void enter_phase(struct mysql_link *link, enum mysql_phase phase)
{
    uint64_t now_ns = clock_now_ns();
    if (link->phase_ns)
        link->spent_ns[link->phase] += now_ns - link->phase_ns;
    link->phase_ns = now_ns;
    link->phase = phase;
}

/* --- what the library tells ------------------------------------------------------ */

static int milliseconds_until(uint64_t until_ns)
{
    uint64_t now_ns = clock_now_ns();
    if (until_ns <= now_ns)
        return 0;
    uint64_t ms = (until_ns - now_ns) / NS_PER_MS + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* The library would tell another errno than the one that the connection failed with. */
static bool is_connected(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0)
        return true;
    errno = error;
    return false;
}

/* For MARIADB_OPT_IO_WAIT: above 0 when it is ready. */
static int wait_io(my_socket fd, my_bool is_read, int timeout)
{
    (void)timeout;
    struct mysql_link *link = blocking;
    errno = ETIMEDOUT;
    if (!link)
        return 0;
    if (is_read && link->phase == MYSQL_CONNECT)
        enter_phase(link, MYSQL_LOGIN);
    bool connecting = link->phase == MYSQL_CONNECT && link->connect_until_ns;
    struct pollfd fds[2] = {{.fd = fd, .events = is_read ? POLLIN : POLLOUT},
                            {.fd = link->interrupt, .events = POLLIN}};
    int ready;
    do
        ready = poll(fds, 2, connecting ? milliseconds_until(link->connect_until_ns) : -1);
    while (ready < 0 && errno == EINTR);
    link->late |= ready == 0;
    errno = ETIMEDOUT;
    return ready > 0 && !fds[1].revents && (link->phase != MYSQL_CONNECT || is_connected(fd));
}

/* The server's first packet: header, protocol 10, version, \0, thread (4), scramble (8), \0,
 * capabilities. */
static bool offers_tls(const unsigned char *data, size_t size)
{
    if (size < 5 || data[4] != 10)
        return true; /* the library says what is wrong */
    const unsigned char *end = memchr(data + 5, '\0', size - 5);
    size_t at = end ? (size_t)(end - data) + 1 + 4 + 8 + 1 : size;
    return at + 2 > size || (data[at] | data[at + 1] << 8) & GREETING_TLS;
}

static bool needs_tls(const struct mysql_link *link)
{
    return link->address[0] && link->target->tls >= MYSQL_TLS_REQUIRED;
}

static void on_greeting(struct mysql_link *link, const unsigned char *data, size_t size)
{
    link->greeted = true;
    if (link->phase == MYSQL_CONNECT)
        enter_phase(link, MYSQL_LOGIN);
    link->alien = size > 4 && (data[2] || (data[4] != 9 && data[4] != 10 && data[4] != 255));
    link->tls_missing = !link->alien && needs_tls(link) && !offers_tls(data, size);
    if (link->tls_missing || link->alien)
        mysql_link_cut(link);
}

static void on_read(struct mysql_link *link, const unsigned char *data, size_t length)
{
    if (!link->greeted)
        on_greeting(link, data, length);
    if (length > link->allowance) {
        link->flooded = true;
        mysql_link_cut(link);
        link->allowance = 0;
    } else {
        link->allowance -= length;
    }
}

/* Our first word, and my->host is known: TLS begins, or the login. */
static void on_first_write(struct mysql_link *link)
{
    MYSQL *my = &link->my;
    link->spoke = true;
    bool tls = my->options.use_ssl && (my->server_capabilities & CLIENT_SSL);
    if (needs_tls(link) && !tls) {
        link->tls_missing = true;
        mysql_link_cut(link);
    }
    if (link->target->tls == MYSQL_TLS_VERIFY_IDENTITY && my->host) {
        free(my->host); /* the library's, by strdup; it compares the certificate with it */
        my->host = memory_copy_string(link->target->host);
    }
    enter_phase(link, tls ? MYSQL_TLS : MYSQL_LOGIN);
}

void mysql_link_on_bytes(int mode, MYSQL *my, const unsigned char *data, size_t length)
{
    struct mysql_link *link = (struct mysql_link *)my;
    if ((ssize_t)length <= 0)
        return;
    if (mode == 0)
        on_read(link, data, length);
    else if (!link->spoke)
        on_first_write(link);
    else if (link->phase == MYSQL_TLS)
        enter_phase(link, MYSQL_LOGIN);
}

/* --- opening --------------------------------------------------------------------- */

struct mysql_link *mysql_link_new(struct mysql_api *api, struct mysql_target *target,
                                  const char *address, const char *program, int interrupt)
{
    struct mysql_link *link = memory_new(sizeof *link);
    link->api = mysql_api_share(api);
    link->target = mysql_target_share(target);
    link->interrupt = interrupt;
    snprintf(link->address, sizeof link->address, "%s", address);
    snprintf(link->program, sizeof link->program, "%s", program);
    return link;
}

static void set_tls(struct mysql_link *link)
{
    static const char system_path[] = "/etc/ssl/certs";
    const struct mysql_target *t = link->target;
    __typeof__(mysql_optionsv) *set = link->api->mysql_optionsv;
    MYSQL *my = &link->my;
    bool verified = link->address[0] && t->tls >= MYSQL_TLS_VERIFY_CA;
    my_bool wanted = link->address[0] && t->tls != MYSQL_TLS_DISABLED &&
                     !(link->plain && t->tls == MYSQL_TLS_PREFERRED);
    my_bool identity = link->address[0] && t->tls == MYSQL_TLS_VERIFY_IDENTITY;
    set(my, MYSQL_OPT_SSL_ENFORCE, &wanted);
    set(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &identity);
    set(my, MARIADB_OPT_RESTRICTED_AUTH, verified ? plugins_verified : plugins);
    if (!wanted)
        return;
    if (t->ca)
        set(my, MYSQL_OPT_SSL_CA, t->ca);
    if (t->capath)
        set(my, MYSQL_OPT_SSL_CAPATH, t->capath);
    if (verified && !t->ca && !t->capath) {
        const char *file = getenv("SSL_CERT_FILE"); /* the operator's, as it is to OpenSSL */
        bool said = file && *file;
        set(my, said ? MYSQL_OPT_SSL_CA : MYSQL_OPT_SSL_CAPATH, said ? file : system_path);
    }
    if (t->cert)
        set(my, MYSQL_OPT_SSL_CERT, t->cert);
    if (t->key)
        set(my, MYSQL_OPT_SSL_KEY, t->key);
}

static void set_options(struct mysql_link *link)
{
    __typeof__(mysql_optionsv) *set = link->api->mysql_optionsv;
    MYSQL *my = &link->my;
    unsigned none = 0, hour = 3600; /* wait_io decides; without any it would not wait at all */
    unsigned long packet = LOGIN_BYTES;
    set(my, MYSQL_OPT_CONNECT_TIMEOUT, &hour);
    set(my, MARIADB_OPT_IO_WAIT, wait_io);
    set(my, MYSQL_OPT_LOCAL_INFILE, &none);
    set(my, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    set(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    set(my, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", link->program);
    set_tls(link);
}

static bool explain(struct mysql_link *link, struct db_fault *why)
{
    unsigned number = link->api->mysql_errno(&link->my);
    if (number == SERVER_LOST && link->phase == MYSQL_CONNECT)
        enter_phase(link, MYSQL_LOGIN); /* there was one */
    const char *phase = mysql_phase_name(link->phase);
    char text[MYSQL_ERRMSG_SIZE];
    if (link->tls_missing) {
        *why = (struct db_fault){.phase = "tls", .closed = true};
        return fault_set(&why->why, FAULT_TLS,
                         "the server offers no TLS, and ssl-mode asks for it");
    }
    if (link->alien) {
        *why = (struct db_fault){.phase = phase, .closed = true};
        return fault_set(&why->why, FAULT_PROTOCOL,
                         "what answers there does not speak MySQL's protocol");
    }
    if (link->flooded) {
        *why = (struct db_fault){.phase = phase, .closed = true};
        return fault_set(&why->why, FAULT_PROTOCOL,
                         "the server does not stop sending at the login");
    }
    if (link->late) {
        *why = (struct db_fault){.phase = phase, .closed = true, .elsewhere = true};
        return fault_set(&why->why, FAULT_TIMEOUT, "no connection in its share of the time");
    }
    snprintf(text, sizeof text, "%s", link->api->mysql_error(&link->my));
    mysql_target_redact(link->target, text, sizeof text);
    mysql_fault_of_login(why, number, link->api->mysql_sqlstate(&link->my), text, phase);
    return false;
}

bool mysql_link_open(struct mysql_link *link, struct db_fault *why)
{
    const struct mysql_api *api = link->api;
    const struct mysql_target *t = link->target;
    const char *database = t->database[0] ? t->database : NULL;
    if (!api->mysql_init(&link->my)) {
        *why = (struct db_fault){.phase = "connect", .closed = true};
        return fault_set(&why->why, FAULT_INTERNAL, "libmariadb has no memory for a connection");
    }
    set_options(link);
    enter_phase(link, MYSQL_CONNECT);
    link->allowance = LOGIN_BYTES;
    blocking = link;
    bool open = link->address[0] ? api->mysql_real_connect(&link->my, link->address, t->user,
                                                           t->password, database, t->port, NULL, 0)
                                 : api->mysql_real_connect(&link->my, NULL, t->user, t->password,
                                                           database, 0, t->socket, 0);
    if (open && needs_tls(link) && !mysql_link_is_encrypted(link)) {
        link->tls_missing = true;
        open = false;
    }
    if (!open)
        (void)explain(link, why);
    blocking = NULL;
    return open;
}

bool mysql_link_ask(struct mysql_link *link, const char *sql, char room[2][64],
                    struct db_fault *why)
{
    const struct mysql_api *api = link->api;
    MYSQL_RES *result = NULL;
    MYSQL_ROW row;
    blocking = link;
    link->allowance = LOGIN_BYTES;
    bool done = api->mysql_real_query(&link->my, sql, strlen(sql)) == 0;
    if (done && api->mysql_field_count(&link->my)) {
        result = api->mysql_store_result(&link->my);
        done = result;
    }
    if (done && room) {
        room[0][0] = room[1][0] = '\0';
        row = result ? api->mysql_fetch_row(result) : NULL;
        for (unsigned i = 0; row && i < 2 && i < api->mysql_num_fields(result); i++)
            snprintf(room[i], 64, "%s", row[i] ? row[i] : "");
    }
    if (!done)
        (void)explain(link, why);
    api->mysql_free_result(result);
    blocking = NULL;
    return done;
}

bool mysql_link_detach(struct mysql_link *link)
{
    int fd = link->api->mysql_get_socket(&link->my);
    size_t stack = COROUTINE_STACK;
    enter_phase(link, MYSQL_LOGIN);
    link->interrupt = -1;
    link->detached = link->api->mysql_optionsv(&link->my, MYSQL_OPT_NONBLOCK, &stack) == 0 &&
                     fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0;
    return link->detached;
}

/* --- and after ------------------------------------------------------------------- */

void mysql_link_cut(struct mysql_link *link)
{
    if (link->my.net.pvio)
        shutdown(link->api->mysql_get_socket(&link->my), SHUT_RDWR);
}

bool mysql_link_is_encrypted(struct mysql_link *link)
{
    return link->api->mysql_get_ssl_cipher(&link->my);
}

/* It says goodbye if there is room for one word. */
static void close_without_waiting(struct mysql_link *link)
{
    int wanted = link->api->mysql_close_start(&link->my);
    if (wanted)
        mysql_link_cut(link);
    while (wanted)
        wanted = link->api->mysql_close_cont(&link->my, MYSQL_WAIT_TIMEOUT);
}

void mysql_link_free(struct mysql_link *link)
{
    if (!link)
        return;
    if (link->detached)
        close_without_waiting(link);
    else if (link->my.methods) /* mysql_init was called */
        link->api->mysql_close(&link->my);
    mysql_target_drop(link->target);
    mysql_api_drop(link->api);
    free(link);
}

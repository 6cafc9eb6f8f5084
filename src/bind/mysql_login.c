/* mysql_login.c - see mysql_login.h. */
#include "bind/mysql_login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/policy.h"
#include "bind/dns.h"
#include "loop/errand.h"
#include "loop/reactor.h"

static const uint64_t share_min_ns = 100 * NS_PER_MS;

/* One address being tried: the thread's while it is out. */
struct attempt {
    struct errand errand;
    struct mysql_link *link; /* owned */
    int interrupt;           /* owned */
    bool write, open;
    uint64_t statement_timeout_ns, lock_timeout_ns, idle_timeout_ns;
    struct db_fault fault;
    struct mysql_login *login; /* the loop's; NULL: nobody waits for it any more */
};

struct mysql_login {
    struct reactor *reactor;
    struct mysql_api *api;
    struct mysql_login_options options; /* its strings are these: */
    char *target_text, *application_name;
    mysql_login_done_fn *on_done;
    void *owner;
    struct db_login_result result;
    struct mysql_target *target;

    unsigned address, count;
    union dns_address addresses[DNS_ADDRESSES_MAX];
    struct dns_query query;
    struct timer deadline;
    struct pg_turn turn;     /* with the server, until the session ends */
    struct attempt *attempt; /* NULL unless one is out */
    struct mysql_link *link; /* owned; logged in */

    const char *phase; /* when no attempt is out */
    uint64_t began_ns, queued_since_ns;
    bool done, denied; /* denied: some address was left out by the policy */
    unsigned attempts;
    struct buffer reasons; /* one an address */
    struct db_fault worst;
};

static void next_address(struct mysql_login *login);

/* --- on the thread --------------------------------------------------------------- */

/* Seconds as the server takes them: whole ones, at least one. */
static unsigned long long whole_seconds(uint64_t ns)
{
    unsigned long long seconds = (ns + NS_PER_S - 1) / NS_PER_S;
    return seconds < 1 ? 1 : seconds < 31536000 ? seconds : 31536000;
}

static void write_settings(const struct attempt *a, bool is_mariadb, char *text, size_t size)
{
    unsigned long long ms = a->statement_timeout_ns / NS_PER_MS;
    unsigned long long lock = whole_seconds(a->lock_timeout_ns);
    unsigned long long idle = whole_seconds(a->idle_timeout_ns);
    ms = ms < 1 ? 1 : ms < 31536000000 ? ms : 31536000000;
    int used = snprintf(text, size,
                        "SET SESSION lock_wait_timeout=%llu, innodb_lock_wait_timeout=%llu, "
                        "wait_timeout=%llu, time_zone='+00:00', autocommit=1, "
                        "sql_mode=concat(@@sql_mode, ',STRICT_ALL_TABLES'), ",
                        lock, lock, idle);
    if (is_mariadb)
        snprintf(text + used, size - (size_t)used,
                 "max_statement_time=%llu.%03llu, idle_transaction_timeout=%llu", ms / 1000,
                 ms % 1000, idle);
    else
        snprintf(text + used, size - (size_t)used, "max_execution_time=%llu", ms);
}

/* The variable has two names, and each server one or both. */
static bool verify_read_only(struct attempt *a)
{
    char row[2][64];
    if (!mysql_link_ask(a->link, "SET SESSION TRANSACTION READ ONLY", NULL, &a->fault) ||
        !mysql_link_ask(a->link,
                        "SHOW SESSION VARIABLES WHERE variable_name IN ('tx_read_only', "
                        "'transaction_read_only')",
                        row, &a->fault))
        return false;
    if (strcmp(row[1], "ON") == 0 || strcmp(row[1], "1") == 0)
        return true;
    a->fault = (struct db_fault){.phase = "login", .closed = true};
    return fault_set(&a->fault.why, FAULT_PROTOCOL,
                     "the session was to be read-only and is not: does a proxy stand in between? "
                     "Name the server itself");
}

static bool prepare_session(struct attempt *a)
{
    char settings[512];
    bool is_mariadb = a->link->api->mariadb_connection(&a->link->my);
    write_settings(a, is_mariadb, settings, sizeof settings);
    return mysql_link_ask(a->link, settings, NULL, &a->fault) && (a->write || verify_read_only(a));
}

static void run_attempt(struct errand *errand)
{
    struct attempt *a = (struct attempt *)errand;
    a->open = mysql_link_open(a->link, &a->fault) && prepare_session(a);
    if (a->open && !mysql_link_detach(a->link)) {
        a->open = false;
        a->fault = (struct db_fault){.phase = "login", .closed = true};
        fault_set(&a->fault.why, FAULT_INTERNAL, "libmariadb cannot work without blocking");
    }
}

static void drop_attempt(struct errand *errand)
{
    struct attempt *a = (struct attempt *)errand;
    mysql_link_free(a->link);
    close(a->interrupt);
    free(a);
}

/* --- how it ends ----------------------------------------------------------------- */

static void leave_attempt(struct mysql_login *login)
{
    struct attempt *a = login->attempt;
    uint64_t one = 1;
    login->attempt = NULL;
    pg_turn_leave(&login->turn);
    if (!a)
        return;
    a->login = NULL;
    if (errand_withdraw(&a->errand))
        drop_attempt(&a->errand);
    else
        (void)!write(a->interrupt, &one, sizeof one);
}

static void finish(struct mysql_login *login, const struct db_fault *why)
{
    if (login->done)
        return;
    login->done = true;
    login->result.total_ns = clock_now_ns() - login->began_ns - login->result.queued_ns;
    loop_timer_disarm(&login->reactor->loop, &login->deadline);
    dns_cancel(login->reactor, &login->query);
    if (why)
        leave_attempt(login);
    login->on_done(login->owner, why);
}

static void fail(struct mysql_login *login, enum fault_kind kind, const char *reason)
{
    struct db_fault why = {.phase = login->phase, .closed = true};
    fault_set(&why.why, kind, "%s", reason);
    finish(login, &why);
}

/* "10.0.0.1: connection refused, 10.0.0.2: no route to host" when there were several; the
 * address of the one, unless the author wrote it himself. */
static void fail_for_good(struct mysql_login *login)
{
    struct db_fault why = login->worst;
    size_t length = strlen(why.why.message);
    if (login->denied && why.why.kind == FAULT_NONE)
        why.phase = "policy";
    if (login->denied)
        why.why.kind = FAULT_DENIED;
    why.closed = true;
    if (login->attempts + login->denied > 1)
        fault_set(&why.why, why.why.kind, "%.*s", (int)login->reasons.size, login->reasons.data);
    else if (strcmp(why.phase, "connect") == 0 && !login->target->socket &&
             strcmp(login->target->host, login->result.remote) != 0)
        snprintf(why.why.message + length, sizeof why.why.message - length, " (%s)",
                 login->result.remote);
    finish(login, &why);
}

static void note_reason(struct mysql_login *login, const char *where, const char *reason)
{
    buffer_addf(&login->reasons, "%s%s: %s", login->reasons.size ? ", " : "", where, reason);
}

static void attempt_failed(struct mysql_login *login, const struct db_fault *fault)
{
    pg_turn_leave(&login->turn);
    bool first = login->attempts++ == 0;
    note_reason(login, login->result.remote, fault->why.message);
    if (first || fault_is_ours(login->worst.why.kind) || !fault->elsewhere)
        login->worst = *fault;
    if (fault->elsewhere) {
        login->address++;
        next_address(login);
        return;
    }
    login->attempts = 1; /* what the others said is of no interest */
    login->denied = false;
    fail_for_good(login);
}

static const char *phase_of(const struct mysql_login *login)
{
    return login->attempt ? mysql_phase_name(login->attempt->link->phase) : login->phase;
}

static void on_deadline(struct timer *timer)
{
    struct mysql_login *login = list_entry(timer, struct mysql_login, deadline);
    char reason[100];
    login->phase = phase_of(login);
    enum fault_kind kind = db_silence(login->phase, login->options.timeout_ns, reason);
    if (kind != FAULT_NONE)
        fail(login, kind, reason);
}

/* --- an attempt ------------------------------------------------------------------ */

static void on_attempt_done(struct errand *errand)
{
    struct attempt *a = (struct attempt *)errand;
    struct mysql_login *login = a->login;
    struct db_fault fault = a->fault;
    if (!login) {
        drop_attempt(errand);
        return;
    }
    login->attempt = NULL;
    login->result.connect_ns += a->link->spent_ns[MYSQL_CONNECT];
    login->result.tls_ns += a->link->spent_ns[MYSQL_TLS];
    login->result.login_ns += a->link->spent_ns[MYSQL_LOGIN];
    if (errand->refused) {
        fault = (struct db_fault){.phase = "connect", .closed = true};
        fault_set(&fault.why, FAULT_INTERNAL, "no thread can be had for the login");
    }
    if (a->open) {
        login->link = a->link;
        a->link = NULL;
    }
    bool open = a->open;
    drop_attempt(errand);
    if (open)
        finish(login, NULL);
    else
        attempt_failed(login, &fault);
}

/* What one address may take while there are others: its part of what is left. */
static uint64_t share_until(const struct mysql_login *login)
{
    unsigned left = login->count - login->address;
    uint64_t now_ns = clock_now_ns();
    uint64_t rest_ns = login->deadline.at_ns > now_ns ? login->deadline.at_ns - now_ns : 0;
    if (left <= 1)
        return 0;
    return now_ns + (rest_ns / left > share_min_ns ? rest_ns / left : share_min_ns);
}

static void send_attempt(struct mysql_login *login)
{
    const char *address = login->target->socket ? "" : login->result.remote;
    int interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (interrupt < 0) {
        fail(login, FAULT_INTERNAL, "no descriptor is left for the login");
        return;
    }
    struct attempt *a = memory_new(sizeof *a);
    a->errand = (struct errand){.run = run_attempt, .done = on_attempt_done, .drop = drop_attempt};
    a->interrupt = interrupt;
    a->link = mysql_link_new(login->api, login->target, address, login->options.application_name,
                             interrupt);
    a->link->connect_until_ns = share_until(login);
    a->write = login->options.write;
    a->statement_timeout_ns = login->options.statement_timeout_ns;
    a->lock_timeout_ns = login->options.lock_timeout_ns;
    a->idle_timeout_ns = login->options.idle_timeout_ns;
    a->login = login;
    login->attempt = a;
    errand_start(mysql_logins(login->reactor), &a->errand);
}

/* The time that it waited for its turn is nobody's fault. */
static void on_turn(struct pg_turn *turn)
{
    struct mysql_login *login = list_entry(turn, struct mysql_login, turn);
    login->result.queued_ns += clock_now_ns() - login->queued_since_ns;
    loop_timer_arm(&login->reactor->loop, &login->deadline,
                   login->began_ns + login->result.queued_ns + login->options.timeout_ns);
    send_attempt(login);
}

static void start_attempt(struct mysql_login *login)
{
    const struct mysql_target *t = login->target;
    char address[64], name[128];
    login->phase = "connect";
    snprintf(login->result.remote, sizeof login->result.remote, "%s",
             t->socket ? t->socket
                       : dns_format_address(&login->addresses[login->address].any, address));
    snprintf(name, sizeof name, "%s:%u", login->result.remote, t->socket ? 0U : (unsigned)t->port);
    login->turn = (struct pg_turn){.on_turn = on_turn};
    if (pg_turn_ask(mysql_lines(login->reactor), &login->turn, name)) {
        send_attempt(login);
        return;
    }
    login->queued_since_ns = clock_now_ns();
    loop_timer_disarm(&login->reactor->loop, &login->deadline);
}

/* --- addresses ------------------------------------------------------------------- */

static void deny_address(struct mysql_login *login, const struct sockaddr *address,
                         const char *where)
{
    char reason[POLICY_REASON_MAX];
    const char *name = address->sa_family == AF_UNIX ? NULL : login->target->host;
    policy_why_address(login->reactor->policy, address, name, reason);
    struct db_fault fault = {.phase = "policy"};
    fault_set(&fault.why, FAULT_DENIED, "connecting to %s is not allowed: %s", where, reason);
    if (login->worst.why.kind == FAULT_NONE)
        login->worst = fault;
    login->denied = true;
    note_reason(login, where, reason);
}

static void add_address(struct mysql_login *login, const union dns_address *from)
{
    char text[64];
    union dns_address to = *from;
    if (to.any.sa_family == AF_INET6)
        to.v6.sin6_port = htons(login->target->port);
    else
        to.v4.sin_port = htons(login->target->port);
    if (policy_allows_address(login->reactor->policy, &to.any, login->target->host))
        login->addresses[login->count++] = to;
    else
        deny_address(login, &to.any, dns_format_address(&to.any, text));
}

static void on_resolved(void *owner, const struct fault *why, const union dns_address *addresses,
                        unsigned count)
{
    struct mysql_login *login = owner;
    login->result.dns_ns = clock_now_ns() - login->began_ns;
    if (why) {
        struct db_fault fault = {.phase = "dns", .why = *why};
        login->attempts++;
        login->worst = fault;
        note_reason(login, login->target->host, why->message);
    }
    for (unsigned i = 0; i < count; i++)
        add_address(login, &addresses[i]);
    next_address(login);
}

static void next_address(struct mysql_login *login)
{
    if (login->address < login->count)
        start_attempt(login);
    else
        fail_for_good(login);
}

static void begin_socket(struct mysql_login *login)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", login->target->socket);
    login->count = policy_allows_address(login->reactor->policy, (struct sockaddr *)&address, NULL);
    if (!login->count)
        deny_address(login, (struct sockaddr *)&address, login->target->socket);
    next_address(login);
}

static void begin_host(struct mysql_login *login)
{
    const struct mysql_target *t = login->target;
    union dns_address literal;
    char why[POLICY_REASON_MAX], reason[POLICY_REASON_MAX + 40];
    if (!policy_allows_host(login->reactor->policy, t->host, t->port)) {
        policy_why_host(login->reactor->policy, t->host, t->port, why);
        snprintf(reason, sizeof reason, "connecting to it is not allowed: %s", why);
        login->phase = "policy";
        fail(login, FAULT_DENIED, reason);
    } else if (dns_parse_address(t->host, &literal)) {
        add_address(login, &literal);
        next_address(login);
    } else {
        login->phase = "dns";
        dns_resolve(login->reactor, &login->query, t->host, AF_UNSPEC, login->options.timeout_ns,
                    on_resolved, login);
    }
}

/* --- files ----------------------------------------------------------------------- */

/* Files that the library opens because the target names them. */
static bool allow_file(struct mysql_login *login, const char *option, const char *path)
{
    char reason[POLICY_REASON_MAX], text[FAULT_MESSAGE_MAX];
    struct stat status;
    if (!path)
        return true;
    login->phase = "policy";
    if (!policy_allows_read(login->reactor->policy, path, NULL)) {
        policy_why_path(login->reactor->policy, CAPABILITY_READ, path, reason);
        snprintf(text, sizeof text, "reading %s %s is not allowed: %s", option, path, reason);
        fail(login, FAULT_DENIED, text);
        return false;
    }
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        snprintf(text, sizeof text, "%s %s is no ordinary file", option, path);
        fail(login, FAULT_INTERNAL, text);
        return false;
    }
    return true;
}

static bool allow_files(struct mysql_login *login)
{
    const struct mysql_target *t = login->target;
    return allow_file(login, "ssl-ca", t->ca) && allow_file(login, "ssl-capath", t->capath) &&
           allow_file(login, "ssl-cert", t->cert) && allow_file(login, "ssl-key", t->key);
}

/* --- life ------------------------------------------------------------------------ */

struct mysql_login *mysql_login_new(struct reactor *reactor, struct mysql_api *api,
                                    const struct mysql_login_options *options,
                                    mysql_login_done_fn *on_done, void *owner)
{
    struct mysql_login *login = memory_new(sizeof *login);
    login->reactor = reactor;
    login->api = api;
    login->options = *options;
    login->options.target = login->target_text = memory_copy_string(options->target);
    login->options.application_name = login->application_name =
        memory_copy_string(options->application_name);
    login->on_done = on_done;
    login->owner = owner;
    login->deadline.on_due = on_deadline;
    login->phase = "target";
    return login;
}

void mysql_login_start(struct mysql_login *login)
{
    struct db_fault why = {.phase = "target", .closed = true};
    login->began_ns = clock_now_ns();
    login->target = mysql_target_read(login->options.target, &why.why);
    if (!login->target) {
        finish(login, &why);
        return;
    }
    mysql_target_label(login->target, login->result.label, sizeof login->result.label);
    if (!allow_files(login))
        return;
    loop_timer_arm(&login->reactor->loop, &login->deadline,
                   login->began_ns + login->options.timeout_ns);
    if (login->target->socket)
        begin_socket(login);
    else
        begin_host(login);
}

void mysql_login_free(struct mysql_login *login)
{
    if (!login)
        return;
    login->done = true;
    dns_cancel(login->reactor, &login->query);
    loop_timer_disarm(&login->reactor->loop, &login->deadline);
    leave_attempt(login);
    mysql_link_free(login->link);
    mysql_target_drop(login->target);
    buffer_fini(&login->reasons);
    free(login->target_text);
    free(login->application_name);
    free(login);
}

const struct db_login_result *mysql_login_result(const struct mysql_login *login)
{
    return &login->result;
}

struct mysql_link *mysql_login_take(struct mysql_login *login, struct pg_turn *turn)
{
    struct mysql_link *link = login->link;
    pg_turn_move(&login->turn, turn);
    login->link = NULL;
    return link;
}

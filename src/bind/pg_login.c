/* pg_login.c - see pg_login.h.
 *
 * An attempt is one PGconn on its way to one address.  PQconnectPoll says what it waits for;
 * before each of its calls the descriptor is unwatched, for it may close it and open another. */
#include "bind/pg_login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/policy.h"
#include "bind/dns.h"
#include "bind/pg_settings.h"
#include "bind/pg_target.h"
#include "bind/portion.h"
#include "loop/reactor.h"
#include "loop/work.h"

enum { LOGIN_BYTES_MAX = 1024 * 1024 };
static const uint64_t share_min_ns = 100 * NS_PER_MS;
static const uint64_t thread_patience_ns = 5 * NS_PER_S;

struct pg_login {
    struct reactor *reactor;
    const struct pq *pq;
    struct pg_login_options options; /* its strings are these: */
    char *target_text, *application_name;
    pg_login_done_fn *on_done;
    void *owner;
    struct db_login_result result;
    struct pg_target target;

    unsigned host, address, count; /* of the attempt: count addresses of this host */
    union dns_address addresses[DNS_ADDRESSES_MAX];
    struct dns_query query;
    struct timer deadline, share; /* share: what one address may have while others are left */
    struct pg_turn server_turn;   /* from before it connects until the session ends */
    struct pg_turn login_turn;    /* from the startup packet until it is logged in */
    struct work poll;
    struct timer patience; /* for poll, once nobody waits for it */
    PostgresPollingStatusType polled;
    PGconn *pg; /* the thread's while poll is under way */
    struct watch *watch;

    const char *phase;
    uint64_t began_ns, phase_ns, queued_since_ns;
    bool old;          /* the server knows no client_connection_check_interval */
    char read_only[8]; /* the answer of a server that does not tell it by itself */
    size_t came;       /* bytes, in this attempt */
    bool done, orphan;
    bool denied; /* some address was left out by the policy */
    unsigned attempts;
    struct buffer reasons; /* one an address */
    struct db_fault worst;
};

static void next_address(struct pg_login *login);
static void attempt(struct pg_login *login);
static void open_attempt(struct pg_login *login);
static void advance(struct pg_login *login);

/* --- phases and how it ends ---------------------------------------------------------- */

static void enter_phase(struct pg_login *login, const char *phase)
{
    uint64_t now_ns = clock_now_ns(), spent_ns = now_ns - login->phase_ns;
    struct db_login_result *r = &login->result;
    if (strcmp(login->phase, "dns") == 0)
        r->dns_ns += spent_ns;
    else if (strcmp(login->phase, "connect") == 0)
        r->connect_ns += spent_ns;
    else if (strcmp(login->phase, "tls") == 0)
        r->tls_ns += spent_ns;
    else if (strcmp(login->phase, "login") == 0)
        r->login_ns += spent_ns;
    login->phase = phase;
    login->phase_ns = now_ns;
}

static void unwatch(struct pg_login *login)
{
    loop_unwatch(login->watch);
    login->watch = NULL;
}

static void drop_attempt(struct pg_login *login)
{
    unwatch(login);
    loop_timer_disarm(&login->reactor->loop, &login->share);
    pg_turn_leave(&login->login_turn);
    pg_turn_leave(&login->server_turn);
    if (work_is_under_way(&login->poll)) { /* on_polled does it */
        if (!timer_is_armed(&login->patience))
            loop_timer_arm(&login->reactor->loop, &login->patience,
                           clock_now_ns() + thread_patience_ns);
        return;
    }
    login->pq->finish(login->pg);
    login->pg = NULL;
}

static void finish(struct pg_login *login, const struct db_fault *why)
{
    if (login->done)
        return;
    login->done = true;
    const char *phase = login->phase;
    enter_phase(login, phase);
    login->result.total_ns = login->phase_ns - login->began_ns - login->result.queued_ns;
    loop_timer_disarm(&login->reactor->loop, &login->deadline);
    loop_timer_disarm(&login->reactor->loop, &login->share);
    dns_cancel(login->reactor, &login->query);
    unwatch(login);
    pg_turn_leave(&login->login_turn);
    if (why)
        drop_attempt(login);
    else if (!login->pq->sslInUse(login->pg)) { /* it was only asked */
        login->result.login_ns += login->result.tls_ns;
        login->result.tls_ns = 0;
    }
    login->on_done(login->owner, why);
}

static void fail(struct pg_login *login, enum fault_kind kind, const char *reason)
{
    struct db_fault why = {.phase = login->phase, .closed = true};
    fault_set(&why.why, kind, "%s", reason);
    finish(login, &why);
}

static const struct pg_host *host_of(const struct pg_login *login)
{
    return &login->target.hosts[login->host];
}

static const char *address_text(const struct pg_login *login, char text[64])
{
    return host_of(login)->is_unix
               ? host_of(login)->name
               : dns_format_address(&login->addresses[login->address].any, text);
}

/* "connection refused (10.0.0.1)", unless the author wrote the address himself. */
static void name_address(const struct pg_login *login, struct db_fault *why)
{
    const char *name = login->target.hosts[0].name;
    const char *remote = login->result.remote;
    size_t length = strlen(why->why.message);
    if (name && strcmp(name, remote) != 0)
        snprintf(why->why.message + length, sizeof why->why.message - length, " (%s)", remote);
}

/* "10.0.0.1: connection refused, 10.0.0.2: no route to host" when there were several. */
static void fail_for_good(struct pg_login *login)
{
    struct db_fault why = login->worst;
    if (login->denied && why.why.kind == FAULT_NONE)
        why.phase = "policy";
    if (login->denied)
        why.why.kind = FAULT_DENIED;
    why.closed = true;
    if (login->attempts + login->denied > 1)
        fault_set(&why.why, why.why.kind, "%.*s", (int)login->reasons.size, login->reasons.data);
    else if (strcmp(why.phase, "connect") == 0)
        name_address(login, &why);
    finish(login, &why);
}

static void note_reason(struct pg_login *login, const char *where, const char *reason)
{
    buffer_addf(&login->reasons, "%s%s: %s", login->reasons.size ? ", " : "", where, reason);
}

static void attempt_failed(struct pg_login *login, const struct db_fault *fault)
{
    char text[64];
    bool first = login->attempts++ == 0;
    note_reason(login, address_text(login, text), fault->why.message);
    if (first || fault_is_ours(login->worst.why.kind) || !fault->elsewhere)
        login->worst = *fault;
    drop_attempt(login);
    if (!fault->elsewhere) {
        login->attempts = 1; /* what the others said is of no interest */
        login->denied = false;
        fail_for_good(login);
        return;
    }
    login->address++;
    next_address(login);
}

static bool knows_no_interval(const char *text)
{
    return strstr(text, "client_connection_check_interval");
}

/* libpq says why. */
static void attempt_ended_badly(struct pg_login *login)
{
    struct db_fault fault;
    const char *message = login->pq->errorMessage(login->pg);
    if (!login->old && knows_no_interval(message)) {
        login->old = true;
        drop_attempt(login);
        attempt(login);
        return;
    }
    char *text = pg_target_redact(&login->target, login->pq->pass(login->pg), message);
    pg_fault_of_login(&fault, text, login->phase, login->pq->sslInUse(login->pg));
    free(text);
    attempt_failed(login, &fault);
}

static void on_deadline(struct timer *timer)
{
    struct pg_login *login = list_entry(timer, struct pg_login, deadline);
    char reason[100];
    enum fault_kind kind = db_silence(login->phase, login->options.timeout_ns, reason);
    if (kind != FAULT_NONE)
        fail(login, kind, reason);
}

static void on_share_over(struct timer *timer)
{
    struct pg_login *login = list_entry(timer, struct pg_login, share);
    struct db_fault fault = {.phase = login->phase, .closed = true, .elsewhere = true};
    if (strcmp(login->phase, "connect") != 0)
        return;
    fault_set(&fault.why, FAULT_TIMEOUT, "no connection in its share of the time");
    attempt_failed(login, &fault);
}

/* --- logged in ------------------------------------------------------------------------ */

static void succeed(struct pg_login *login)
{
    login->pq->setnonblocking(login->pg, 1);
    finish(login, NULL);
}

static void judge_read_only(struct pg_login *login, const char *setting)
{
    if (strcmp(setting, "on") == 0)
        succeed(login);
    else
        fail(
            login, FAULT_PROTOCOL,
            "the session was to be read-only and is not: does a pooler stand in between that drops "
            "start options? Name the server itself");
}

/* The answer to SHOW default_transaction_read_only, which may come in pieces. */
static void take_verification(struct pg_login *login)
{
    const struct pq *pq = login->pq;
    while (!pq->isBusy(login->pg)) {
        PGresult *result = pq->getResult(login->pg);
        if (!result) {
            judge_read_only(login, login->read_only);
            return;
        }
        if (pq->ntuples(result) == 1 && pq->nfields(result) == 1)
            snprintf(login->read_only, sizeof login->read_only, "%s", pq->getvalue(result, 0, 0));
        pq->clear(result);
    }
}

/* libpq keeps what comes until it has a whole message, however long. */
static bool is_modest(struct pg_login *login)
{
    if (login->came > LOGIN_BYTES_MAX)
        fail(login, FAULT_PROTOCOL, "the server says more than belongs to a login");
    return login->came <= LOGIN_BYTES_MAX;
}

static void on_verified(void *owner, int status, int events)
{
    (void)status, (void)events;
    struct pg_login *login = owner;
    portion_begin();
    int ok = login->pq->consumeInput(login->pg);
    login->came += portion_end();
    if (!ok)
        attempt_ended_badly(login);
    else if (is_modest(login))
        take_verification(login);
}

/* PostgreSQL 14 and later report the setting by themselves. */
static void verify(struct pg_login *login)
{
    const char *setting = login->pq->parameterStatus(login->pg, "default_transaction_read_only");
    if (login->options.write) {
        succeed(login);
    } else if (setting) {
        judge_read_only(login, setting);
    } else if (!login->pq->sendQuery(login->pg, "SHOW default_transaction_read_only")) {
        attempt_ended_badly(login);
    } else {
        login->pq->setSingleRowMode(login->pg); /* nothing piles up */
        login->watch = loop_watch(&login->reactor->loop, login->pq->socket(login->pg), LOOP_READ,
                                  on_verified, login);
        if (!login->watch)
            fail(login, FAULT_INTERNAL, "the connection cannot be watched");
    }
}

/* --- an attempt, poll by poll ------------------------------------------------------------ */

static const char *phase_of(ConnStatusType status)
{
    switch (status) {
    case CONNECTION_NEEDED:
    case CONNECTION_STARTED: return "connect";
    case CONNECTION_SSL_STARTUP: return "tls";
    default: return "login";
    }
}

static void on_ready(void *owner, int status, int events)
{
    (void)status, (void)events; /* libpq finds out itself */
    struct pg_login *login = owner;
    unwatch(login);
    advance(login);
}

/* What PQconnectPoll said is in polled. */
static void after_poll(struct pg_login *login)
{
    ConnStatusType status = login->pq->status(login->pg);
    const char *phase = phase_of(status);
    if (login->polled == PGRES_POLLING_FAILED) {
        attempt_ended_badly(login);
        return;
    }
    if (strcmp(phase, login->phase) != 0)
        enter_phase(login, phase);
    if (!is_modest(login))
        return;
    if (login->polled == PGRES_POLLING_OK) {
        verify(login);
        return;
    }
    login->watch = loop_watch(&login->reactor->loop, login->pq->socket(login->pg),
                              login->polled == PGRES_POLLING_READING ? LOOP_READ : LOOP_WRITE,
                              on_ready, login);
    if (!login->watch)
        fail(login, FAULT_INTERNAL, "the connection cannot be watched");
}

static void run_poll(struct work *work)
{
    struct pg_login *login = list_entry(work, struct pg_login, poll);
    portion_begin();
    login->polled = login->pq->connectPoll(login->pg);
    login->came += portion_end();
}

/* A server may ask for 2,147,483,647 iterations of SCRAM, which are an hour, and nothing ends a
 * thread that counts them.  The pool has four; so this worker goes, all its threads with it, and
 * the supervisor has another do what it had to do. */
static void on_patience_over(struct timer *timer)
{
    (void)timer;
    memory_panic("a login that was given up still keeps a thread busy (a server that asks for too "
                 "many iterations of SCRAM?)");
}

static void free_login(struct pg_login *login)
{
    login->pq->finish(login->pg);
    pg_target_fini(&login->target);
    buffer_fini(&login->reasons);
    free(login->target_text);
    free(login->application_name);
    free(login);
}

static void on_polled(struct work *work)
{
    struct pg_login *login = list_entry(work, struct pg_login, poll);
    loop_timer_disarm(&login->reactor->loop, &login->patience);
    if (login->orphan)
        free_login(login);
    else if (!login->done)
        after_poll(login);
}

/* The server's one byte on whether it speaks TLS: it does not. */
static bool declines_tls(const struct pg_login *login)
{
    char answer;
    return recv(login->pq->socket(login->pg), &answer, 1, MSG_PEEK | MSG_DONTWAIT) == 1 &&
           answer == 'N';
}

/* Setting up TLS, and whatever proof the server asks for: SCRAM costs milliseconds, and Kerberos
 * (which it may ask for unasked) looks up names and waits for servers of its own. */
static bool is_dear(const struct pg_login *login, ConnStatusType status)
{
    return (status == CONNECTION_SSL_STARTUP && !declines_tls(login)) ||
           status == CONNECTION_AWAITING_RESPONSE;
}

/* The time that it waits for its turn is nobody's fault. */
static void begin_queuing(struct pg_login *login)
{
    login->queued_since_ns = clock_now_ns();
    loop_timer_disarm(&login->reactor->loop, &login->deadline);
}

static void end_queuing(struct pg_login *login)
{
    uint64_t waited_ns = clock_now_ns() - login->queued_since_ns;
    login->result.queued_ns += waited_ns;
    login->phase_ns += waited_ns;
    loop_timer_arm(&login->reactor->loop, &login->deadline,
                   login->began_ns + login->result.queued_ns + login->options.timeout_ns);
}

static void on_login_turn(struct pg_turn *turn)
{
    struct pg_login *login = list_entry(turn, struct pg_login, login_turn);
    end_queuing(login);
    advance(login);
}

static void on_server_turn(struct pg_turn *turn)
{
    struct pg_login *login = list_entry(turn, struct pg_login, server_turn);
    end_queuing(login);
    open_attempt(login);
}

/* Asked once an attempt: it may be over before it is logged in. */
static bool has_login_turn(struct pg_login *login)
{
    if (login->login_turn.lines || pg_turn_ask(pq_lines(login->reactor), &login->login_turn, ""))
        return true;
    begin_queuing(login);
    return false;
}

static void advance(struct pg_login *login)
{
    ConnStatusType status = login->pq->status(login->pg);
    if (status == CONNECTION_MADE) {
        loop_timer_disarm(&login->reactor->loop, &login->share);
        if (!has_login_turn(login))
            return;
    }
    if (is_dear(login, status)) {
        work_start(&login->reactor->loop, &login->poll);
        return;
    }
    run_poll(&login->poll);
    after_poll(login);
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context, (void)result;
}

/* What one address may take while there are others: its part of what is left. */
static void arm_share(struct pg_login *login)
{
    unsigned left = login->count - login->address + login->target.count - login->host - 1;
    if (left <= 1)
        return;
    uint64_t now_ns = clock_now_ns();
    uint64_t until_ns = login->deadline.at_ns > now_ns ? login->deadline.at_ns - now_ns : 0;
    uint64_t share_ns = until_ns / left;
    loop_timer_arm(&login->reactor->loop, &login->share,
                   now_ns + (share_ns > share_min_ns ? share_ns : share_min_ns));
}

static void attempt(struct pg_login *login)
{
    char address[64], name[128];
    snprintf(name, sizeof name, "%s:%u", address_text(login, address), host_of(login)->port);
    login->login_turn = (struct pg_turn){.on_turn = on_login_turn};
    login->server_turn = (struct pg_turn){.on_turn = on_server_turn};
    login->came = 0;
    enter_phase(login, "connect");
    if (pg_turn_ask(pq_lines(login->reactor), &login->server_turn, name))
        open_attempt(login);
    else
        begin_queuing(login);
}

static void open_attempt(struct pg_login *login)
{
    char address[64];
    const struct pg_host *host = host_of(login);
    struct pg_settings settings;
    address_text(login, address);
    pg_settings_fill(&settings, &login->target, &login->options, host,
                     host->is_unix ? NULL : address, login->old);
    arm_share(login);
    login->pg = login->pq->connectStartParams(settings.keywords, settings.values, 0);
    pg_settings_fini(&settings);
    if (!login->pg) {
        fail(login, FAULT_INTERNAL, "libpq has no memory for a connection");
        return;
    }
    login->pq->setErrorVerbosity(login->pg, PQERRORS_VERBOSE);
    login->pq->setNoticeReceiver(login->pg, ignore_notice, NULL);
    login->polled = login->pq->status(login->pg) == CONNECTION_BAD ? PGRES_POLLING_FAILED
                                                                   : PGRES_POLLING_WRITING;
    snprintf(login->result.remote, sizeof login->result.remote, "%s", address_text(login, address));
    after_poll(login);
}

/* --- hosts and addresses -------------------------------------------------------------------- */

static void deny_address(struct pg_login *login, const struct sockaddr *address, const char *where)
{
    char reason[POLICY_REASON_MAX];
    policy_why_address(login->reactor->policy, address, host_of(login)->name, reason);
    struct db_fault fault = {.phase = "policy"};
    fault_set(&fault.why, FAULT_DENIED, "connecting to %s is not allowed: %s", where, reason);
    if (login->worst.why.kind == FAULT_NONE)
        login->worst = fault;
    login->denied = true;
    note_reason(login, where, reason);
}

static void add_address(struct pg_login *login, const union dns_address *from)
{
    char text[64];
    union dns_address to = *from;
    if (to.any.sa_family == AF_INET6)
        to.v6.sin6_port = htons(host_of(login)->port);
    else
        to.v4.sin_port = htons(host_of(login)->port);
    if (policy_allows_address(login->reactor->policy, &to.any, host_of(login)->name))
        login->addresses[login->count++] = to;
    else
        deny_address(login, &to.any, dns_format_address(&to.any, text));
}

static void on_resolved(void *owner, const struct fault *why, const union dns_address *addresses,
                        unsigned count)
{
    struct pg_login *login = owner;
    if (why) {
        struct db_fault fault = {.phase = "dns", .why = *why};
        if (login->attempts++ == 0)
            login->worst = fault;
        note_reason(login, host_of(login)->name, why->message);
    }
    for (unsigned i = 0; i < count; i++)
        add_address(login, &addresses[i]);
    next_address(login);
}

static bool allow_socket(struct pg_login *login)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct pg_host *host = host_of(login);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.%u", host->name, host->port);
    if (host->name[0] == '@')
        address.sun_path[0] = '\0';
    if (policy_allows_address(login->reactor->policy, (struct sockaddr *)&address, NULL))
        return true;
    deny_address(login, (struct sockaddr *)&address, host->name);
    return false;
}

static void begin_host(struct pg_login *login)
{
    const struct pg_host *host = host_of(login);
    const char *name = host->address ? host->address : host->name;
    union dns_address literal;
    char reason[POLICY_REASON_MAX + 40];
    login->address = login->count = 0;
    if (host->is_unix) {
        login->count = allow_socket(login);
        next_address(login);
    } else if (!policy_allows_host(login->reactor->policy, name, host->port)) {
        char why[POLICY_REASON_MAX];
        policy_why_host(login->reactor->policy, name, host->port, why);
        snprintf(reason, sizeof reason, "connecting to it is not allowed: %s", why);
        login->phase = "policy";
        fail(login, FAULT_DENIED, reason);
    } else if (dns_parse_address(name, &literal)) {
        add_address(login, &literal);
        next_address(login);
    } else {
        enter_phase(login, "dns");
        dns_resolve(login->reactor, &login->query, name, AF_UNSPEC, login->options.timeout_ns,
                    on_resolved, login);
    }
}

static void next_address(struct pg_login *login)
{
    if (login->address < login->count)
        attempt(login);
    else if (++login->host < login->target.count)
        begin_host(login);
    else
        fail_for_good(login);
}

/* --- files ----------------------------------------------------------------------------------- */

/* Files that libpq opens because the target names them. */
static bool allow_files(struct pg_login *login)
{
    static const char *const files[] = {"sslrootcert", "sslcert",  "sslkey", "sslcrl",
                                        "sslcrldir",   "passfile", NULL};
    char reason[POLICY_REASON_MAX], text[FAULT_MESSAGE_MAX];
    struct stat status;
    for (const char *const *name = files; *name; name++) {
        const char *path = pg_target_get(&login->target, *name);
        if (!*path || strcmp(path, "system") == 0)
            continue;
        login->phase = "policy";
        if (!policy_allows_read(login->reactor->policy, path, NULL)) {
            policy_why_path(login->reactor->policy, CAPABILITY_READ, path, reason);
            snprintf(text, sizeof text, "reading %s %s is not allowed: %s", *name, path, reason);
            fail(login, FAULT_DENIED, text);
            return false;
        }
        if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
            snprintf(text, sizeof text, "%s %s is no ordinary file", *name, path);
            fail(login, FAULT_INTERNAL, text);
            return false;
        }
    }
    return true;
}

/* --- life --------------------------------------------------------------------------------------
 */

struct pg_login *pg_login_new(struct reactor *reactor, const struct pq *pq,
                              const struct pg_login_options *options, pg_login_done_fn *on_done,
                              void *owner)
{
    struct pg_login *login = memory_new(sizeof *login);
    login->reactor = reactor;
    login->pq = pq;
    login->options = *options;
    login->options.target = login->target_text = memory_copy_string(options->target);
    login->options.application_name = login->application_name =
        memory_copy_string(options->application_name);
    login->on_done = on_done;
    login->owner = owner;
    login->deadline.on_due = on_deadline;
    login->share.on_due = on_share_over;
    login->patience.on_due = on_patience_over;
    login->poll = (struct work){.run = run_poll, .done = on_polled};
    login->phase = "target";
    return login;
}

void pg_login_start(struct pg_login *login)
{
    struct db_fault why;
    login->began_ns = login->phase_ns = clock_now_ns();
    if (!pg_target_read(&login->target, login->pq, login->options.target, &why)) {
        finish(login, &why);
        return;
    }
    pg_target_label(&login->target, login->result.label, sizeof login->result.label);
    if (!allow_files(login))
        return;
    loop_timer_arm(&login->reactor->loop, &login->deadline,
                   login->began_ns + login->options.timeout_ns);
    begin_host(login);
}

void pg_login_free(struct pg_login *login)
{
    if (!login)
        return;
    login->done = true;
    dns_cancel(login->reactor, &login->query);
    loop_timer_disarm(&login->reactor->loop, &login->deadline);
    drop_attempt(login);
    login->orphan = true;
    if (!work_is_under_way(&login->poll))
        free_login(login);
}

const struct db_login_result *pg_login_result(const struct pg_login *login)
{
    return &login->result;
}

PGconn *pg_login_take(struct pg_login *login, struct pg_turn *turn)
{
    pg_turn_move(&login->server_turn, turn);
    PGconn *pg = login->pg;
    login->pg = NULL;
    return pg;
}

bool pg_login_label(const struct pq *pq, const char *target, char label[200], struct db_fault *why)
{
    struct pg_target read;
    if (!pg_target_read(&read, pq, target, why))
        return false;
    pg_target_label(&read, label, 200);
    pg_target_fini(&read);
    return true;
}

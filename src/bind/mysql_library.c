/* mysql_library.c - see mysql_library.h. */
#include "bind/mysql_library.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "bind/library.h"
#include "bind/mysql_link.h"
#include "bind/pg_turn.h"
#include "loop/errand.h"
#include "loop/reactor.h"

enum { LOGINS_MAX = 64, KILLS_MAX = 16 }; /* threads */

struct mysql_service {
    struct mysql_api *api;
    struct errands *logins, *kills;
    struct pg_lines lines;
};

static struct mysql_service *service_of(struct reactor *reactor)
{
    return reactor->services[SERVICE_MYSQL].self;
}

struct mysql_api *mysql_api_share(struct mysql_api *api)
{
    atomic_fetch_add(&api->owners, 1);
    return api;
}

void mysql_api_drop(struct mysql_api *api)
{
    if (api && atomic_fetch_sub(&api->owners, 1) == 1)
        free(api);
}

struct errands *mysql_logins(struct reactor *reactor)
{
    return service_of(reactor)->logins;
}

struct errands *mysql_kills(struct reactor *reactor)
{
    return service_of(reactor)->kills;
}

struct pg_lines *mysql_lines(struct reactor *reactor)
{
    return &service_of(reactor)->lines;
}

/* Kills that are under way get a moment: of a process that ends with its last check, the
 * statement would go on.  Logins were interrupted; a thread inside OpenSSL must not meet the end
 * of the process. */
static void close_service(void *self)
{
    struct mysql_service *service = self;
    if (service->kills)
        errands_wait(service->kills, 1500 * NS_PER_MS);
    if (service->logins)
        errands_wait(service->logins, 1500 * NS_PER_MS);
    if (service->logins)
        errands_close(service->logins);
    if (service->kills)
        errands_close(service->kills);
    pg_lines_fini(&service->lines);
    mysql_api_drop(service->api);
    free(service);
}

/* Once in a process, like the library's own state.  What the environment could put into every
 * connection behind a target's back is taken out first. */
static void prepare_library(const struct mysql_api *api)
{
    static bool prepared;
    if (prepared)
        return;
    prepared = true;
    unsetenv("LIBMYSQL_PLUGINS");
    unsetenv("LIBMYSQL_PLUGIN_DIR");
    unsetenv("MARIADB_PLUGIN_DIR");
    unsetenv("MARIADB_TLS_DISABLE_PEER_VERIFICATION");
    /* Where no ssl-ca is said, the library has OpenSSL read all of the system's certificates for
     * each connection (100 ms), though nobody is verified by them.  An empty name is no file. */
    setenv("SSL_CERT_FILE", "", 0);
    api->mysql_server_init(0, NULL, NULL);
    api->ma_pvio_register_callback(1, mysql_link_on_bytes);
}

static bool open_service(struct mysql_service *service, struct reactor *reactor, struct fault *why)
{
#define FUNCTION(name) {#name, offsetof(struct mysql_api, name)},
    static const struct library_function functions[] = {MYSQL_FUNCTIONS(FUNCTION)};
#undef FUNCTION
    pg_lines_init(&service->lines, &reactor->loop);
    service->api = memory_new(sizeof *service->api);
    atomic_init(&service->api->owners, 1);
    if (!library_load("libmariadb.so.3", "libmariadb3", functions,
                      sizeof functions / sizeof functions[0], service->api, why))
        return false;
    prepare_library(service->api);
    service->logins = errands_open(&reactor->loop, LOGINS_MAX);
    service->kills = errands_open(&reactor->loop, KILLS_MAX);
    return (service->logins && service->kills) ||
           fault_set(why, FAULT_INTERNAL, "no descriptor is left for MySQL's logins");
}

struct mysql_api *mysql_load(struct reactor *reactor, struct fault *why)
{
    struct service *place = &reactor->services[SERVICE_MYSQL];
    struct mysql_service *service = place->self;
    if (service)
        return service->api;
    service = memory_new(sizeof *service);
    if (!open_service(service, reactor, why)) {
        close_service(service);
        return NULL;
    }
    *place = (struct service){.self = service, .close = close_service};
    return service->api;
}

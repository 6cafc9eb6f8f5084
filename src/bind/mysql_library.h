/* mysql_library.h - libmariadb, opened when the first check asks for MySQL or MariaDB, and what
 * all connections of a process share: the threads that log in and those that kill.
 *
 * libmariadb has an interface that does not block, but its TLS handshake waits in poll() even
 * there (3.3: ma_tls_connect), it looks names up by getaddrinfo, and its plugins do as they like.
 * So a login happens on a thread (mysql_login.h), and only what follows it on the loop.
 * Source: https://mariadb.com/kb/en/using-the-non-blocking-library/ */
#ifndef HOSPITAL_BIND_MYSQL_LIBRARY_H
#define HOSPITAL_BIND_MYSQL_LIBRARY_H

#include <mysql.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/fault.h"

struct errands;
struct pg_lines;
struct reactor;

/* Exported, but in no header that is installed.  mode 0: length bytes were read, 1: written;
 * negative ones say that it failed. */
typedef void mysql_bytes_fn(int mode, MYSQL *my, const unsigned char *data, size_t length);
int ma_pvio_register_callback(my_bool add, mysql_bytes_fn *on_bytes);

/* clang-format off */
#define MYSQL_FUNCTIONS(X) \
    X(mysql_server_init) X(mysql_init) X(mysql_optionsv) X(mysql_real_connect) X(mysql_close) \
    X(mysql_close_start) X(mysql_close_cont) X(mysql_get_socket) \
    X(mysql_errno) X(mysql_error) X(mysql_sqlstate) X(mysql_get_ssl_cipher) \
    X(mysql_get_server_info) X(mysql_get_server_version) \
    X(mysql_real_query) X(mysql_store_result) X(mysql_fetch_row) X(mysql_free_result) \
    X(mysql_real_query_start) X(mysql_real_query_cont) X(mysql_use_result) \
    X(mysql_fetch_row_start) X(mysql_fetch_row_cont) X(mysql_fetch_lengths) \
    X(mysql_fetch_fields) X(mysql_num_fields) X(mysql_field_count) X(mysql_affected_rows) \
    X(mysql_more_results) X(mysql_next_result_start) X(mysql_next_result_cont) \
    X(mysql_stmt_init) X(mysql_stmt_prepare_start) X(mysql_stmt_prepare_cont) \
    X(mysql_stmt_param_count) X(mysql_stmt_bind_param) X(mysql_stmt_attr_set) \
    X(mysql_stmt_execute_start) X(mysql_stmt_execute_cont) \
    X(mysql_stmt_fetch_start) X(mysql_stmt_fetch_cont) X(mysql_stmt_field_count) \
    X(mysql_stmt_result_metadata) X(mysql_stmt_affected_rows) X(mysql_stmt_more_results) \
    X(mysql_stmt_next_result_start) X(mysql_stmt_next_result_cont) \
    X(mysql_stmt_close_start) X(mysql_stmt_close_cont) X(mysql_stmt_close) \
    X(mysql_stmt_errno) X(mysql_stmt_error) X(mysql_stmt_sqlstate) \
    X(mariadb_connection) X(mariadb_field_attr) X(ma_pvio_register_callback)
/* clang-format on */

/* Threads may need it longer than the service is there: the last one frees it. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define MYSQL_POINTER(name) __typeof__(name) *name;
struct mysql_api {
    MYSQL_FUNCTIONS(MYSQL_POINTER)
    atomic_uint owners;
};
#undef MYSQL_POINTER

/* The library, loaded if need be; NULL and *why when it cannot be. */
struct mysql_api *mysql_load(struct reactor *reactor, struct fault *why);
struct mysql_api *mysql_api_share(struct mysql_api *api);
void mysql_api_drop(struct mysql_api *api); /* NULL is harmless */

/* The library must have been loaded. */
struct errands *mysql_logins(struct reactor *reactor);
struct errands *mysql_kills(struct reactor *reactor);
struct pg_lines *mysql_lines(struct reactor *reactor); /* of those that log in */

#endif

/* bind.h - the modules in C.  Each opener pushes the module's table; they are
 * what stock Lua's require would call as well.  [-0, +1, m] */
#ifndef HOSPITAL_BIND_BIND_H
#define HOSPITAL_BIND_BIND_H

#include <lua.h>

int bind_host_open(lua_State *L);     /* what our Lua needs of the host: records, time, env */
int bind_http_open(lua_State *L);     /* one HTTP exchange; URLs */
int bind_json_open(lua_State *L);     /* json.encode, json.decode */
int bind_json_decode(lua_State *L);   /* (text) -> value, as json.decode; for bindings */
int bind_dns_open(lua_State *L);      /* dns.resolve */
int bind_tcp_open(lua_State *L);      /* one TCP connection, or a Unix one */
int bind_ping_open(lua_State *L);     /* ICMP echoes */
int bind_postgres_open(lua_State *L); /* sessions with PostgreSQL */
int bind_sqlite_open(lua_State *L);   /* a database in a file */
int bind_mysql_open(lua_State *L);    /* sessions with MySQL and MariaDB */
int l_parallel(lua_State *L);         /* host.parallel(fn, ...) */

#endif

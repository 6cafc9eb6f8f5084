/* mysql_fault.h - why MySQL, MariaDB or the way to them said no: one kind out of error numbers,
 * and a message that holds no secret.
 *
 * Source of the numbers: https://mariadb.com/kb/en/mariadb-error-codes/ and
 * https://dev.mysql.com/doc/mysql-errors/8.0/en/ */
#ifndef HOSPITAL_BIND_MYSQL_FAULT_H
#define HOSPITAL_BIND_MYSQL_FAULT_H

#include "bind/db_face.h"

/* What the library says of a login that failed; phase is how far it came. */
void mysql_fault_of_login(struct db_fault *fault, unsigned number, const char *state,
                          const char *text, const char *phase);

/* The same of a statement.  read_only: the session is so by our own wish. */
void mysql_fault_of_statement(struct db_fault *fault, unsigned number, const char *state,
                              const char *text, const char *sql, bool read_only);

#endif

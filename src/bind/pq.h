/* pq.h - libpq, opened when the first check asks for PostgreSQL, and what all connections of a
 * process share: the lines for logging in, and requests to cancel.
 *
 * libpq does much of its work inside calls that must not block us (libpq 15, chapter 34):
 * names are looked up by us, a login's dear steps run on threads (pg_login.h), requests to
 * cancel, which wait for a server as long as it likes, on threads of their own. */
#ifndef HOSPITAL_BIND_PQ_H
#define HOSPITAL_BIND_PQ_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/fault.h"

struct pg_lines;
struct pq_cancel;
struct reactor;

/* clang-format off */
#define PQ_FUNCTIONS(X) \
    X(connectStartParams) X(connectPoll) X(finish) X(socket) X(status) X(errorMessage) \
    X(conninfo) X(conninfoFree) X(transactionStatus) X(parameterStatus) X(serverVersion) \
    X(setErrorVerbosity) X(setNoticeReceiver) X(sslInUse) X(db) X(user) X(pass) \
    X(setnonblocking) X(sendQuery) X(sendQueryParams) X(setSingleRowMode) X(flush) \
    X(consumeInput) X(isBusy) X(getResult) X(clear) \
    X(resultStatus) X(resultErrorField) X(resultErrorMessage) X(cmdStatus) X(cmdTuples) \
    X(ntuples) X(nfields) X(fname) X(ftype) X(getvalue) X(getlength) X(getisnull) \
    X(getCancel) X(freeCancel) X(cancel)
/* clang-format on */

/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define PQ_POINTER(name) __typeof__(PQ##name) *name;
struct pq {
    PQ_FUNCTIONS(PQ_POINTER)
};
#undef PQ_POINTER

/* The library, loaded if need be; NULL and *why when it cannot be. */
const struct pq *pq_load(struct reactor *reactor, struct fault *why);

/* Whoever logs in, see bind/pg_turn.h.  The library must have been loaded. */
struct pg_lines *pq_lines(struct reactor *reactor);

/* --- cancelling ---
 *
 * Asks the server to end what pg is doing (PQcancel).  on_done(owner) comes from the loop when
 * the server has taken note, or when that took too long; NULL when nobody waits for it.  Where
 * too many such requests hang already, it is not sent in time: what ends the statement then is
 * that its connection is closed. */
typedef void pq_cancelled_fn(void *owner);
struct pq_cancel *pq_cancel_start(struct reactor *reactor, PGconn *pg, pq_cancelled_fn *on_done,
                                  void *owner);
void pq_cancel_forget(struct pq_cancel *cancel); /* on_done will not be called; NULL is harmless */

#endif

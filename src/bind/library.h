/* library.h - a shared library that is opened when a binding first needs it.
 *
 * Linking libcurl, libpq and what they stand on would cost every start of the program what it
 * costs to load sixty libraries.  Whoever binds one keeps a table of the functions it calls:
 *
 *     #define FUNCTIONS(X) X(connectPoll) X(finish)
 *     struct api { FUNCTIONS(LIBRARY_POINTER) };
 *
 * The library stays loaded: it may have registered exit handlers. */
#ifndef HOSPITAL_BIND_LIBRARY_H
#define HOSPITAL_BIND_LIBRARY_H

#include <stddef.h>

#include "base/fault.h"

struct library_function {
    const char *name; /* "PQfinish" */
    size_t offset;    /* of the pointer to it in the table */
};

/* Fills table; file is what dlopen takes ("libpq.so.5"), package what Debian calls it. */
bool library_load(const char *file, const char *package, const struct library_function *functions,
                  size_t count, void *table, struct fault *why) CHECKED;

#endif

/* portion.h - how much a library reads from its sockets in one of its calls.
 *
 * libpq reads for as long as there is something to read, once a server has announced a long
 * message: up to 1 GB in one call, during which nothing else of the worker goes on.  It has no
 * setting for that, so its recv() is ours: the executable's comes before libc's.  Where it is not
 * (a build that binds otherwise), all is as without, and spec/bind/postgres_hostile_spec.lua red.
 */
#ifndef HOSPITAL_BIND_PORTION_H
#define HOSPITAL_BIND_PORTION_H

#include <stddef.h>

enum { PORTION = 256 * 1024 };

/* From here on this thread reads no more than a portion: then sockets have nothing more to say
 * (EAGAIN) until portion_end, which tells how much it was.  Not to be nested. */
void portion_begin(void);
size_t portion_end(void);

#endif

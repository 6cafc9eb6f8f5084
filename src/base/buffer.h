/* buffer.h - a byte string that grows.
 *
 * Memory is the process's, never Lua's.  Running out of it ends the process
 * (memory_die), as everywhere outside the sandbox: a worker's death is a
 * reported event. */
#ifndef HOSPITAL_BASE_BUFFER_H
#define HOSPITAL_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *data; /* NULL while empty; not terminated */
    size_t size, room;
};

void buffer_fini(struct buffer *b);
void buffer_clear(struct buffer *b); /* keeps the room */
void buffer_add(struct buffer *b, const void *data, size_t size);
void buffer_add_string(struct buffer *b, const char *s);
void buffer_addf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *buffer_reserve(struct buffer *b, size_t size); /* room for size more; data may move */
void buffer_drop_front(struct buffer *b, size_t size);

/* Host allocations.  They never return NULL. */
void *memory_new(size_t size); /* zeroed */
void *memory_resize(void *p, size_t size);
char *memory_copy_string(const char *s);
char *memory_copy(const void *data, size_t size); /* adds a terminating NUL */
void memory_die(size_t size) __attribute__((noreturn));

/* An error that nothing was there to catch: says so and aborts, so that the
 * supervisor sees a crash. */
void memory_panic(const char *message) __attribute__((noreturn));

#endif

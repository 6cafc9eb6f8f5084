/* buffer.c - see buffer.h. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_die(size_t size)
{
    fprintf(stderr, "hospital: out of memory (asked for %zu bytes)\n", size);
    abort();
}

void memory_panic(const char *message)
{
    fprintf(stderr, "hospital: internal error: %s\n", message);
    abort();
}

void *memory_new(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        memory_die(size);
    return p;
}

void *memory_resize(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        memory_die(size);
    return q;
}

char *memory_copy(const void *data, size_t size)
{
    char *p = memory_new(size + 1);
    if (size)
        memcpy(p, data, size);
    return p;
}

char *memory_copy_string(const char *s)
{
    return memory_copy(s, strlen(s));
}

void buffer_fini(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

void buffer_clear(struct buffer *b)
{
    b->size = 0;
}

char *buffer_reserve(struct buffer *b, size_t size)
{
    if (b->room - b->size < size) {
        size_t room = b->room ? b->room : 256;
        while (room - b->size < size)
            room *= 2;
        b->data = memory_resize(b->data, room);
        b->room = room;
    }
    return b->data + b->size;
}

void buffer_add(struct buffer *b, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(buffer_reserve(b, size), data, size);
    b->size += size;
}

void buffer_add_string(struct buffer *b, const char *s)
{
    buffer_add(b, s, strlen(s));
}

void buffer_addf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size > 0) {
        vsnprintf(buffer_reserve(b, (size_t)size + 1), (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
}

void buffer_drop_front(struct buffer *b, size_t size)
{
    if (size < b->size)
        memmove(b->data, b->data + size, b->size - size);
    b->size -= size;
}

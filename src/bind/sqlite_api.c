/* sqlite_api.c - see sqlite_api.h. */
#include "bind/sqlite_api.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "bind/library.h"
#include "loop/reactor.h"

/* --- whose memory ----------------------------------------------------------- */

struct sqlite_heap {
    _Atomic int64_t used; /* bytes, and one for the owner: freed at zero */
};

/* In front of every block of SQLite's, which wants them aligned to 8 bytes. */
struct head {
    _Alignas(8) struct sqlite_heap *heap;
};

/* The library's own, and whose turn it is: SQLite knows no other way to tell them. */
static sqlite3_mem_methods below;
static _Thread_local struct sqlite_heap *current_heap;

static void heap_release(struct sqlite_heap *heap, int64_t size)
{
    if (heap && atomic_fetch_sub(&heap->used, size) == size)
        free(heap);
}

static bool heap_take(struct sqlite_heap *heap, int64_t size)
{
    if (!heap || atomic_fetch_add(&heap->used, size) + size <= SQLITE_HEAP_MAX)
        return true;
    heap_release(heap, size);
    return false;
}

struct sqlite_heap *sqlite_heap_new(void)
{
    struct sqlite_heap *heap = memory_new(sizeof *heap);
    atomic_init(&heap->used, 1);
    return heap;
}

void sqlite_heap_drop(struct sqlite_heap *heap)
{
    heap_release(heap, 1);
}

void sqlite_heap_use(struct sqlite_heap *heap)
{
    current_heap = heap;
}

static int heap_size(void *block)
{
    return below.xSize((struct head *)block - 1) - (int)sizeof(struct head);
}

static void *heap_malloc(int size)
{
    struct head *head = below.xMalloc(size + (int)sizeof *head);
    if (!head)
        return NULL;
    if (!heap_take(current_heap, below.xSize(head))) {
        below.xFree(head);
        return NULL;
    }
    head->heap = current_heap;
    return head + 1;
}

static void heap_free(void *block)
{
    if (!block)
        return;
    struct head *head = (struct head *)block - 1;
    heap_release(head->heap, below.xSize(head));
    below.xFree(head);
}

static void *heap_realloc(void *block, int size)
{
    struct head *head = (struct head *)block - 1;
    struct sqlite_heap *heap = head->heap;
    int64_t before = below.xSize(head), more = size + (int64_t)sizeof *head - before;
    if (more > 0 && !heap_take(heap, more))
        return NULL;
    struct head *moved = below.xRealloc(head, size + (int)sizeof *head);
    int64_t after = moved ? below.xSize(moved) : before;
    int64_t taken = before + (more > 0 ? more : 0);
    if (heap && after > taken)
        atomic_fetch_add(&heap->used, after - taken);
    else if (after < taken)
        heap_release(heap, taken - after);
    return moved ? moved + 1 : NULL;
}

static int heap_roundup(int size)
{
    return below.xRoundup(size);
}

static int heap_init(void *data)
{
    (void)data;
    return below.xInit(below.pAppData);
}

static void heap_shutdown(void *data)
{
    (void)data;
    below.xShutdown(below.pAppData);
}

/* Refused when somebody else in the process (stock Lua) uses the library already: then the
 * process's limit is all there is. */
static void count_memory(const struct sqlite_api *api)
{
    static const sqlite3_mem_methods methods = {
        heap_malloc,  heap_free, heap_realloc,  heap_size,
        heap_roundup, heap_init, heap_shutdown, NULL,
    };
    if (!below.xMalloc && api->config(SQLITE_CONFIG_GETMALLOC, &below) == SQLITE_OK &&
        below.xMalloc != heap_malloc)
        (void)api->config(SQLITE_CONFIG_MALLOC, &methods);
}

/* --- the service ------------------------------------------------------------ */

static void service_close(void *self)
{
    free(self); /* the library stays, see library.h */
}

static bool load_functions(struct sqlite_api *api, struct fault *why)
{
#define FUNCTION(name) {"sqlite3_" #name, offsetof(struct sqlite_api, name)},
    static const struct library_function functions[] = {SQLITE_FUNCTIONS(FUNCTION)};
#undef FUNCTION
    return library_load("libsqlite3.so.0", "libsqlite3-0", functions,
                        sizeof functions / sizeof functions[0], api, why);
}

static bool start(const struct sqlite_api *api, struct fault *why)
{
    count_memory(api);
    int code = api->initialize();
    if (code != SQLITE_OK)
        return fault_set(why, FAULT_INTERNAL, "SQLite cannot be started: %s", api->errstr(code));
    api->hard_heap_limit64(SQLITE_HEAPS_MAX);
    return true;
}

const struct sqlite_api *sqlite_load(struct reactor *reactor, struct fault *why)
{
    struct service *place = &reactor->services[SERVICE_SQLITE];
    if (place->self)
        return place->self;
    struct sqlite_api *api = memory_new(sizeof *api);
    if (!load_functions(api, why) || !start(api, why)) {
        free(api);
        return NULL;
    }
    *place = (struct service){.self = api, .close = service_close};
    return api;
}

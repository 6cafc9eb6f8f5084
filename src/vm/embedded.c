/* embedded.c - see embedded.h.  The table is sorted by name: the Makefile sorts
 * the files. */
#include "vm/embedded.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *name, const void *module)
{
    return strcmp(name, ((const struct embedded_module *)module)->name);
}

static size_t count_modules(void)
{
    size_t count = 0;
    while (embedded_modules[count].name)
        count++;
    return count;
}

const struct embedded_module *embedded_find(const char *name)
{
    static size_t count; /* constant, once known */
    if (count == 0)
        count = count_modules();
    return bsearch(name, embedded_modules, count, sizeof *embedded_modules, compare);
}

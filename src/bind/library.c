/* library.c - see library.h. */
#include "bind/library.h"

#include <dlfcn.h>
#include <string.h>

static void *open_library(const char *file, const char *package, struct fault *why)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library)
        return library;
    const char *reason = dlerror();
    if (strstr(reason, "No such file"))
        fault_set(why, FAULT_INTERNAL, "%s cannot be loaded (%s): install the package %s", file,
                  reason, package);
    else
        fault_set(why, FAULT_INTERNAL,
                  "%s cannot be loaded (%s): is the memory of this process limited (ulimit -v)?",
                  file, reason);
    return NULL;
}

bool library_load(const char *file, const char *package, const struct library_function *functions,
                  size_t count, void *table, struct fault *why)
{
    void *library = open_library(file, package, why);
    if (!library)
        return false;
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function)
            return fault_set(why, FAULT_INTERNAL, "%s is too old: it has no %s", file,
                             functions[i].name);
        memcpy((char *)table + functions[i].offset, &function, sizeof function);
    }
    return true;
}

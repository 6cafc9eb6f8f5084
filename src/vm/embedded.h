/* embedded.h - the Lua that the binary carries: lua/ compiled at build time. */
#ifndef HOSPITAL_VM_EMBEDDED_H
#define HOSPITAL_VM_EMBEDDED_H

#include <stddef.h>

struct embedded_module {
    const char *name; /* "hospital.report.dots"; NULL ends the table */
    const char *chunk;
    size_t size;
};

extern const struct embedded_module embedded_modules[];

/* NULL when there is no such module. */
const struct embedded_module *embedded_find(const char *name);

#endif

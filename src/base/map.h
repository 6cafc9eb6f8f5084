/* map.h - from strings to pointers; keys are borrowed and nothing is removed. */
#ifndef HOSPITAL_BASE_MAP_H
#define HOSPITAL_BASE_MAP_H

#include <stddef.h>

struct map_slot {
    const char *key; /* NULL: empty */
    void *value;
};

struct map {
    struct map_slot *slots; /* open addressing; room is a power of two, at most half full */
    size_t count, room;
};

void map_fini(struct map *map);
void map_put(struct map *map, const char *key, void *value); /* replaces */
void *map_get(const struct map *map, const char *key);       /* NULL: not there */

#endif

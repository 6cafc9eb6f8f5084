/* map.c - see map.h. */
#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

static size_t hash_of(const char *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ (hash >> 32));
}

static struct map_slot *find(const struct map *map, const char *key)
{
    size_t at = hash_of(key) & (map->room - 1);
    while (map->slots[at].key && strcmp(map->slots[at].key, key) != 0)
        at = (at + 1) & (map->room - 1);
    return &map->slots[at];
}

static void grow(struct map *map)
{
    struct map larger = {.room = map->room ? map->room * 2 : 64};
    larger.slots = memory_new(larger.room * sizeof *larger.slots);
    for (size_t i = 0; i < map->room; i++)
        if (map->slots[i].key)
            *find(&larger, map->slots[i].key) = map->slots[i];
    larger.count = map->count;
    free(map->slots);
    *map = larger;
}

void map_fini(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

void map_put(struct map *map, const char *key, void *value)
{
    if (map->count * 2 >= map->room)
        grow(map);
    struct map_slot *slot = find(map, key);
    map->count += slot->key == NULL;
    *slot = (struct map_slot){key, value};
}

void *map_get(const struct map *map, const char *key)
{
    return map->room ? find(map, key)->value : NULL;
}

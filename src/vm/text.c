/* text.c - see text.h. */
#include "vm/text.h"

#include <lauxlib.h>
#include <stdint.h>

char *text_room(struct text *text, size_t size)
{
    if (size <= text->room - text->size)
        return text->at + text->size;
    if (size > SIZE_MAX / 4 - text->size)
        luaL_error(text->L, "buffer too large");
    size_t room = text->size + size;
    if (room < text->room * 2)
        room = text->room * 2;
    luaL_checkstack(text->L, 1, NULL);
    char *at = lua_newuserdatauv(text->L, room, 0);
    memcpy(at, text->at, text->size);
    lua_replace(text->L, text->slot);
    text->at = at;
    text->room = room;
    return at + text->size;
}

void text_add_value(struct text *text)
{
    size_t size;
    const char *bytes = lua_tolstring(text->L, -1, &size);
    text_add(text, bytes, size);
    lua_pop(text->L, 1);
}

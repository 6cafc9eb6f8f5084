/* text.h - a string in the making.
 *
 * Short ones stay on the C stack; longer ones move to a userdata in a slot of
 * the Lua stack.  Unlike luaL_Buffer's box its growth goes through Lua's own
 * allocation, so that garbage is collected before memory is refused. */
#ifndef HOSPITAL_VM_TEXT_H
#define HOSPITAL_VM_TEXT_H

#include <lua.h>
#include <stddef.h>
#include <string.h>

struct text {
    lua_State *L;
    char *at;
    size_t size, room;
    int slot;
    char first[496];
};

/* Reserves one slot of the stack.  [-0, +1, -] */
static inline void text_init(struct text *text, lua_State *L)
{
    text->L = L;
    text->at = text->first;
    text->size = 0;
    text->room = sizeof text->first;
    lua_pushnil(L);
    text->slot = lua_gettop(L);
}

/* Makes room for size more bytes and returns where they go.  [-0, +0, m] */
char *text_room(struct text *text, size_t size);

static inline void text_add(struct text *text, const char *bytes, size_t size)
{
    char *at = size <= text->room - text->size ? text->at + text->size : text_room(text, size);
    memcpy(at, bytes, size);
    text->size += size;
}

static inline void text_add_char(struct text *text, char c)
{
    if (text->size == text->room)
        text_room(text, 1);
    text->at[text->size++] = c;
}

/* Appends the string or number on top and pops it.  [-1, +0, m] */
void text_add_value(struct text *text);

/* [-0, +1, m] */
static inline void text_push(struct text *text)
{
    lua_pushlstring(text->L, text->at, text->size);
}

#endif

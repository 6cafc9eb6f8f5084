/* author.c - see author.h.  The author's chunks are those whose source begins
 * with '@'; the embedded ones are stripped and have "=?". */
#include "vm/author.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "vm/pack.h"

enum { FRAMES_MAX = 40, DEPTH_MAX = 400 };

static void copy_file(char *file, size_t room, const char *source, size_t size)
{
    if (size >= room) {
        source += size - (room - 4);
        size = room - 4;
        memcpy(file, "...", 3);
        file += 3;
    }
    memcpy(file, source, size);
    file[size] = '\0';
}

static bool is_authors(lua_State *L, lua_Debug *frame)
{
    return lua_getinfo(L, "Sl", frame) && frame->source[0] == '@';
}

bool author_where(lua_State *L, struct author_place *place)
{
    lua_Debug frame;
    for (int level = 0; level < DEPTH_MAX && lua_getstack(L, level, &frame); level++) {
        if (!is_authors(L, &frame))
            continue;
        copy_file(place->file, sizeof place->file, frame.source + 1, frame.srclen - 1);
        place->line = frame.currentline;
        return true;
    }
    return false;
}

static void describe(lua_State *L, lua_Debug *frame, char *text, size_t room)
{
    char file[256];
    copy_file(file, sizeof file, frame->source + 1, frame->srclen - 1);
    int size = snprintf(text, room, "%s:%d: in ", file, frame->currentline);
    lua_getinfo(L, "n", frame);
    text += size;
    room -= (size_t)size;
    if (strcmp(frame->what, "main") == 0)
        snprintf(text, room, "the file");
    else if (frame->name)
        snprintf(text, room, "function '%.100s'", frame->name);
    else
        snprintf(text, room, "the function at line %d", frame->linedefined);
}

unsigned author_traceback(lua_State *L, struct buffer *out)
{
    unsigned count = 0;
    lua_Debug frame;
    for (int level = 0; level < DEPTH_MAX && count < FRAMES_MAX; level++) {
        if (!lua_getstack(L, level, &frame))
            break;
        if (!is_authors(L, &frame))
            continue;
        char text[512];
        describe(L, &frame, text, sizeof text);
        pack_string(out, text, strlen(text));
        count++;
    }
    return count;
}

/* match.c - see match.h.
 *
 * A pattern is a row of items.  Those that always match in one way (a class, a
 * %b, a %f, a back reference) are walked in a loop; those that leave a choice
 * (a repetition, a capture that must be undone) recurse.  Every round of every
 * loop over the subject that costs more than a look at one byte is a guard_step:
 * a pattern may take forever, but not longer than the check has. */
#include "vm/match.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "vm/guard.h"

enum { DEPTH_MAX = 200 };

static const char *follow(struct match *m, const char *s, const char *p);

void match_init(struct match *m, lua_State *L, const char *subject, size_t subject_size,
                const char *pattern, size_t pattern_size, bool anchors)
{
    m->L = L;
    m->subject = subject;
    m->subject_end = subject + subject_size;
    m->anchored = anchors && *pattern == '^';
    m->pattern = pattern + m->anchored;
    m->pattern_end = pattern + pattern_size;
    m->depth = 0;
    m->count = 0;
}

const char *match_at(struct match *m, const char *at)
{
    m->depth = 0;
    m->count = 0;
    return follow(m, at, m->pattern);
}

/* --- one character -------------------------------------------------------- */

/* The end of the set whose '[' is at p: behind its ']'. */
static const char *set_end(const struct match *m, const char *p)
{
    p += p[1] == '^' ? 2 : 1;
    do { /* a ']' that comes first is an ordinary member */
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    } while (*p != ']');
    return p + 1;
}

/* The end of the single-character item at p, where its suffix may stand. */
static const char *item_end(const struct match *m, const char *p)
{
    if (*p == '[')
        return set_end(m, p);
    if (*p != '%')
        return p + 1;
    if (p + 1 == m->pattern_end)
        luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 2;
}

static bool in_class(int c, int class)
{
    bool is;
    switch (tolower(class)) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'g': is = isgraph(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break; /* deprecated, and still there */
    default: return class == c;
    }
    return isupper(class) ? !is : is;
}

/* Is c in the set from '[' at p to ']' at last? */
static bool in_set(int c, const char *p, const char *last)
{
    bool found = true;
    if (*++p == '^') {
        found = false;
        p++;
    }
    for (; p < last; p++) {
        int member = (unsigned char)*p;
        if (member == '%') {
            if (in_class(c, (unsigned char)*++p))
                return found;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if (member <= c && c <= (unsigned char)*p)
                return found;
        } else if (member == c) {
            return found;
        }
    }
    return !found;
}

/* Does the character at s match the item from p to end? */
static inline bool is_one(const struct match *m, const char *s, const char *p, const char *end)
{
    if (s >= m->subject_end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.': return true;
    case '%': return in_class(c, (unsigned char)p[1]);
    case '[': return in_set(c, p, end - 1);
    default: return (unsigned char)*p == c;
    }
}

/* --- items that match in one way ------------------------------------------- */

/* %bxy: from an x to the y that balances it. */
static const char *balanced(struct match *m, const char *s, const char *p)
{
    if (p + 3 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    char open = p[2], close = p[3];
    if (s >= m->subject_end || *s != open)
        return NULL;
    for (size_t depth = 1; ++s < m->subject_end;) { /* short: the subject fits the memory */
        if (*s == close) {
            if (--depth == 0)
                return s + 1;
        } else if (*s == open) {
            depth++;
        }
    }
    return NULL;
}

/* %f[set]: between a character outside and one inside; the end counts as NUL. */
static bool at_frontier(const struct match *m, const char *s, const char *set, const char *end)
{
    int before = s == m->subject ? 0 : (unsigned char)s[-1];
    int here = s == m->subject_end ? 0 : (unsigned char)*s;
    return !in_set(before, set, end - 1) && in_set(here, set, end - 1);
}

/* %1 to %9: what that capture held, once more. */
static const char *back_reference(struct match *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->count || m->captures[i].size == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    const struct capture *held = &m->captures[i];
    if (held->size < 0 || m->subject_end - s < held->size)
        return NULL;
    return memcmp(held->at, s, (size_t)held->size) == 0 ? s + held->size : NULL;
}

/* --- items that leave a choice ---------------------------------------------- */

/* How many characters from s on match the item. */
static ptrdiff_t run_length(const struct match *m, const char *s, const char *p, const char *end)
{
    const char *from = s;
    if (*p == '.')
        return m->subject_end - s;
    for (; is_one(m, s, p, end); s++)
        guard_step(m->L);
    return s - from;
}

static const char *most_first(struct match *m, const char *s, ptrdiff_t least, const char *p,
                              const char *end)
{
    for (ptrdiff_t n = run_length(m, s, p, end); n >= least; n--) {
        const char *found = follow(m, s + n, end + 1);
        if (found)
            return found;
    }
    return NULL;
}

static const char *least_first(struct match *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *found = follow(m, s, end + 1);
        if (found)
            return found;
        if (!is_one(m, s, p, end))
            return NULL;
    }
}

static const char *begin_capture(struct match *m, const char *s, const char *p)
{
    if (m->count >= MATCH_CAPTURES)
        luaL_error(m->L, "too many captures");
    bool position = p[1] == ')';
    m->captures[m->count].at = s;
    m->captures[m->count].size = position ? CAPTURE_POSITION : CAPTURE_OPEN;
    m->count++;
    const char *found = follow(m, s, p + (position ? 2 : 1));
    if (!found)
        m->count--;
    return found;
}

static const char *finish_capture(struct match *m, const char *s, const char *p)
{
    int i = m->count - 1;
    while (i >= 0 && m->captures[i].size != CAPTURE_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[i].size = s - m->captures[i].at;
    const char *found = follow(m, s, p + 1);
    if (!found)
        m->captures[i].size = CAPTURE_OPEN;
    return found;
}

/* --- the row ---------------------------------------------------------------- */

/* An item that begins with % and is not a class.  True when it was one: then *s
 * is where it ends or NULL, and *p is behind it. */
static bool special(struct match *m, const char **s, const char **p)
{
    switch ((*p)[1]) {
    case 'b':
        *s = balanced(m, *s, *p);
        *p += 4;
        return true;
    case 'f': {
        const char *set = *p + 2;
        if (*set != '[')
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        *p = set_end(m, set);
        if (!at_frontier(m, *s, set, *p))
            *s = NULL;
        return true;
    }
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        *s = back_reference(m, *s, (*p)[1]);
        *p += 2;
        return true;
    default: return false;
    }
}

static const char *walk(struct match *m, const char *s, const char *p)
{
    while (s && p != m->pattern_end) {
        guard_step(m->L);
        if (*p == '(')
            return begin_capture(m, s, p);
        if (*p == ')')
            return finish_capture(m, s, p);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->subject_end ? s : NULL;
        if (*p == '%' && special(m, &s, &p))
            continue;
        const char *end = item_end(m, p);
        switch (*end) {
        case '*': return most_first(m, s, 0, p, end);
        case '+': return most_first(m, s, 1, p, end);
        case '-': return least_first(m, s, p, end);
        case '?': {
            const char *found = is_one(m, s, p, end) ? follow(m, s + 1, end + 1) : NULL;
            if (found)
                return found;
            p = end + 1;
            break;
        }
        default: s = is_one(m, s, p, end) ? s + 1 : NULL; p = end;
        }
    }
    return s;
}

/* Where the rest of the pattern from p on, matched at s, ends; NULL: nowhere. */
static const char *follow(struct match *m, const char *s, const char *p)
{
    if (m->depth++ == DEPTH_MAX)
        luaL_error(m->L, "pattern too complex");
    s = walk(m, s, p);
    m->depth--;
    return s;
}

/* --- captures ---------------------------------------------------------------- */

void match_push(struct match *m, int i, const char *from, const char *to)
{
    if (i >= m->count) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, from, (size_t)(to - from));
        return;
    }
    const struct capture *capture = &m->captures[i];
    if (capture->size == CAPTURE_POSITION)
        lua_pushinteger(m->L, capture->at - m->subject + 1);
    else if (capture->size == CAPTURE_OPEN)
        luaL_error(m->L, "unfinished capture");
    else
        lua_pushlstring(m->L, capture->at, (size_t)capture->size);
}

int match_push_all(struct match *m, const char *from, const char *to)
{
    int count = m->count == 0 && from ? 1 : m->count;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        match_push(m, i, from, to);
    return count;
}

/* redact.c - see redact.h.
 *
 * One pass over the text.  A table of byte pairs says where a secret could begin or where a name
 * was just left (`:` and `=`); only there the rules look closer.  Every rule is linear: what one
 * scan learns about a run of text without blanks is kept for the next. */
#include "base/redact.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SECRET_MIN = 4, SECRET_LINE_MIN = 8, NAME_MAX_SIZE = 64, GAP_MAX = 16 };

struct secret {
    char *text;
    size_t size;
    int next; /* with the same first byte; -1 ends */
};

struct redactor {
    uint8_t pairs[65536 / 8]; /* bit (first << 8 | second): look closer here */
    int first[256];           /* chains of secrets */
    struct secret *secrets;
    size_t count;
};

struct span {
    size_t start, end;
};

struct scan {
    const struct redactor *redactor;
    const char *text;
    size_t size;
    size_t run_end; /* of the last run without blanks that the URL rule saw */
    size_t run_at;  /* the last '@' (or cut mark) in it, or SIZE_MAX */
};

/* Bytes, whatever the locale. */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_name_byte(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || c == '-';
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static bool starts(const struct scan *s, size_t at, const char *word)
{
    size_t size = strlen(word);
    return s->size - at >= size && memcmp(s->text + at, word, size) == 0;
}

/* -- Names ------------------------------------------------------------------ */

enum name_kind { NAME_PLAIN, NAME_PASSWORD, NAME_HEADER, NAME_QUERY };

static enum name_kind name_kind(const char *name, size_t size)
{
    static const struct {
        const char *ending;
        enum name_kind kind;
    } known[] = {
        {"password", NAME_PASSWORD},   {"passwd", NAME_PASSWORD},      {"pwd", NAME_PASSWORD},
        {"passphrase", NAME_PASSWORD}, {"api_key", NAME_PASSWORD},     {"api-key", NAME_PASSWORD},
        {"apikey", NAME_PASSWORD},     {"token", NAME_PASSWORD},       {"secret", NAME_PASSWORD},
        {"signature", NAME_PASSWORD},  {"authorization", NAME_HEADER}, {"cookie", NAME_HEADER},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length = strlen(known[i].ending);
        if (size >= length && strncasecmp(name + size - length, known[i].ending, length) == 0)
            return known[i].kind;
    }
    return NAME_PLAIN;
}

bool redact_is_secret_name(const char *name, size_t size)
{
    return name_kind(name, size) != NAME_PLAIN;
}

/* In the query of a URL more names are a secret's than in prose or a configuration: the ends of
 * `token`, `X-Amz-Signature`, `session[token]`; `key` only as a word of its own. */
static bool is_query_secret(const char *name, size_t size)
{
    static const char *const endings[] = {"token",      "secret",      "signature", "sig",
                                          "auth",       "pass",        "jwt",       "session",
                                          "credential", "credentials", "sessionid"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t length = strlen(endings[i]);
        if (size >= length && strncasecmp(name + size - length, endings[i], length) == 0)
            return true;
    }
    return size >= 3 && strncasecmp(name + size - 3, "key", 3) == 0 &&
           (size == 3 || is_one_of(name[size - 4], "-_."));
}

static bool is_query_name_byte(char c)
{
    return is_name_byte(c) || is_one_of(c, ".[]%");
}

/* What stands between `?` or `&` and the `=` at `at`, as in ?token= and &amp;sig= . */
static enum name_kind query_kind_before(const struct scan *s, size_t at)
{
    size_t end = at, start;
    while (end > 0 && s->text[end - 1] == ']')
        end--;
    start = end;
    while (start > 0 && at - start < NAME_MAX_SIZE && is_query_name_byte(s->text[start - 1]))
        start--;
    bool follows = start > 0 && is_one_of(s->text[start - 1], "?&#");
    if (!follows && !(start >= 5 && memcmp(s->text + start - 5, "&amp;", 5) == 0))
        return NAME_PLAIN;
    return is_query_secret(s->text + start, end - start) ? NAME_QUERY : NAME_PLAIN;
}

/* What stands before the `:` or `=` at `at`: password=, "password": , ["pwd"] = . */
static enum name_kind kind_before(const struct scan *s, size_t at)
{
    size_t end = at;
    while (end > 0 && at - end < GAP_MAX && is_one_of(s->text[end - 1], " \t\"'\\]~!="))
        end--;
    size_t start = end;
    while (start > 0 && end - start < NAME_MAX_SIZE && is_name_byte(s->text[start - 1]))
        start--;
    return name_kind(s->text + start, end - start);
}

/* "invalid token: foo", as parsers say it: a known word before, and behind it one of small letters
 * alone, which no token is.  Whatever else stands there is taken for a secret. */
static bool is_complaint(const struct scan *s, size_t at)
{
    static const char *const words[] = {"invalid", "unexpected", "unknown", "illegal",
                                        "unrecognized"};
    enum { WORD_MAX = 16 };
    if (s->text[at] != ':' || at < 6 || strncasecmp(s->text + at - 5, "token", 5) != 0 ||
        s->text[at - 6] != ' ')
        return false;
    size_t end = at - 6, from = at + 2, to = from;
    bool known = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i]);
        known = known || (end >= size && strncasecmp(s->text + end - size, words[i], size) == 0 &&
                          (end == size || !is_name_byte(s->text[end - size - 1])));
    }
    if (!known || from > s->size || s->text[at + 1] != ' ')
        return false;
    while (to < s->size && s->text[to] >= 'a' && s->text[to] <= 'z')
        to++;
    return to > from && to - from <= WORD_MAX &&
           (to == s->size || is_blank(s->text[to]) || is_one_of(s->text[to], ",;)"));
}

/* -- Values ----------------------------------------------------------------- */

/* The end of a value in quotes whose opening, `quote` after `slashes` backslashes, ends at `at`. */
static size_t quoted_end(const struct scan *s, size_t at, char quote, size_t slashes)
{
    size_t run = 0; /* backslashes just before i */
    for (size_t i = at; i < s->size; i++) {
        if (s->text[i] == quote && (run <= slashes || (slashes == 0 && run % 2 == 0)) &&
            !(slashes == 0 && run % 2 == 1))
            return i - (slashes ? run : 0);
        run = s->text[i] == '\\' ? run + 1 : 0;
    }
    return s->size;
}

/* The end of a list or table that opens at `at`. */
static size_t bracket_end(const struct scan *s, size_t at)
{
    size_t depth = 0;
    for (size_t i = at; i < s->size; i++) {
        char c = s->text[i];
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return i + 1;
    }
    return s->size;
}

static size_t line_end(const struct scan *s, size_t at)
{
    while (at < s->size && s->text[at] != '\n' && s->text[at] != '\r')
        at++;
    return at;
}

static bool next_name_begins(const struct scan *s, size_t at)
{
    size_t i = at;
    while (i < s->size && i - at < NAME_MAX_SIZE && is_name_byte(s->text[i]))
        i++;
    return i == s->size || (i > at && s->text[i] == '=');
}

/* A bare password may hold nearly anything: only what surely ends it does. */
static size_t bare_end(const struct scan *s, size_t at)
{
    for (; at < s->size && !is_blank(s->text[at]); at++) {
        char c = s->text[at];
        if ((c == '&' || c == ';') && next_name_begins(s, at + 1))
            break;
        if ((c == '"' || c == '\'') && (at + 1 == s->size || is_blank(s->text[at + 1]) ||
                                        is_one_of(s->text[at + 1], ",)]};:.")))
            break;
    }
    return at;
}

static size_t query_value_end(const struct scan *s, size_t at)
{
    while (at < s->size && !is_blank(s->text[at]) && !is_one_of(s->text[at], "&#\"'<>`"))
        at++;
    return at;
}

/* The value after the `:` or `=` at `at`. */
static bool value_after(const struct scan *s, size_t at, enum name_kind kind, struct span *span)
{
    if (kind == NAME_QUERY) {
        *span = (struct span){at + 1, query_value_end(s, at + 1)};
        return span->end > span->start;
    }
    size_t i = at + 1;
    while (i < s->size && is_one_of(s->text[i], " \t=>"))
        i++;
    size_t slashes = 0;
    while (i + slashes < s->size && s->text[i + slashes] == '\\')
        slashes++;
    size_t quote = i + slashes;
    if (quote < s->size && (s->text[quote] == '"' || s->text[quote] == '\'')) {
        span->start = quote + 1;
        span->end = quoted_end(s, quote + 1, s->text[quote], slashes);
    } else {
        span->start = i;
        if (i < s->size && (s->text[i] == '{' || s->text[i] == '['))
            span->end = bracket_end(s, i);
        else
            span->end = kind == NAME_HEADER ? line_end(s, i) : bare_end(s, i);
    }
    return span->end > span->start;
}

/* -- URLs ------------------------------------------------------------------- */

static void look_at_run(struct scan *s, size_t at)
{
    if (at < s->run_end)
        return;
    s->run_at = SIZE_MAX;
    for (; at < s->size && !is_blank(s->text[at]); at++)
        if (s->text[at] == '@' || (s->text[at] == CUT_MARK[0] && starts(s, at, CUT_MARK)))
            s->run_at = at;
    s->run_end = at;
}

/* The password of the URL whose "://" is at `at`.  One that holds an unencoded / ? # or quote is
 * no URL but a secret all the same: unless what follows the colon is a port. */
static bool url_password(struct scan *s, size_t at, struct span *span)
{
    look_at_run(s, at);
    if (s->run_at == SIZE_MAX || s->run_at < at)
        return false;
    size_t colon = 0, sign = 0, i = at + 3;
    bool port = true;
    for (; i < s->run_end && !is_one_of(s->text[i], "/?#\"<>"); i++) {
        if (s->text[i] == '@')
            sign = i;
        else if (s->text[i] == ':' && !colon)
            colon = i;
        else if (colon && !is_digit(s->text[i]))
            port = false;
    }
    if (!colon)
        return false;
    if (!sign && (!port || i == colon + 1))
        sign = s->run_at;
    if (sign <= colon + 1)
        return false;
    *span = (struct span){colon + 1, sign};
    return true;
}

/* -- Tokens and the environment's secrets ------------------------------------ */

static bool bearer_token(const struct scan *s, size_t at, struct span *span)
{
    static const char *const prose[] = {"token",  "tokens", "auth",         "authentication",
                                        "scheme", "realm",  "authorization"};
    if (s->size - at < 8 || strncasecmp(s->text + at, "bearer", 6) != 0 ||
        !is_one_of(s->text[at + 6], " \t"))
        return false;
    size_t start = at + 7, end;
    while (start < s->size && is_one_of(s->text[start], " \t"))
        start++;
    for (end = start; end < s->size; end++)
        if (!is_name_byte(s->text[end]) && !is_one_of(s->text[end], "._~+/="))
            break;
    size_t word = start; /* realm="..." is not a token but a parameter */
    while (word < end && s->text[word] != '=')
        word++;
    for (size_t i = 0; i < sizeof prose / sizeof *prose; i++)
        if (strlen(prose[i]) == word - start &&
            strncasecmp(s->text + start, prose[i], word - start) == 0)
            return false;
    *span = (struct span){start, end};
    return end > start;
}

/* SQL's: `password 'x'`, `identified by 'x'`; a quote inside is doubled.  The blank is at `at`. */
static bool sql_password(const struct scan *s, size_t at, struct span *span)
{
    static const char *const words[] = {"password", "identified by"};
    bool known = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i]);
        known = known || (at >= size && strncasecmp(s->text + at - size, words[i], size) == 0);
    }
    size_t end = at + 2;
    if (!known || end > s->size || s->text[at + 1] != '\'')
        return false;
    while (end < s->size &&
           (s->text[end] != '\'' || (end + 1 < s->size && s->text[end + 1] == '\'')))
        end += s->text[end] == '\'' ? 2 : 1;
    *span = (struct span){at + 2, end < s->size ? end : s->size};
    return span->end > span->start;
}

/* The size of the longest secret that stands at `at`; 0: none. */
static size_t secret_at(const struct scan *s, size_t at)
{
    const struct redactor *r = s->redactor;
    size_t best = 0;
    for (int i = r->first[(unsigned char)s->text[at]]; i >= 0; i = r->secrets[i].next) {
        const struct secret *secret = &r->secrets[i];
        if (secret->size > best && s->size - at >= secret->size &&
            memcmp(s->text + at, secret->text, secret->size) == 0)
            best = secret->size;
    }
    return best;
}

/* The beginning of a secret that the cut at `at` left standing; not before `from`. */
static bool cut_secret(const struct scan *s, size_t at, size_t from, struct span *span)
{
    size_t best = 0;
    for (size_t i = 0; i < s->redactor->count; i++) {
        const struct secret *secret = &s->redactor->secrets[i];
        size_t longest = secret->size - 1 < at - from ? secret->size - 1 : at - from;
        for (size_t n = longest; n >= SECRET_MIN && n > best; n--)
            if (memcmp(s->text + at - n, secret->text, n) == 0)
                best = n;
    }
    *span = (struct span){at - best, at};
    return best > 0;
}

/* -- The pass --------------------------------------------------------------- */

static bool looks_interesting(const struct redactor *r, const char *p)
{
    unsigned pair = (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
    return r->pairs[pair >> 3] >> (pair & 7) & 1;
}

static bool find_here(struct scan *s, size_t at, size_t done, struct span *span)
{
    size_t secret = secret_at(s, at);
    if (secret) {
        *span = (struct span){at, at + secret};
        return true;
    }
    switch (s->text[at]) {
    case ':':
        if (starts(s, at, "://"))
            return url_password(s, at, span);
        __attribute__((fallthrough));
    case '=': {
        /* a value in a query ends sooner than one in prose */
        enum name_kind kind = s->text[at] == '=' ? query_kind_before(s, at) : NAME_PLAIN;
        if (kind == NAME_PLAIN)
            kind = kind_before(s, at);
        return kind != NAME_PLAIN && !is_complaint(s, at) && value_after(s, at, kind, span);
    }
    case ' ': return sql_password(s, at, span);
    case 'b':
    case 'B': return bearer_token(s, at, span);
    case '\xe2': return starts(s, at, CUT_MARK) && cut_secret(s, at, done, span);
    default: return false;
    }
}

/* A secret may begin inside the span and end outside. */
static void widen(const struct scan *s, struct span *span)
{
    for (size_t i = span->start; i < span->end && i + 1 < s->size; i++) {
        if (!looks_interesting(s->redactor, s->text + i))
            continue;
        size_t size = secret_at(s, i);
        if (i + size > span->end)
            span->end = i + size;
    }
}

static void take_out(const struct scan *s, struct span span, size_t *done, struct buffer *out)
{
    bool already = span.end - span.start == strlen(REDACTED) && starts(s, span.start, REDACTED);
    if (already)
        return;
    buffer_add(out, s->text + *done, span.start - *done);
    buffer_add_string(out, REDACTED);
    *done = span.end;
}

bool redact(const struct redactor *redactor, const char *text, size_t size, struct buffer *out)
{
    if (!redactor)
        return false;
    struct scan s = {.redactor = redactor, .text = text, .size = size};
    struct span ahead = {0}; /* found, but some text, which may hold a secret, stands before it */
    size_t done = 0;
    for (size_t i = 0; i + 1 < size; i++) {
        struct span span;
        if (ahead.end && i >= ahead.start) {
            span = ahead;
        } else if (!looks_interesting(redactor, text + i)) {
            continue;
        } else if (ahead.end) {
            size_t secret = secret_at(&s, i);
            if (!secret)
                continue;
            span = (struct span){i, i + secret};
            if (span.end > ahead.start && ahead.end > span.end)
                span.end = ahead.end;
        } else if (!find_here(&s, i, done, &span)) {
            continue;
        } else if (span.start > i) {
            ahead = span;
            continue;
        }
        widen(&s, &span);
        if (span.end > ahead.start)
            ahead.end = 0;
        take_out(&s, span, &done, out);
        i = span.end > i ? span.end - 1 : i;
    }
    if (ahead.end)
        take_out(&s, ahead, &done, out);
    if (done)
        buffer_add(out, text + done, size - done);
    return done > 0;
}

/* -- What the environment holds ---------------------------------------------- */

static void mark_pair(struct redactor *r, unsigned char a, unsigned char b)
{
    unsigned pair = (unsigned)a << 8 | b;
    r->pairs[pair >> 3] |= (uint8_t)(1u << (pair & 7));
}

static void add_plain(struct redactor *r, const char *text, size_t size)
{
    if (size < SECRET_MIN)
        return;
    unsigned char first = (unsigned char)text[0];
    for (int i = r->first[first]; i >= 0; i = r->secrets[i].next)
        if (r->secrets[i].size == size && memcmp(r->secrets[i].text, text, size) == 0)
            return;
    r->secrets = memory_resize(r->secrets, (r->count + 1) * sizeof *r->secrets);
    r->secrets[r->count] = (struct secret){memory_copy(text, size), size, r->first[first]};
    r->first[first] = (int)r->count++;
    mark_pair(r, first, (unsigned char)text[1]);
}

/* format: "%%%02X" or "%%%02x"; blank: how a space is written. */
static void add_encoded(struct redactor *r, const char *text, size_t size, const char *digits,
                        const char *blank)
{
    struct buffer b = {0};
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_name_byte(text[i]) || text[i] == '.' || text[i] == '~')
            buffer_add(&b, &text[i], 1);
        else if (c == ' ')
            buffer_add_string(&b, blank);
        else
            buffer_addf(&b, "%%%c%c", digits[c >> 4], digits[c & 15]);
    }
    if (b.size)
        add_plain(r, b.data, b.size);
    buffer_fini(&b);
}

static void add_escaped(struct redactor *r, const char *text, size_t size)
{
    struct buffer b = {0};
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"' || text[i] == '\\')
            buffer_add_string(&b, "\\");
        if (text[i] == '\n')
            buffer_add_string(&b, "\\n");
        else
            buffer_add(&b, &text[i], 1);
    }
    if (b.size)
        add_plain(r, b.data, b.size);
    buffer_fini(&b);
}

static void add_decoded(struct redactor *r, const char *text, size_t size)
{
    struct buffer b = {0};
    for (size_t i = 0; i < size; i++) {
        char hex[3] = {0}, *end = hex;
        if (text[i] == '%' && size - i > 2)
            memcpy(hex, text + i + 1, 2);
        long code = hex[0] ? strtol(hex, &end, 16) : 0;
        char c = end == hex + 2 ? (char)code : text[i];
        i += end == hex + 2 ? 2 : 0;
        buffer_add(&b, &c, 1);
    }
    if (b.size)
        add_plain(r, b.data, b.size);
    buffer_fini(&b);
}

static void add_secret(struct redactor *r, const char *text, size_t size)
{
    static const char *const harmless[] = {"true", "false", "none", "null"};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strlen(harmless[i]) == size && strncasecmp(text, harmless[i], size) == 0)
            return;
    if (size < SECRET_MIN)
        return;
    add_plain(r, text, size);
    add_encoded(r, text, size, "0123456789ABCDEF", "%20");
    add_encoded(r, text, size, "0123456789abcdef", "%20");
    add_encoded(r, text, size, "0123456789ABCDEF", "+");
    add_encoded(r, text, size, "0123456789abcdef", "+");
    add_escaped(r, text, size);
    /* Output is kept in lines: a key of several lines would pass one at a time. */
    for (const char *at = text, *end = text + size, *stop; at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            stop = end;
        size_t length = (size_t)(stop - at);
        if (length && at[length - 1] == '\r')
            length--;
        if (length >= SECRET_LINE_MIN)
            add_plain(r, at, length);
    }
}

static bool name_says_secret(const char *name, size_t size)
{
    static const char *const words[] = {"secret",     "token", "password",  "passwd",
                                        "passphrase", "key",   "credential"};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        size_t length = strlen(words[w]);
        for (size_t i = 0; i + length <= size; i++)
            if (strncasecmp(name + i, words[w], length) == 0)
                return true;
    }
    return false;
}

/* DATABASE_URL=postgres://shop:s3cret@db/shop: the password may also appear alone.  One that is
 * the user's name (postgres:postgres) is left out: it would blot out half of every report. */
static void add_url_password(struct redactor *r, const char *value)
{
    struct scan s = {.redactor = r, .text = value, .size = strlen(value)};
    const char *found = strstr(value, "://");
    struct span span;
    if (!found || !url_password(&s, (size_t)(found - value), &span))
        return;
    size_t user = (size_t)(found - value) + 3, size = span.end - span.start;
    if (span.start - 1 - user == size && memcmp(value + user, value + span.start, size) == 0)
        return;
    add_secret(r, value + span.start, size);
    add_decoded(r, value + span.start, size);
}

struct redactor *redactor_new(char **variables)
{
    struct redactor *r = memory_new(sizeof *r);
    for (size_t i = 0; i < 256; i++) {
        r->first[i] = -1;
        mark_pair(r, ':', (unsigned char)i);
        mark_pair(r, '=', (unsigned char)i);
    }
    mark_pair(r, ' ', '\'');
    mark_pair(r, 'b', 'e');
    mark_pair(r, 'b', 'E');
    mark_pair(r, 'B', 'e');
    mark_pair(r, 'B', 'E');
    mark_pair(r, (unsigned char)CUT_MARK[0], (unsigned char)CUT_MARK[1]);
    for (; variables && *variables; variables++) {
        const char *value = strchr(*variables, '=');
        if (!value++)
            continue;
        if (name_says_secret(*variables, (size_t)(value - 1 - *variables)))
            add_secret(r, value, strlen(value));
        add_url_password(r, value);
    }
    return r;
}

void redactor_free(struct redactor *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        free(r->secrets[i].text);
    free(r->secrets);
    free(r);
}

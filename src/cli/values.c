/* values.c - see values.h.  Every message names the option, the value, and what is accepted. */
#include "cli/values.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/text.h"

/* What a value is stored into and how messages speak of it. */
struct slot {
    const struct option_spec *spec;
    const char *origin;
    void *at;
};

static bool refuse(const struct slot *s, const char *text, const char *accepted, struct fault *why)
{
    char *shown = text_escape(text);
    fault_set(why, FAULT_INTERNAL, "%s: \"%s\" is not %s", s->origin, shown, accepted);
    free(shown);
    return false;
}

/* A whole number in digits alone (strtoull would also take " +-"); one that is
 * too large becomes the largest there is, which every bound refuses. */
static bool read_number(const char *text, uint64_t *number, const char **end)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *after;
    *number = strtoull(text, &after, 10);
    *end = after;
    return true;
}

static bool store_switch(const struct slot *s, const char *text, struct fault *why)
{
    static const char *const words[] = {"0", "1", "no", "yes", "false", "true", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *(bool *)s->at = i % 2;
            return true;
        }
    return refuse(s, text, "yes or no", why);
}

static bool store_duration(const struct slot *s, const char *text, struct fault *why)
{
    uint64_t ns;
    if (!duration_parse(text, &ns))
        return refuse(s, text, "a duration: write 250ms, 2s, 5m or 1h", why);
    if (ns < s->spec->least || ns > s->spec->most)
        return refuse(s, text, "between 1ms and 365d", why);
    *(uint64_t *)s->at = ns;
    return true;
}

static bool store_size(const struct slot *s, const char *text, struct fault *why)
{
    static const char *const units[] = {"",   "K",  "M", "G",   "B",   "KB",
                                        "MB", "GB", "B", "KIB", "MIB", "GIB"};
    uint64_t number;
    const char *unit;
    if (!read_number(text, &number, &unit))
        return refuse(s, text, "a size: write 16M, 65536K or 1G", why);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(unit, units[i]) != 0)
            continue;
        unsigned shift = (unsigned)(i % 4) * 10;
        if (number > s->spec->most >> shift || number << shift < s->spec->least)
            return refuse(s, text, "between 1M and 4G", why);
        *(uint64_t *)s->at = number << shift;
        return true;
    }
    return refuse(s, text, "a size: write 16M, 65536K or 1G", why);
}

static bool store_count(const struct slot *s, const char *text, struct fault *why)
{
    uint64_t number;
    const char *end;
    if (read_number(text, &number, &end) && *end == '\0' && number >= s->spec->least &&
        number <= s->spec->most) {
        *(unsigned *)s->at = (unsigned)number;
        return true;
    }
    char *shown = text_escape(text);
    fault_set(why, FAULT_INTERNAL, "%s: \"%s\" is not a whole number from %llu to %llu", s->origin,
              shown, (unsigned long long)s->spec->least, (unsigned long long)s->spec->most);
    free(shown);
    return false;
}

static bool store_shard(const struct slot *s, const char *text, struct fault *why)
{
    uint64_t index, count;
    const char *end;
    if (!read_number(text, &index, &end) || *end != '/' || !read_number(end + 1, &count, &end) ||
        *end != '\0' || index < 1 || index > count || count > s->spec->most)
        return refuse(s, text, "I/N, such as 1/4 (I from 1 to N, N at most 10000)", why);
    *(struct shard *)s->at = (struct shard){(unsigned)index, (unsigned)count};
    return true;
}

/* The index of text among words separated by spaces, or -1. */
static int word_index(const char *words, const char *text)
{
    struct strings list = {0};
    strings_add_words(&list, words);
    int index = -1;
    for (size_t i = 0; i < list.count && index < 0; i++)
        if (strcmp(list.items[i], text) == 0)
            index = (int)i;
    strings_fini(&list);
    return index;
}

static bool store_choice(const struct slot *s, const char *text, struct fault *why)
{
    int index = word_index(s->spec->choices, text);
    if (index < 0) {
        char accepted[128] = "one of: ";
        strncat(accepted, s->spec->choices, sizeof accepted - strlen(accepted) - 1);
        return refuse(s, text, accepted, why);
    }
    *(unsigned *)s->at = (unsigned)index; /* enums here are unsigned */
    return true;
}

static bool store_layers(const struct slot *s, const char *text, struct fault *why)
{
    struct fault layer;
    return confine_read_layers(text, s->at, &layer) ||
           fault_set(why, FAULT_INTERNAL, "%s: %s", s->origin, layer.message);
}

static bool store_text(const struct slot *s, const char *text, struct fault *why)
{
    if (!*text)
        return refuse(s, text, s->spec->argument, why);
    *(const char **)s->at = text;
    return true;
}

static bool store_item(const struct slot *s, const char *text, struct fault *why)
{
    const char *equals = strchr(text, '=');
    if (!*text)
        return refuse(s, text, s->spec->argument, why);
    if (s->spec->kind == OPTION_REPORTS && (!equals || equals == text || !equals[1]))
        return refuse(s, text, "FORMAT=FILE, such as json=result.json", why);
    strings_add(s->at, text);
    return true;
}

bool value_store(struct options *o, const struct option_spec *spec, const char *origin,
                 const char *text, struct fault *why)
{
    struct slot s = {spec, origin, (char *)o + spec->offset};
    switch (spec->kind) {
    case OPTION_SWITCH: return store_switch(&s, text, why);
    case OPTION_DURATION: return store_duration(&s, text, why);
    case OPTION_SIZE: return store_size(&s, text, why);
    case OPTION_COUNT: return store_count(&s, text, why);
    case OPTION_SHARD: return store_shard(&s, text, why);
    case OPTION_CHOICE: return store_choice(&s, text, why);
    case OPTION_LAYERS: return store_layers(&s, text, why);
    case OPTION_TEXT: return store_text(&s, text, why);
    case OPTION_LIST:
    case OPTION_PATTERNS:
    case OPTION_GRANTS:
    case OPTION_REPORTS: return store_item(&s, text, why);
    }
    return fault_set(why, FAULT_INTERNAL, "%s: an option of no kind", origin);
}

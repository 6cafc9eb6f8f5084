/* options.c - see options.h. */
#include "cli/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/values.h"

enum { TABLE_MAX = 64, NAME_MAX_SIZE = 64 };

/* argv from the left, and which options it held. */
struct cursor {
    struct options *o;
    char *const *argv;
    int argc, at;
    bool given[TABLE_MAX];
};

/* A whole line; what is not printable in it is escaped. */
#define USAGE(why, ...) fault_set((why), FAULT_INTERNAL, __VA_ARGS__)

static unsigned bit(enum command command)
{
    return 1U << command;
}

static const char *command_name(const struct options *o)
{
    return options_commands[o->command].name;
}

void options_twin(const struct option_spec *spec, char *name, size_t size)
{
    snprintf(name, size, "HOSPITAL_%s", spec->name);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static bool is_list(const struct option_spec *spec)
{
    return spec->kind == OPTION_LIST || spec->kind == OPTION_PATTERNS ||
           spec->kind == OPTION_REPORTS || spec->kind == OPTION_GRANTS;
}

static const struct option_spec *find_long(const struct options *o, const char *name, size_t size)
{
    for (const struct option_spec *spec = options_table; spec->name; spec++)
        if (spec->commands & bit(o->command) && strlen(spec->name) == size &&
            memcmp(spec->name, name, size) == 0)
            return spec;
    return NULL;
}

static const struct option_spec *find_letter(const struct options *o, char letter)
{
    for (const struct option_spec *spec = options_table; spec->name; spec++)
        if (spec->commands & bit(o->command) && spec->letter == letter)
            return spec;
    return NULL;
}

static bool refuse_long(const struct options *o, const char *name, struct fault *why)
{
    const char *known[TABLE_MAX + 2] = {"help"};
    size_t count = 1;
    for (const struct option_spec *spec = options_table; spec->name; spec++)
        if (spec->commands & bit(o->command))
            known[count++] = spec->name;
    const char *nearest = text_nearest(name, known);
    char *shown = text_escape(name);
    USAGE(why, "%s: unknown option --%s%s%s%s (see hospital help %s)", command_name(o), shown,
          nearest ? ": did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "",
          command_name(o));
    free(shown);
    return false;
}

static bool store(struct cursor *c, const struct option_spec *spec, const char *origin,
                  const char *text, struct fault *why)
{
    c->given[spec - options_table] = true;
    return value_store(c->o, spec, origin, text, why);
}

/* The value of an option that takes one: the next word. */
static const char *next_word(struct cursor *c, const struct option_spec *spec, const char *origin,
                             struct fault *why)
{
    if (c->at < c->argc)
        return c->argv[c->at++];
    USAGE(why, "%s: needs a value: %s %s", origin, origin, spec->argument);
    return NULL;
}

static bool parse_long(struct cursor *c, const char *word, struct fault *why)
{
    size_t size = strcspn(word, "=");
    const char *text = word[size] == '=' ? word + size + 1 : NULL;
    char origin[NAME_MAX_SIZE];
    const struct option_spec *spec = find_long(c->o, word, size);
    if (!spec) {
        char *name = strndup(word, size);
        refuse_long(c->o, name ? name : word, why);
        free(name);
        return false;
    }
    snprintf(origin, sizeof origin, "--%s", spec->name);
    if (!text)
        text = spec->argument ? next_word(c, spec, origin, why) : "yes";
    return text && store(c, spec, origin, text, why);
}

/* -x, -xv, -j4, -j 4, -xj4. */
static bool parse_letters(struct cursor *c, const char *letters, struct fault *why)
{
    for (; *letters; letters++) {
        if (*letters == 'h') {
            c->o->topic = c->o->command;
            continue;
        }
        const struct option_spec *spec = find_letter(c->o, *letters);
        if (!spec) {
            char letter[2] = {*letters, '\0'};
            char *shown = text_escape(letter);
            USAGE(why, "%s: unknown option -%s (see hospital help %s)", command_name(c->o), shown,
                  command_name(c->o));
            free(shown);
            return false;
        }
        char origin[3] = {'-', *letters, '\0'};
        if (!spec->argument) {
            if (!store(c, spec, origin, "yes", why))
                return false;
            continue;
        }
        const char *text = letters[1] ? letters + 1 : next_word(c, spec, origin, why);
        return text && store(c, spec, origin, text, why);
    }
    return true;
}

static bool parse_words(struct cursor *c, struct fault *why)
{
    bool ended = false;
    while (c->at < c->argc) {
        const char *word = c->argv[c->at++];
        bool ok = true;
        if (ended || word[0] != '-' || word[1] == '\0')
            strings_add(&c->o->paths, word);
        else if (strcmp(word, "--") == 0)
            ended = true;
        else if (strcmp(word, "--help") == 0)
            c->o->topic = c->o->command;
        else
            ok = word[1] == '-' ? parse_long(c, word + 2, why) : parse_letters(c, word + 1, why);
        if (!ok)
            return false;
    }
    return true;
}

static bool store_twin(struct options *o, const struct option_spec *spec, const char *name,
                       const char *text, struct fault *why)
{
    if (!is_list(spec) || spec->kind == OPTION_PATTERNS)
        return value_store(o, spec, name, text, why);
    struct strings words = {0};
    strings_add_words(&words, text);
    bool ok = true;
    for (size_t i = 0; ok && i < words.count; i++)
        ok = value_store(o, spec, name, words.items[i], why);
    strings_fini(&words);
    return ok;
}

static bool parse_twins(struct cursor *c, struct fault *why)
{
    c->o->allow_flags = c->o->allow.count;
    c->o->deny_flags = c->o->deny.count;
    for (const struct option_spec *spec = options_table; spec->name; spec++) {
        char name[NAME_MAX_SIZE];
        options_twin(spec, name, sizeof name);
        const char *text = getenv(name);
        if (text && *text && spec->commands & bit(c->o->command) &&
            (!c->given[spec - options_table] || spec->kind == OPTION_GRANTS) &&
            !store_twin(c->o, spec, name, text, why))
            return false;
    }
    return true;
}

static bool store_fallbacks(struct options *o, struct fault *why)
{
    for (const struct option_spec *spec = options_table; spec->name; spec++)
        if (spec->fallback && !value_store(o, spec, spec->name, spec->fallback, why))
            return false;
    return true;
}

static enum command find_command(const char *name)
{
    for (int i = COMMAND_RUN; i < COMMAND_COUNT; i++)
        if (strcmp(options_commands[i].name, name) == 0)
            return (enum command)i;
    return COMMAND_NONE;
}

static bool refuse_command(const char *word, struct fault *why)
{
    const char *known[COMMAND_COUNT + 1] = {0};
    for (int i = COMMAND_RUN; i < COMMAND_COUNT; i++)
        known[i - COMMAND_RUN] = options_commands[i].name;
    const char *nearest = text_nearest(word, known);
    char *shown = text_escape(word);
    if (nearest)
        USAGE(why, "unknown command %s: did you mean hospital %s?", shown, nearest);
    else if (access(word, F_OK) == 0)
        USAGE(why, "unknown command %s: did you mean hospital run %s?", shown, shown);
    else if (word[0] == '-')
        USAGE(why, "%s: options stand behind a command, as in hospital run %s", shown, shown);
    else
        USAGE(why, "unknown command %s (see hospital help)", shown);
    free(shown);
    return false;
}

/* hospital help [COMMAND] */
static bool finish_help(struct options *o, struct fault *why)
{
    if (o->paths.count > 1)
        return USAGE(why, "help: one command at a time");
    if (o->paths.count == 0)
        return true;
    o->topic = find_command(o->paths.items[0]);
    return o->topic || refuse_command(o->paths.items[0], why);
}

static bool check_arguments(const struct options *o, struct fault *why)
{
    bool takes_paths = bit(o->command) & (bit(COMMAND_RUN) | bit(COMMAND_LIST) | bit(COMMAND_LINT));
    size_t wanted = o->command == COMMAND_NEW;
    if (takes_paths || o->paths.count == wanted)
        return true;
    if (o->paths.count < wanted)
        return USAGE(why, "new: needs a NAME, as in hospital new shop");
    char *shown = text_escape(o->paths.items[wanted]);
    USAGE(why, "%s: too many arguments, from %s on", command_name(o), shown);
    free(shown);
    return false;
}

static bool finish(struct cursor *c, struct fault *why)
{
    struct options *o = c->o;
    if (o->topic && o->command != COMMAND_HELP) { /* COMMAND --help */
        o->command = COMMAND_HELP;
        return true;
    }
    if (o->command == COMMAND_HELP)
        return finish_help(o, why);
    if (o->command == COMMAND_LIST) {
        o->list = true;
        if (c->given[find_letter(o, 'f') - options_table] && strcmp(o->format, "json") != 0)
            return USAGE(why, "list: --format is json, or left away for the ids, one a line");
    }
    if (o->verbose && o->quiet && c->given[find_letter(o, 'v') - options_table] &&
        c->given[find_letter(o, 'q') - options_table])
        return USAGE(why, "%s: --verbose and --quiet exclude each other", command_name(o));
    return check_arguments(o, why);
}

bool options_parse(struct options *o, int argc, char *const *argv, struct fault *why)
{
    *o = (struct options){0};
    if (!store_fallbacks(o, why))
        return false;
    if (argc < 2)
        return true;
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        o->command = COMMAND_HELP;
    else if (strcmp(word, "--version") == 0)
        o->command = COMMAND_VERSION;
    else
        o->command = find_command(word);
    if (o->command == COMMAND_NONE)
        return refuse_command(word, why);
    struct cursor c = {.o = o, .argv = argv, .argc = argc, .at = 2};
    return parse_words(&c, why) && (o->topic || parse_twins(&c, why)) && finish(&c, why);
}

void options_fini(struct options *o)
{
    struct strings *lists[] = {&o->paths, &o->tags, &o->exclude_tags, &o->filters,
                               &o->allow, &o->deny, &o->reports};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        strings_fini(lists[i]);
}

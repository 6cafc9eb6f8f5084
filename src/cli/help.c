/* help.c - see help.h. */
#include "cli/help.h"

#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <lua.h>
#include <uv.h>

enum { WIDTH = 80, HELP_COLUMN = 27 };

static void pad(struct buffer *out, size_t spaces)
{
    memset(buffer_reserve(out, spaces), ' ', spaces);
    out->size += spaces;
}

/* Appends text from column on, broken at spaces, each further line behind
 * indent spaces; ends the line. */
static void add_wrapped(struct buffer *out, const char *text, size_t column, size_t indent)
{
    bool first = true;
    while (*text) {
        size_t size = strcspn(text, " ");
        if (!first && column + 1 + size > WIDTH) {
            buffer_add(out, "\n", 1);
            pad(out, indent);
            column = indent;
        } else if (!first) {
            buffer_add(out, " ", 1);
            column++;
        }
        buffer_add(out, text, size);
        column += size;
        text += size + strspn(text + size, " ");
        first = false;
    }
    buffer_add(out, "\n", 1);
}

static void add_paragraph(struct buffer *out, const char *text)
{
    add_wrapped(out, text, 0, 0);
}

/* "  -t, --tag TAG", then what it does from HELP_COLUMN on. */
static void add_entry(struct buffer *out, char letter, const char *name, const char *argument,
                      const char *text)
{
    size_t start = out->size;
    if (letter)
        buffer_addf(out, "  -%c, --%s", letter, name);
    else
        buffer_addf(out, "      --%s", name);
    if (argument)
        buffer_addf(out, " %s", argument);
    size_t used = out->size - start;
    if (used + 2 > HELP_COLUMN) {
        buffer_add(out, "\n", 1);
        used = 0;
    }
    pad(out, HELP_COLUMN - used);
    add_wrapped(out, text, HELP_COLUMN, HELP_COLUMN);
}

static void add_option(struct buffer *out, const struct option_spec *spec)
{
    struct buffer text = {0};
    buffer_add_string(&text, spec->help);
    if (spec->fallback)
        buffer_addf(&text, " (default %s)", spec->fallback);
    buffer_add(&text, "", 1);
    add_entry(out, spec->letter, spec->name, spec->argument, text.data);
    buffer_fini(&text);
}

/* True when there was one. */
static bool add_options(struct buffer *out, enum command topic)
{
    const char *group = NULL;
    for (const struct option_spec *spec = options_table; spec->name; spec++) {
        if (!(spec->commands & 1U << topic))
            continue;
        if (!group || strcmp(group, spec->group) != 0)
            buffer_addf(out, "\n%s:\n", spec->group);
        group = spec->group;
        add_option(out, spec);
    }
    buffer_add_string(out, "\nHelp:\n");
    add_entry(out, 'h', "help", NULL, "print this page");
    return group != NULL;
}

static void add_exit_codes(struct buffer *out)
{
    buffer_add_string(out, "\nExit codes:\n"
                           "  0 green, 1 red, 2 interrupted, 3 --wait ran out, 4 usage error,\n"
                           "  5 nothing selected; with --format nagios as Nagios has it\n");
}

static void add_twins(struct buffer *out)
{
    buffer_add(out, "\n", 1);
    add_paragraph(out, "Every option has a twin in the environment: --fail-fast is "
                       "HOSPITAL_FAIL_FAST. A switch there is yes or no, a list is separated by "
                       "spaces; an option on the command line wins.");
}

static void add_text(struct buffer *out, const char *text)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        char *line = memory_copy(text, (size_t)(end - text));
        buffer_add(out, "\n", 1);
        add_paragraph(out, line);
        free(line);
    }
}

static void add_overview(struct buffer *out)
{
    buffer_add_string(out,
                      "hospital runs healthchecks: small Lua scripts that assert things about\n"
                      "a running system.\n\n"
                      "usage: hospital COMMAND [OPTION...] [PATH...]\n\nCommands:\n");
    for (int i = COMMAND_RUN; i < COMMAND_COUNT; i++) {
        const struct command_spec *spec = &options_commands[i];
        size_t start = out->size;
        buffer_addf(out, "  %s %s", spec->name, spec->arguments);
        pad(out, HELP_COLUMN - (out->size - start));
        add_wrapped(out, spec->summary, HELP_COLUMN, HELP_COLUMN);
    }
    buffer_add_string(out, "\nTo start: hospital new shop, then hospital run.\n"
                           "All about a command: hospital help run.\n");
}

void help_page(struct buffer *out, enum command topic)
{
    if (topic == COMMAND_NONE) {
        add_overview(out);
        return;
    }
    const struct command_spec *spec = &options_commands[topic];
    bool options = false;
    for (const struct option_spec *o = options_table; o->name; o++)
        options |= (o->commands & 1U << topic) != 0;
    buffer_addf(out, "usage: hospital %s%s%s%s\n\n", spec->name, options ? " [OPTION...]" : "",
                *spec->arguments ? " " : "", spec->arguments);
    buffer_addf(out, "hospital %s: %s.\n", spec->name, spec->summary);
    add_text(out, spec->text);
    if (add_options(out, topic))
        add_twins(out);
    if (topic == COMMAND_RUN)
        add_exit_codes(out);
}

void help_versions(struct buffer *out)
{
    buffer_addf(out, "hospital %s\n%s\nlibuv %s\nc-ares %s\n", HOSPITAL_VERSION, LUA_RELEASE,
                uv_version_string(), ares_version(NULL));
}

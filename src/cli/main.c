/* main.c - where the process begins and ends. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/help.h"
#include "cli/new.h"
#include "cli/options.h"
#include "cli/run.h"

static int print(struct buffer *text, int code)
{
    fwrite(text->data, 1, text->size, stdout);
    buffer_fini(text);
    return fflush(stdout) == 0 ? code : EXIT_RED;
}

static int help(enum command topic, int code)
{
    struct buffer page = {0};
    help_page(&page, topic);
    return print(&page, code);
}

static int version(void)
{
    struct buffer text = {0};
    help_versions(&text);
    return print(&text, EXIT_GREEN);
}

static int make_new(const struct options *o)
{
    struct buffer path = {0};
    struct fault why;
    if (!new_check(o->paths.items[0], &path, &why)) {
        fprintf(stderr, "hospital: %s\n", why.message);
        buffer_fini(&path);
        return EXIT_RED;
    }
    printf("wrote %s; try: hospital run %s\n", path.data, path.data);
    buffer_fini(&path);
    return fflush(stdout) == 0 ? EXIT_GREEN : EXIT_RED;
}

static int examine(const struct options *o)
{
    bool json = strcmp(o->format, "json") == 0;
    bool text = strcmp(o->format, "dots") == 0 || strcmp(o->format, "verbose") == 0;
    if (!json && !text) { /* what HOSPITAL_FORMAT asks of runs need not suit here */
        fprintf(stderr, "hospital: doctor: there is no format \"%s\" for this: only json\n",
                o->format);
        return EXIT_USAGE;
    }
    return doctor(stdout, &(struct doctor_options){
                              .color = color_is_wanted(o->color, isatty(STDOUT_FILENO)),
                              .json = json,
                              .concurrency = o->concurrency,
                              .layers_off = o->layers_off,
                          });
}

static int dispatch(const struct options *o)
{
    switch (o->command) {
    case COMMAND_RUN:
    case COMMAND_LIST: return run_command(o);
    case COMMAND_LINT: return lint_command(o);
    case COMMAND_NEW: return make_new(o);
    case COMMAND_DOCTOR: return examine(o);
    case COMMAND_VERSION: return version();
    case COMMAND_HELP: return help(o->topic, EXIT_GREEN);
    /* Not green: an empty variable in a deploy script must not pass. */
    case COMMAND_NONE:
    case COMMAND_COUNT: break;
    }
    return help(COMMAND_NONE, EXIT_USAGE);
}

/* A standard descriptor that was closed would be given to the next socket, and a
 * report be written into that: it becomes one where every write fails. */
static bool hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct options options;
    struct fault why;
    int code = EXIT_USAGE;
    if (!hold_standard_descriptors())
        return EXIT_USAGE;
    if (options_parse(&options, argc, argv, &why))
        code = dispatch(&options);
    else
        fprintf(stderr, "hospital: %s\n", why.message);
    options_fini(&options);
    return code;
}

/* options.h - the command line and its environment twins, read into one struct.
 *
 * `hospital COMMAND [OPTION…] [PATH…]`; options and paths may be mixed, `--`
 * ends the options.  `--opt=value`, `--opt value`, `-j4`, `-j 4` and bundled switches
 * (`-xv`) are understood, abbreviations are not.  Every option has a twin in
 * the environment: --fail-fast is HOSPITAL_FAIL_FAST.  The flag wins over the twin, a
 * repeated flag over the earlier one, and a list given by flags replaces the twin's;
 * but what HOSPITAL_DENY denies stays denied whatever the flags say, and HOSPITAL_ALLOW
 * gives way for those capabilities only that some --allow names.
 * In a twin, a switch is 1/0, yes/no, true/false or on/off (`--slow=no` works as
 * well, to undo a twin), a list is separated by spaces (--filter is one pattern),
 * and an empty value counts as unset.
 *
 * One table (options_table) drives parsing, twins, validation and help. */
#ifndef HOSPITAL_CLI_OPTIONS_H
#define HOSPITAL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/strings.h"
#include "cli/output.h"
#include "proc/confine.h"

enum command {
    COMMAND_NONE, /* nothing was given: the short help, and not green */
    COMMAND_RUN,
    COMMAND_LIST,
    COMMAND_LINT,
    COMMAND_NEW,
    COMMAND_DOCTOR,
    COMMAND_VERSION,
    COMMAND_HELP,
    COMMAND_COUNT,
};

struct shard {
    unsigned index, count; /* 1 <= index <= count; count 0: not sharded */
};

struct options {
    enum command command;
    enum command topic;   /* of COMMAND_HELP: COMMAND_NONE is the overview */
    struct strings paths; /* run, list, lint: PATHs as given; new: one NAME */

    struct strings tags, exclude_tags, filters;
    struct shard shard;
    bool slow, failed, list; /* list is also set by the command */

    unsigned workers; /* 0: one for each core */
    unsigned concurrency;
    uint64_t timeout_ns;
    uint64_t deadline_ns, wait_ns; /* 0: none */
    unsigned retries;
    bool fail_fast;
    uint64_t memory_limit;          /* bytes */
    struct strings allow, deny;     /* "net=10.0.0.0/8"; unparsed; the flags', then the twins' */
    size_t allow_flags, deny_flags; /* how many of them are the flags' */
    unsigned layers_off;            /* bits 1u << enum confine_layer: not wanted */

    const char *format;     /* a name, or a path when it holds '/' or ends in ".lua" */
    struct strings reports; /* "FORMAT=FILE", both parts there */
    enum color_mode color;
    bool verbose, quiet, strict;
    unsigned durations; /* how many of the slowest to list */
};

enum option_kind {
    OPTION_SWITCH,   /* bool */
    OPTION_DURATION, /* uint64_t, in ns */
    OPTION_SIZE,     /* uint64_t, in bytes */
    OPTION_COUNT,    /* unsigned */
    OPTION_SHARD,    /* struct shard */
    OPTION_CHOICE,   /* an enum: the index in choices */
    OPTION_LAYERS,   /* unsigned: bits 1u << enum confine_layer */
    OPTION_TEXT,     /* const char * */
    OPTION_LIST,     /* struct strings, one more for each time */
    OPTION_PATTERNS, /* the same; its twin is not split at spaces */
    OPTION_REPORTS,  /* the same; each FORMAT=FILE */
    OPTION_GRANTS,   /* the same; its twin adds to it */
};

struct option_spec {
    const char *name;     /* without dashes; NULL ends the table */
    char letter;          /* 0: no short form */
    const char *argument; /* as in help: "DURATION"; NULL for a switch */
    enum option_kind kind;
    size_t offset;        /* into struct options */
    uint64_t least, most; /* of counts, sizes and durations */
    const char *choices;  /* "auto always never" */
    const char *fallback; /* in the same spelling as a value; NULL: zero, empty */
    unsigned commands;    /* bits 1 << enum command */
    const char *group;    /* heading in help; entries of a group are neighbours */
    const char *help;     /* a clause without its full stop; help adds the default */
};

struct command_spec {
    const char *name;
    const char *arguments;
    const char *summary; /* one line */
    const char *text;    /* paragraphs, separated by newlines */
};

extern const struct option_spec options_table[];
extern const struct command_spec options_commands[COMMAND_COUNT];

/* Reads argv (argv[0] is the program) and, for options not among them, the
 * environment.  Strings of argv and the environment are borrowed.  False with one
 * line in why, without the program's name: a usage error, exit 4.
 * `COMMAND --help` and `--help` become COMMAND_HELP, `--version` COMMAND_VERSION.
 * Call options_fini in either case.  Prints nothing. */
bool options_parse(struct options *o, int argc, char *const *argv, struct fault *why) CHECKED;
void options_fini(struct options *o);

/* "HOSPITAL_FAIL_FAST" into name. */
void options_twin(const struct option_spec *spec, char *name, size_t size);

#endif

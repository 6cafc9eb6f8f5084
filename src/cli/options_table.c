/* options_table.c - every command and option, once: parsing (options.c) and help
 * (help.c) both read this. */
#include "cli/options.h"

#include "base/clock.h"

#define AT(member) offsetof(struct options, member)
#define RUN (1U << COMMAND_RUN)
#define SELECTING (RUN | 1U << COMMAND_LIST)
#define LOADING (SELECTING | 1U << COMMAND_LINT)

#define YEAR_NS (365 * 86400 * NS_PER_S)
#define MIB (UINT64_C(1) << 20)

const struct option_spec options_table[] = {
    {"tag", 't', "TAG", OPTION_LIST, AT(tags), 0, 0, NULL, NULL, SELECTING, "Select",
     "only checks with this tag; repeat it for checks with any of several"},
    {"exclude-tag", 'T', "TAG", OPTION_LIST, AT(exclude_tags), 0, 0, NULL, NULL, SELECTING,
     "Select", "no checks with this tag; repeatable"},
    {"filter", 'k', "PATTERN", OPTION_PATTERNS, AT(filters), 0, 0, NULL, NULL, SELECTING, "Select",
     "only checks whose id contains PATTERN, or matches it as a glob (* ? [) from end to end; "
     "repeat it for any of several"},
    {"slow", 0, NULL, OPTION_SWITCH, AT(slow), 0, 0, NULL, NULL, SELECTING, "Select",
     "slow checks too; they are left out unless asked for"},
    {"failed", 0, NULL, OPTION_SWITCH, AT(failed), 0, 0, NULL, NULL, SELECTING, "Select",
     "only what was red in the last run of the same paths"},
    {"shard", 0, "I/N", OPTION_SHARD, AT(shard), 1, 10000, NULL, NULL, SELECTING, "Select",
     "only the I-th of N parts; the parts are disjoint and together complete"},
    {"list", 0, NULL, OPTION_SWITCH, AT(list), 0, 0, NULL, NULL, RUN, "Select",
     "print the ids of the selected checks and run none"},

    {"workers", 'j', "N", OPTION_COUNT, AT(workers), 0, 1024, NULL, "0", LOADING, "Run",
     "processes that run checks; 0 means one for each core"},
    {"concurrency", 'c', "N", OPTION_COUNT, AT(concurrency), 1, 100000, NULL, "256", RUN, "Run",
     "checks in flight at once"},
    {"timeout", 0, "DURATION", OPTION_DURATION, AT(timeout_ns), NS_PER_MS, YEAR_NS, NULL, "10s",
     RUN, "Run", "deadline of a check that sets none itself"},
    {"deadline", 0, "DURATION", OPTION_DURATION, AT(deadline_ns), NS_PER_MS, YEAR_NS, NULL, NULL,
     RUN, "Run", "end the whole run after this; what has not finished is red"},
    {"retries", 0, "N", OPTION_COUNT, AT(retries), 0, 100, NULL, "0", RUN, "Run",
     "run a red check again up to N times, if it does not say itself how often"},
    {"wait", 0, "DURATION", OPTION_DURATION, AT(wait_ns), NS_PER_MS, YEAR_NS, NULL, NULL, RUN,
     "Run", "rerun what is red until it is green, for so long; exit 3 when it is not"},
    {"fail-fast", 'x', NULL, OPTION_SWITCH, AT(fail_fast), 0, 0, NULL, NULL, RUN, "Run",
     "start no further checks after the first red one"},
    {"memory-limit", 0, "SIZE", OPTION_SIZE, AT(memory_limit), MIB, 4096 * MIB, NULL, "16M",
     LOADING, "Run", "memory of the Lua state of each file"},
    {"allow", 0, "CAPABILITY", OPTION_GRANTS, AT(allow), 0, 0, NULL, NULL, LOADING, "Run",
     "let checks do this: net, read, env, write, exec, or a part of one, as in "
     "net=10.0.0.0/8,*.example.com:443; repeatable; takes the place of what HOSPITAL_ALLOW says of "
     "the same capability"},
    {"deny", 0, "CAPABILITY", OPTION_GRANTS, AT(deny), 0, 0, NULL, NULL, LOADING, "Run",
     "do not let checks do this; repeatable; adds to what HOSPITAL_DENY denies"},
    {"without-layer", 0, "LAYERS", OPTION_LAYERS, AT(layers_off), 0, 0, NULL, NULL,
     LOADING | 1U << COMMAND_DOCTOR, "Run",
     "layers of confinement that workers do without, with commas, or all; hospital doctor names "
     "them"},
    {"format", 'f', "FORMAT", OPTION_TEXT, AT(format), 0, 0, NULL, "dots",
     SELECTING | 1U << COMMAND_DOCTOR, "Report",
     "what standard output gets: dots, verbose, json, jsonl or the path of a reporter of your own; "
     "of a list: json, one document with what each check declares; of doctor: json"},
    {"report", 0, "FORMAT=FILE", OPTION_REPORTS, AT(reports), 0, 0, NULL, NULL, RUN, "Report",
     "write a report into FILE as well; repeatable"},
    {"verbose", 'v', NULL, OPTION_SWITCH, AT(verbose), 0, 0, NULL, NULL, LOADING, "Report",
     "say more"},
    {"quiet", 'q', NULL, OPTION_SWITCH, AT(quiet), 0, 0, NULL, NULL, LOADING, "Report",
     "say only what is red"},
    {"color", 0, "WHEN", OPTION_CHOICE, AT(color), 0, 0, "auto always never", "auto", LOADING,
     "Report", "auto (on a terminal), always or never"},
    {"strict", 0, NULL, OPTION_SWITCH, AT(strict), 0, 0, NULL, NULL, RUN, "Report",
     "a check that passed with a warning is red"},
    {"durations", 0, "N", OPTION_COUNT, AT(durations), 0, 100000, NULL, "0", RUN, "Report",
     "list the N slowest checks"},
    {.name = NULL},
};

static const char paths_text[] =
    "PATH is a file, a directory (with all below it but hidden names, names that begin with _ "
    "and lib/) or an id such as shop.lua::orders or shop.lua::orders::written. Without PATH: what "
    "the environment variable HEALTHCHECKS names (separated by spaces), else ./checks.\n";

const struct command_spec options_commands[COMMAND_COUNT] = {
    [COMMAND_NONE] = {"", "", "", ""},
    [COMMAND_RUN] = {"run", "[PATH...]", "run checks and report", paths_text},
    [COMMAND_LIST] = {"list", "[PATH...]", "print the ids of checks without running them",
                      paths_text},
    [COMMAND_LINT] = {"lint", "[PATH...]", "load check files and report what is broken in them",
                      paths_text},
    [COMMAND_NEW] = {"new", "NAME", "write a commented check file to start from",
                     "NAME is a name, as in `hospital new shop`, which writes checks/shop.lua, or "
                     "a path (it holds a slash or ends in .lua). A file that exists is left as it "
                     "is.\n"},
    [COMMAND_DOCTOR] = {"doctor", "", "tell what this host can and cannot do",
                        "Looks at the permission to ping, the layers of the sandbox and the limits "
                        "on files, and prints the line that mends what is missing.\n"},
    [COMMAND_VERSION] = {"version", "", "print the versions of hospital and what it stands on", ""},
    [COMMAND_HELP] = {"help", "[COMMAND]", "explain a command", ""},
};

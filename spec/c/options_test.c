/* options_test.c - what a command line means, and how a wrong one is refused. */
#include "cli/options.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/help.h"
#include "test.h"

static struct options o;
static struct fault why;
static char line[512];

/* Parses "hospital " + words, split at spaces ("~" stands for an empty word). */
static bool parse(const char *words)
{
    static char *argv[64];
    int argc = 1;
    argv[0] = line;
    options_fini(&o);
    snprintf(line, sizeof line, "%s", words);
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        argv[argc++] = strcmp(word, "~") == 0 ? word + 1 : word;
    why = (struct fault){0};
    return options_parse(&o, argc, argv, &why);
}

static void expect_refused(const char *words, const char *message)
{
    CHECK(!parse(words));
    CHECK_STRING(why.message, message);
}

static void expect_hint(const char *words, const char *part)
{
    CHECK(!parse(words));
    CHECK(strstr(why.message, part));
    if (!strstr(why.message, part))
        printf("    %s\n", why.message);
}

TEST(defaults)
{
    CHECK(parse("run"));
    CHECK(o.command == COMMAND_RUN && o.paths.count == 0);
    CHECK(o.timeout_ns == 10 * NS_PER_S && o.concurrency == 256 && o.workers == 0);
    CHECK(o.memory_limit == 16 << 20 && o.deadline_ns == 0 && o.wait_ns == 0);
    CHECK(o.shard.count == 0 && o.color == COLOR_AUTO && o.layers_off == 0);
    CHECK(!o.slow && !o.strict && !o.list && !o.failed);
    CHECK_STRING(o.format, "dots");
}

TEST(every_option_is_read)
{
    CHECK(parse("run -t a --tag b -T c --exclude-tag=d -k x*y --slow --failed --shard 2/3 --list "
                "-j4 -c 10 --timeout 250ms --deadline=5m --retries 2 --wait 1h -x "
                "--memory-limit 64M --allow write --allow net=10.0.0.0/8 --deny env "
                "--without-layer landlock,seccomp -f json --report junit=a=b.xml -v "
                "--color never --strict --durations 5 p q::r"));
    CHECK(o.tags.count == 2 && strings_has(&o.tags, "b"));
    CHECK(o.exclude_tags.count == 2 && strings_has(&o.exclude_tags, "d"));
    CHECK_STRING(o.filters.items[0], "x*y");
    CHECK(o.slow && o.failed && o.list && o.fail_fast && o.verbose && o.strict);
    CHECK(o.shard.index == 2 && o.shard.count == 3 && o.workers == 4 && o.concurrency == 10);
    CHECK(o.timeout_ns == 250 * NS_PER_MS && o.deadline_ns == 300 * NS_PER_S);
    CHECK(o.wait_ns == 3600 * NS_PER_S && o.retries == 2 && o.durations == 5);
    CHECK(o.memory_limit == 64 << 20 && o.color == COLOR_NEVER);
    CHECK(o.allow.count == 2 && strings_has(&o.allow, "net=10.0.0.0/8") && o.deny.count == 1);
    CHECK(o.layers_off == (1u << CONFINE_FILES | 1u << CONFINE_SYSCALLS));
    CHECK_STRING(o.format, "json");
    CHECK_STRING(o.reports.items[0], "junit=a=b.xml");
    CHECK(o.paths.count == 2 && strings_has(&o.paths, "q::r"));
}

TEST(forms_of_writing)
{
    CHECK(parse("run -xv -j 3 a -- -b --slow"));
    CHECK(o.fail_fast && o.verbose && o.workers == 3 && !o.slow);
    CHECK(o.paths.count == 3 && strings_has(&o.paths, "-b"));
    CHECK(parse("run -xj8 -") && o.workers == 8 && strings_has(&o.paths, "-"));
    CHECK(parse("run --retries 1 --retries 4") && o.retries == 4);
    CHECK(parse("run --slow --slow=no") && !o.slow);
    CHECK(parse("run --filter=") == false);
    CHECK(parse("list -t a") && o.command == COMMAND_LIST && o.list);
    CHECK(parse("new shop") && o.command == COMMAND_NEW && strings_has(&o.paths, "shop"));
    CHECK(parse("") && o.command == COMMAND_NONE);
    CHECK(parse("--version") && o.command == COMMAND_VERSION);
}

TEST(help_is_asked_for_in_many_ways)
{
    CHECK(parse("help") && o.command == COMMAND_HELP && o.topic == COMMAND_NONE);
    CHECK(parse("--help") && o.command == COMMAND_HELP && o.topic == COMMAND_NONE);
    CHECK(parse("-h") && o.command == COMMAND_HELP);
    CHECK(parse("help run") && o.command == COMMAND_HELP && o.topic == COMMAND_RUN);
    CHECK(parse("run --help") && o.command == COMMAND_HELP && o.topic == COMMAND_RUN);
    CHECK(parse("run -xh a") && o.command == COMMAND_HELP && o.topic == COMMAND_RUN);
    CHECK(parse("new --help") && o.command == COMMAND_HELP && o.topic == COMMAND_NEW);
    CHECK(parse("help --help") && o.command == COMMAND_HELP);
    expect_refused("help rum", "unknown command rum: did you mean hospital run?");
}

TEST(bad_values_name_option_value_and_what_is_accepted)
{
    expect_refused("run --timeout abc",
                   "--timeout: \"abc\" is not a duration: write 250ms, 2s, 5m or 1h");
    expect_refused("run --timeout=0", "--timeout: \"0\" is not between 1ms and 365d");
    expect_refused("run -j -1", "-j: \"-1\" is not a whole number from 0 to 1024");
    expect_refused("run -c 0", "-c: \"0\" is not a whole number from 1 to 100000");
    expect_refused("run -j +4", "-j: \"+4\" is not a whole number from 0 to 1024");
    expect_refused("run -j 4x", "-j: \"4x\" is not a whole number from 0 to 1024");
    expect_refused("run --retries 99999999999999999999",
                   "--retries: \"99999999999999999999\" is not a whole number from 0 to 100");
    expect_refused("run --color blue", "--color: \"blue\" is not one of: auto always never");
    expect_refused("run --slow=maybe", "--slow: \"maybe\" is not yes or no");
    expect_hint("run --shard 0/3", "--shard: \"0/3\" is not I/N");
    expect_hint("run --shard 4/3", "is not I/N");
    expect_hint("run --shard 1/", "is not I/N");
    expect_hint("run --shard 1/3x", "is not I/N");
    expect_hint("run --memory-limit 16Q", "is not a size");
    expect_hint("run --memory-limit 1K", "between 1M and 4G");
    expect_hint("run --memory-limit 18014398509498368K", "between 1M and 4G");
    expect_hint("run --report json", "is not FORMAT=FILE");
    expect_hint("run --report =x", "is not FORMAT=FILE");
    expect_hint("run --without-layer walls", "there is no layer");
    expect_hint("run -f ~", "-f: \"\" is not FORMAT");
    expect_hint("run --timeout", "--timeout: needs a value: --timeout DURATION");
    expect_hint("run -j", "-j: needs a value: -j N");
    expect_refused("run --timeout \x1b[2J",
                   "--timeout: \"\\x1b[2J\" is not a duration: write 250ms, 2s, 5m or 1h");
}

TEST(unknown_words_suggest_the_nearest)
{
    expect_refused("rnu", "unknown command rnu: did you mean hospital run?");
    expect_refused("/tmp", "unknown command /tmp: did you mean hospital run /tmp?");
    expect_refused("qwertyuiop", "unknown command qwertyuiop (see hospital help)");
    expect_hint("-v run", "options stand behind a command");
    expect_refused(
        "run --timeuot 3",
        "run: unknown option --timeuot: did you mean --timeout? (see hospital help run)");
    expect_refused("run --qwertyuiop", "run: unknown option --qwertyuiop (see hospital help run)");
    expect_refused("run -Z", "run: unknown option -Z (see hospital help run)");
    expect_hint("new --slow x", "new: unknown option --slow");
    expect_hint("lint --wait 3s", "lint: unknown option --wait");
    expect_hint("run -v -q", "exclude each other");
    expect_hint("new", "needs a NAME");
    expect_hint("new a b", "too many arguments, from b on");
    expect_hint("version x", "too many arguments");
}

TEST(twins_are_read_and_flags_win)
{
    setenv("HOSPITAL_TIMEOUT", "3s", 1);
    setenv("HOSPITAL_TAG", "a  b", 1);
    setenv("HOSPITAL_FILTER", "two words", 1);
    setenv("HOSPITAL_FAIL_FAST", "yes", 1);
    setenv("HOSPITAL_STRICT", "", 1);
    CHECK(parse("run"));
    CHECK(o.timeout_ns == 3 * NS_PER_S && o.tags.count == 2 && o.fail_fast && !o.strict);
    CHECK(o.filters.count == 1 && strings_has(&o.filters, "two words"));
    CHECK(parse("run --timeout 4s -t c --fail-fast=no"));
    CHECK(o.timeout_ns == 4 * NS_PER_S && o.tags.count == 1 && !o.fail_fast);
    setenv("HOSPITAL_TIMEOUT", "soon", 1);
    expect_refused("run",
                   "HOSPITAL_TIMEOUT: \"soon\" is not a duration: write 250ms, 2s, 5m or 1h");
    CHECK(parse("version")); /* takes no --timeout */
    CHECK(parse("run --help"));
    unsetenv("HOSPITAL_TIMEOUT");
    setenv("HOSPITAL_FAIL_FAST", "perhaps", 1);
    expect_refused("run", "HOSPITAL_FAIL_FAST: \"perhaps\" is not yes or no");
    unsetenv("HOSPITAL_FAIL_FAST");
    unsetenv("HOSPITAL_TAG");
    unsetenv("HOSPITAL_FILTER");
    unsetenv("HOSPITAL_STRICT");
}

TEST(help_fits_the_screen_and_names_every_option)
{
    for (int topic = COMMAND_NONE; topic < COMMAND_COUNT; topic++) {
        struct buffer page = {0};
        help_page(&page, (enum command)topic);
        buffer_add(&page, "", 1);
        for (const char *at = page.data, *end; (end = strchr(at, '\n')); at = end + 1) {
            CHECK(end - at <= 80);
            CHECK(end == at || end[-1] != ' ');
        }
        for (const struct option_spec *spec = options_table; spec->name; spec++) {
            char flag[64];
            snprintf(flag, sizeof flag, "--%s", spec->name);
            if (spec->commands & 1U << topic)
                CHECK(strstr(page.data, flag));
        }
        buffer_fini(&page);
    }
}

TEST(the_table_is_sound)
{
    char name[64];
    for (const struct option_spec *a = options_table; a->name; a++) {
        for (const struct option_spec *b = a + 1; b->name; b++)
            CHECK(strcmp(a->name, b->name) != 0 && (!a->letter || a->letter != b->letter));
        CHECK(a->argument || a->kind == OPTION_SWITCH);
        CHECK(a->letter != 'h' && a->commands);
    }
    options_twin(&options_table[1], name, sizeof name);
    CHECK_STRING(name, "HOSPITAL_EXCLUDE_TAG");
}

TEST(nearest_words)
{
    const char *const known[] = {"timeout", "tag", "retries", NULL};
    CHECK_STRING(text_nearest("tiemout", known), "timeout");
    CHECK_STRING(text_nearest("retrys", known), "retries");
    CHECK(text_nearest("xyz", known) == NULL);
    CHECK(text_nearest("", known) == NULL);
}

TEST(printable_text)
{
    CHECK(text_is_printable("plain é € 😀"));
    const char *bad[] = {"\x7f", "\n",       "\xc2\x9b", "\xc0\xaf",         "\xed\xa0\x80",
                         "\xff", "\xe2\x82", "\xc3",     "\xf4\x90\x80\x80", "\xf0\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!text_is_printable(bad[i]));
    char *escaped = text_escape("a\xff\tb€");
    CHECK_STRING(escaped, "a\\xff\\x09b€");
    free(escaped);
}

int main(void)
{
    RUN(defaults);
    RUN(every_option_is_read);
    RUN(forms_of_writing);
    RUN(help_is_asked_for_in_many_ways);
    RUN(bad_values_name_option_value_and_what_is_accepted);
    RUN(unknown_words_suggest_the_nearest);
    RUN(twins_are_read_and_flags_win);
    RUN(help_fits_the_screen_and_names_every_option);
    RUN(the_table_is_sound);
    RUN(nearest_words);
    RUN(printable_text);
    options_fini(&o);
    return test_report();
}

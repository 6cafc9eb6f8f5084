/* events_test.c - the host of the reporters: what is published arrives, and what goes wrong shows.
 */
#include "cli/events.h"

#include <dirent.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/formats.h"
#include "test.h"
#include "vm/pack.h"

static char folder[] = "/tmp/hospital-events-XXXXXX";

static const char *at(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static const char *read_file(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static size_t files_in_folder(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *entry; (entry = readdir(d));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return n;
}

/* Stdout and stderr go to files while a test runs, as the reporters will use them. */
static int saved[2];

static void capture(void)
{
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(i + 1);
        int fd = open(at(i ? "stderr" : "stdout"), O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(fd, i + 1);
        close(fd);
    }
}

static void release(void)
{
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
}

static struct events *open_targets(const struct report_target *targets, size_t count,
                                   struct fault *why)
{
    static struct redactor *redactor;
    static char *variables[] = {NULL};
    if (!redactor)
        redactor = redactor_new(variables);
    struct events_options options = {
        .targets = targets, .target_count = count, .redactor = redactor};
    return events_open(&options, why);
}

static void publish(struct events *e, enum status status, const struct buffer *details)
{
    struct result r = {.id = "a.lua::b x://u:pw@h",
                       .test = "b",
                       .file = "a.lua",
                       .line = 3,
                       .status = status,
                       .started_ns = 1763695555123456789u,
                       .duration_ns = 1500000,
                       .attempts = 1};
    if (details) {
        r.details = details->data;
        r.details_size = details->size;
    }
    events_check_finished(e, &r);
}

static bool finish(struct events *e, int *exit_code)
{
    struct run_end end = {.started_ns = 1763695555000000000u, .duration_ns = 2000000};
    struct fault why;
    bool ok = events_run_finished(e, &end, &why);
    *exit_code = end.exit_code;
    events_close(e);
    return ok;
}

TEST(a_green_run)
{
    struct report_target targets[] = {{"dots", NULL}, {"json", at("r.json")}};
    struct fault why;
    int code;
    capture();
    struct events *e = open_targets(targets, 2, &why);
    events_run_started(e, &(struct run_start){.files = 1, .workers = 2});
    publish(e, STATUS_PASS, NULL);
    bool early = access(at("r.json"), F_OK) == 0;
    bool ok = finish(e, &code);
    release();
    CHECK(!early);
    CHECK(ok && code == 0);
    CHECK(strstr(read_file(at("stdout")), ".\n"));
    CHECK(strstr(read_file(at("stdout")), "Ran 1 check in 0.002s\n\nOK\n"));
    CHECK(strstr(read_file(at("r.json")), "\"started\":1763695555.123456,\"duration\":0.0015"));
    CHECK(strstr(read_file(at("r.json")), "x://u:[redacted]@h"));
    struct stat s;
    CHECK(stat(at("r.json"), &s) == 0 && (s.st_mode & 0777) == 0644);
    unlink(at("r.json"));
    CHECK(files_in_folder() == 2);
}

TEST(nothing_run_is_never_green)
{
    struct report_target targets[] = {{"dots", NULL}};
    struct fault why;
    int code;
    capture();
    bool ok = finish(open_targets(targets, 1, &why), &code);
    release();
    CHECK(ok && code == 5);
    CHECK(strstr(read_file(at("stdout")), "FAILED (nothing was run)"));
}

TEST(red_results_make_the_run_red_whatever_the_caller_thinks)
{
    struct report_target targets[] = {{"dots", NULL}};
    struct fault why;
    int code;
    capture();
    struct events *e = open_targets(targets, 1, &why);
    publish(e, STATUS_PASS, NULL);
    publish(e, (enum status)99, NULL);
    bool ok = finish(e, &code);
    release();
    CHECK(ok && code == 1);
    CHECK(strstr(read_file(at("stdout")), "FAILED (errors=1)"));
}

TEST(hostile_details_are_reported_not_believed)
{
    struct report_target targets[] = {{"dots", NULL}, {"json", at("r.json")}};
    struct fault why;
    int code;
    struct buffer wild = {0};
    pack_table_begin(&wild);
    pack_table_fields(&wild);
    const char *const names[] = {"failures", "output", "metrics", "warnings", "probes", "context"};
    for (size_t i = 0; i < 6; i++) {
        pack_text(&wild, names[i]);
        if (i % 2)
            pack_integer(&wild, 7);
        else {
            pack_table_begin(&wild);
            pack_bool(&wild, true);
            pack_table_begin(&wild);
            pack_table_end(&wild);
            pack_table_end(&wild);
        }
    }
    pack_text(&wild, "status");
    pack_text(&wild, "pass");
    pack_table_end(&wild);
    struct buffer broken = {0};
    buffer_add_string(&broken, "{{{");
    capture();
    struct events *e = open_targets(targets, 2, &why);
    publish(e, STATUS_FAIL, &wild);
    publish(e, STATUS_FAIL, &broken);
    bool ok = finish(e, &code);
    release();
    CHECK(ok && code == 1);
    CHECK(strstr(read_file(at("stdout")), "FAILED (failures=2)"));
    CHECK(strstr(read_file(at("stdout")), "account of this check could not be read"));
    CHECK(strstr(read_file(at("r.json")), "\"fail\":2"));
    unlink(at("r.json"));
    buffer_fini(&wild);
    buffer_fini(&broken);
}

TEST(a_reporter_that_raises_reddens_the_run_and_the_others_go_on)
{
    write_file(at("mine.lua"), "require 'hospital.reportkit.style' return function(out) return {\n"
                               "check_finished = function() out:write('half') error('boo') end,\n"
                               "run_finished = function() out:write('whole') end } end\n");
    write_file(at("old"), "old");
    char mine[256];
    snprintf(mine, sizeof mine, "%s", at("mine.lua"));
    struct report_target targets[] = {{"dots", NULL}, {mine, at("old")}};
    struct fault why;
    int code;
    capture();
    struct events *e = open_targets(targets, 2, &why);
    publish(e, STATUS_PASS, NULL);
    publish(e, STATUS_PASS, NULL);
    bool ok = finish(e, &code);
    release();
    CHECK(!ok && code == 1);
    CHECK(strstr(read_file(at("stderr")), "mine.lua:2: boo"));
    CHECK(strstr(read_file(at("stdout")), "mine.lua:2: boo"));
    CHECK(strstr(read_file(at("stdout")), "FAILED"));
    CHECK_STRING(read_file(at("old")), "old");
    unlink(at("old"));
    unlink(at("mine.lua"));
    CHECK(files_in_folder() == 2);
}

TEST(outputs_that_cannot_be_written)
{
    struct report_target full[] = {{"dots", NULL}, {"json", "/dev/full"}};
    struct fault why;
    int code;
    capture();
    struct events *e = open_targets(full, 2, &why);
    publish(e, STATUS_PASS, NULL);
    bool ok = finish(e, &code);
    release();
    CHECK(!ok && code == 1);
    CHECK(strstr(read_file(at("stderr")), "/dev/full: No space left on device"));
    CHECK(strstr(read_file(at("stdout")), "FAILED"));
    struct stat s;
    CHECK(stat("/dev/full", &s) == 0 && S_ISCHR(s.st_mode));

    struct report_target nowhere[] = {{"json", at("no/such/folder.json")}};
    CHECK(!open_targets(nowhere, 1, &why) && strstr(why.message, "no/such/folder.json"));
    struct report_target a_folder[] = {{"json", folder}};
    CHECK(!open_targets(a_folder, 1, &why) && strstr(why.message, folder));
    struct report_target same[] = {{"json", NULL}, {"dots", "-"}};
    CHECK(!open_targets(same, 2, &why) && strstr(why.message, "two reports"));
    struct report_target unknown[] = {{"xml", NULL}};
    CHECK(!open_targets(unknown, 1, &why) && strstr(why.message, "dots, json, jsonl"));
}

TEST(a_closed_stdout)
{
    struct report_target targets[] = {{"dots", NULL}};
    struct fault why;
    int code, ends[2];
    CHECK(pipe(ends) == 0);
    close(ends[0]);
    capture();
    dup2(ends[1], 1);
    struct events *e = open_targets(targets, 1, &why);
    publish(e, STATUS_PASS, NULL);
    events_flush(e);
    publish(e, STATUS_PASS, NULL);
    bool ok = finish(e, &code);
    release();
    close(ends[1]);
    CHECK(!ok && code == 1);
    CHECK_STRING(read_file(at("stderr")),
                 "hospital: cannot write the report stdout: Broken pipe\n");
}

TEST(an_unfinished_report_leaves_nothing)
{
    struct report_target targets[] = {{"jsonl", at("r.jsonl")}};
    struct fault why;
    struct events *e = open_targets(targets, 1, &why);
    publish(e, STATUS_PASS, NULL);
    events_flush(e);
    CHECK(files_in_folder() == 3);
    events_close(e);
    CHECK(files_in_folder() == 2);
}

TEST(a_link_stays_a_link)
{
    write_file(at("target"), "old");
    CHECK(symlink("target", at("link")) == 0);
    chmod(at("target"), 0640);
    struct report_target targets[] = {{"json", at("link")}};
    struct fault why;
    int code;
    struct events *e = open_targets(targets, 1, &why);
    publish(e, STATUS_PASS, NULL);
    CHECK(finish(e, &code));
    struct stat s;
    CHECK(lstat(at("link"), &s) == 0 && S_ISLNK(s.st_mode));
    CHECK(stat(at("target"), &s) == 0 && (s.st_mode & 0777) == 0640);
    CHECK(read_file(at("target"))[0] == '{');
    unlink(at("link"));
    unlink(at("target"));
}

static void on_a_terminal(void)
{
    struct report_target targets[] = {{"dots", NULL}};
    struct events_options options = {
        .targets = targets, .target_count = 1, .status_line = true, .color = COLOR_NEVER};
    struct run_progress progress = {.done = 1, .total = 2, .running = 1, .longest_id = "x\033y"};
    struct run_end end = {0};
    struct fault why;
    struct events *e = events_open(&options, &why);
    publish(e, STATUS_PASS, NULL);
    events_flush(e);
    events_progress(e, &progress);
    events_flush(e);
    progress.done = 7; /* too soon to be drawn */
    events_progress(e, &progress);
    events_flush(e);
    progress.done = 1; /* drawn again, over the old one */
    usleep(110 * 1000);
    events_progress(e, &progress);
    events_flush(e);
    publish(e, STATUS_PASS, NULL);
    events_flush(e);
    events_message(e, "a message\033");
    events_flush(e);
    if (!events_run_finished(e, &end, &why))
        _exit(1);
    events_close(e);
    _exit(0);
}

TEST(the_status_line_leaves_no_trace)
{
    int fd, status;
    fflush(stdout);
    pid_t pid = forkpty(&fd, NULL, NULL, &(struct winsize){.ws_row = 24, .ws_col = 40});
    if (pid == 0) {
        setenv("TERM", "xterm", 1);
        on_a_terminal();
    }
    char text[8192];
    size_t size = 0;
    for (ssize_t n; (n = read(fd, text + size, sizeof text - 1 - size)) > 0;)
        size += (size_t)n;
    text[size] = 0;
    close(fd);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    const char *line = "\r\n1/2  0 red  1 running  0.0s x\\x1by";
    const char *undo = "\r\033[K\033[A\033[1C";
    char wanted[1024]; /* drawn under the dots; erased, the cursor back where it was; drawn again */
    snprintf(wanted, sizeof wanted, ".%s%s%s%s.%s\r\033[K\033[A\033[2C\r\na message?\r\n", line,
             undo, line, undo, line);
    CHECK(strncmp(text, wanted, strlen(wanted)) == 0);
    CHECK(strstr(text, "Ran 2 checks") && strstr(text, "OK\r\n"));
    const char *last = strstr(text, "Ran 2");
    CHECK(last && !strstr(last, "running"));
    if (!test_ok)
        printf("%s\n", text);
}

TEST(colours)
{
    unsetenv("NO_COLOR");
    unsetenv("CLICOLOR_FORCE");
    setenv("TERM", "xterm", 1);
    CHECK(color_is_wanted(COLOR_AUTO, true) && !color_is_wanted(COLOR_AUTO, false));
    setenv("TERM", "dumb", 1);
    CHECK(!color_is_wanted(COLOR_AUTO, true) && color_is_wanted(COLOR_ALWAYS, false));
    setenv("CLICOLOR_FORCE", "1", 1);
    CHECK(color_is_wanted(COLOR_AUTO, false) && !color_is_wanted(COLOR_NEVER, true));
    setenv("NO_COLOR", "1", 1);
    CHECK(!color_is_wanted(COLOR_AUTO, true) && color_is_wanted(COLOR_ALWAYS, true));
    unsetenv("NO_COLOR");
    unsetenv("CLICOLOR_FORCE");
    enum color_mode mode;
    CHECK(color_mode_parse("never", &mode) && mode == COLOR_NEVER && !color_mode_parse("x", &mode));
}

TEST(formats_are_listed)
{
    struct buffer out = {0};
    formats_list(&out);
    buffer_add(&out, "", 1);
    CHECK(strstr(out.data, "dots        one character a check"));
    CHECK(strstr(out.data, "\njsonl "));
    CHECK(!strstr(out.data, "status "));
    buffer_fini(&out);
}

static void bench(const char *format, int count)
{
    struct report_target targets[] = {{format, "/dev/null"}};
    struct fault why;
    int code;
    struct events *e = open_targets(targets, 1, &why);
    uint64_t start = clock_now_ns();
    char id[64];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "services/shop%d.lua::orders::can be counted %d", i / 10, i);
        struct result r = {.id = id,
                           .test = "can be counted",
                           .file = "services/shop.lua",
                           .line = 3,
                           .started_ns = 1763695555123456789u + (uint64_t)i,
                           .duration_ns = 1500000 + (uint64_t)i,
                           .attempts = 1};
        events_check_finished(e, &r);
        if (i % 100 == 0)
            events_flush(e);
    }
    uint64_t published = clock_now_ns();
    finish(e, &code);
    uint64_t end = clock_now_ns();
    printf("%-8s %7d checks: %8.2f ms published, %8.2f ms finished, %.2f us a check\n", format,
           count, (double)(published - start) / 1e6, (double)(end - published) / 1e6,
           (double)(end - start) / 1e3 / count);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        static const char *const formats[] = {"dots", "verbose", "json", "jsonl"};
        for (int i = 0; i < 4; i++)
            for (int count = 1000; count <= 100000; count *= 10)
                bench(formats[i], count);
        return 0;
    }
    umask(022);
    if (!mkdtemp(folder))
        return 1;
    RUN(a_green_run);
    RUN(nothing_run_is_never_green);
    RUN(red_results_make_the_run_red_whatever_the_caller_thinks);
    RUN(hostile_details_are_reported_not_believed);
    RUN(a_reporter_that_raises_reddens_the_run_and_the_others_go_on);
    RUN(outputs_that_cannot_be_written);
    RUN(a_closed_stdout);
    RUN(an_unfinished_report_leaves_nothing);
    RUN(a_link_stays_a_link);
    RUN(the_status_line_leaves_no_trace);
    RUN(colours);
    RUN(formats_are_listed);
    unlink(at("stdout"));
    unlink(at("stderr"));
    rmdir(folder);
    return test_report();
}

/* lastrun_test.c - what was red is remembered whole or not at all. */
#include "check/lastrun.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static char state[64];
static struct strings roots, red;

static void begin(void)
{
    strcpy(state, "/tmp/hospital-lastrun-XXXXXX");
    if (!mkdtemp(state) || setenv("XDG_STATE_HOME", state, 1) != 0)
        abort();
    strings_add(&roots, "/srv/checks");
    strings_add(&red, "shop.lua::orders::x");
    strings_add(&red, "a.lua::two\nlines \\ and a \\n");
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", state);
    if (system(command) != 0)
        abort();
    strings_fini(&roots);
    strings_fini(&red);
}

/* The one file below the state directory. */
static const char *memory_file(void)
{
    static char path[512];
    char directory[128];
    snprintf(directory, sizeof directory, "%s/hospital", state);
    DIR *d = opendir(directory);
    int files = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
            files++;
        }
    if (d)
        closedir(d);
    CHECK(files == 1); /* and no temporary one */
    return path;
}

TEST(what_is_written_is_read)
{
    struct fault why;
    struct lastrun last;
    CHECK(lastrun_write(&roots, &red, &why));
    CHECK(lastrun_read(&last, &roots, &why));
    CHECK(last.ids.count == 2);
    CHECK(lastrun_has(&last, red.items[0]) && lastrun_has(&last, red.items[1]));
    CHECK(!lastrun_has(&last, "shop.lua::orders"));
    lastrun_fini(&last);
    struct stat st;
    CHECK(stat(memory_file(), &st) == 0 && (st.st_mode & 077) == 0);
}

TEST(an_all_green_run_is_remembered_too)
{
    struct fault why;
    struct lastrun last;
    CHECK(lastrun_write(&roots, &red, &why));
    CHECK(lastrun_write(&roots, &(struct strings){0}, &why));
    CHECK(lastrun_read(&last, &roots, &why) && last.ids.count == 0);
    lastrun_fini(&last);
    memory_file();
}

/* Memories piled up, one for each list of roots that was ever run. */
TEST(the_newest_hundred_are_kept)
{
    struct fault why;
    struct lastrun last;
    char name[32], path[256];
    for (int i = 0; i < 130; i++) {
        struct strings one = {0};
        snprintf(name, sizeof name, "/srv/%d", i);
        strings_add(&one, name);
        CHECK(lastrun_write(&one, &red, &why));
        strings_fini(&one);
    }
    snprintf(path, sizeof path, "%s/hospital/other", state);
    CHECK(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0); /* not ours: left alone */
    CHECK(lastrun_write(&roots, &red, &why));
    CHECK(lastrun_read(&last, &roots, &why));
    lastrun_fini(&last);
    int files = 0;
    snprintf(path, sizeof path, "%s/hospital", state);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat status;
        if (e->d_name[0] == '.')
            continue;
        files++;
        CHECK(fstatat(dirfd(d), e->d_name, &status, 0) == 0 && (status.st_mode & 0777) == 0600);
    }
    if (d)
        closedir(d);
    CHECK(files == 101);
    snprintf(path, sizeof path, "%s/hospital/other", state);
    CHECK(unlink(path) == 0);
}

TEST(roots_do_not_mix)
{
    struct fault why;
    struct lastrun last;
    CHECK(lastrun_write(&roots, &red, &why));
    strings_add(&roots, "/srv/more");
    CHECK(!lastrun_read(&last, &roots, &why));
    CHECK(strstr(why.message, "run without --failed first"));
}

TEST(a_memory_of_other_roots_is_not_believed)
{
    struct fault why;
    struct lastrun last;
    CHECK(lastrun_write(&roots, &red, &why));
    FILE *f = fopen(memory_file(), "r+");
    fputs("hospital-failed 1\nroot /srv/CHECKS\n", f);
    fclose(f);
    CHECK(!lastrun_read(&last, &roots, &why));
    CHECK(strstr(why.message, "damaged"));
}

TEST(a_cut_memory_is_an_error_wherever_it_is_cut)
{
    struct fault why;
    struct lastrun last;
    CHECK(lastrun_write(&roots, &red, &why));
    struct stat st;
    CHECK(stat(memory_file(), &st) == 0);
    for (off_t size = st.st_size - 1; size >= 0; size--) {
        CHECK(truncate(memory_file(), size) == 0);
        CHECK(!lastrun_read(&last, &roots, &why));
    }
}

TEST(what_cannot_be_read_or_written_is_an_error)
{
    struct fault why;
    struct lastrun last;
    CHECK(lastrun_write(&roots, &red, &why));
    char path[512];
    strcpy(path, memory_file());
    CHECK(unlink(path) == 0 && mkdir(path, 0755) == 0);
    CHECK(!lastrun_read(&last, &roots, &why) && strstr(why.message, "cannot be read"));
    CHECK(!lastrun_write(&roots, &red, &why) && strstr(why.message, "cannot be remembered"));
    memory_file();
    CHECK(rmdir(path) == 0 && mkfifo(path, 0600) == 0);
    CHECK(!lastrun_read(&last, &roots, &why));
}

TEST(home_is_the_second_choice_and_none_is_an_error)
{
    struct fault why;
    struct lastrun last;
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", state, 1);
    CHECK(lastrun_write(&roots, &red, &why));
    char path[128];
    snprintf(path, sizeof path, "%s/.local/state/hospital", state);
    CHECK(access(path, F_OK) == 0);
    unsetenv("HOME");
    CHECK(!lastrun_write(&roots, &red, &why));
    CHECK(!lastrun_read(&last, &roots, &why) && strstr(why.message, "neither"));
}

#define RUN_HERE(name)                                                                             \
    do {                                                                                           \
        begin();                                                                                   \
        RUN(name);                                                                                 \
        end();                                                                                     \
    } while (0)

int main(void)
{
    RUN_HERE(what_is_written_is_read);
    RUN_HERE(an_all_green_run_is_remembered_too);
    RUN_HERE(the_newest_hundred_are_kept);
    RUN_HERE(roots_do_not_mix);
    RUN_HERE(a_memory_of_other_roots_is_not_believed);
    RUN_HERE(a_cut_memory_is_an_error_wherever_it_is_cut);
    RUN_HERE(what_cannot_be_read_or_written_is_an_error);
    RUN_HERE(home_is_the_second_choice_and_none_is_an_error);
    return test_report();
}

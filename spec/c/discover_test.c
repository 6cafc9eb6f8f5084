/* discover_test.c - real trees: what is found, under which id, and what is refused. */
#include "check/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static char tree[64]; /* the working directory of each test */

static void tree_make(void)
{
    strcpy(tree, "/tmp/hospital-discover-XXXXXX");
    if (!mkdtemp(tree) || chdir(tree) != 0 || chmod(tree, 0755) != 0)
        abort();
}

static void tree_remove(void)
{
    char command[256];
    snprintf(command, sizeof command, "chmod -R u+rwx %s && rm -rf %s", tree, tree);
    if (chdir("/") != 0 || system(command) != 0)
        abort();
}

static void make_directories(const char *path)
{
    char part[256];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        mkdir(part, 0755);
    }
}

static void put_bytes(const char *path, size_t size)
{
    make_directories(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        abort();
    close(fd);
}

static void put(const char *path)
{
    put_bytes(path, 10);
}

static void put_link(const char *target, const char *path)
{
    make_directories(path);
    if (symlink(target, path) != 0)
        abort();
}

/* Up to three arguments, NULL ends them. */
static struct discovery look(const char *a, const char *b, const char *c)
{
    const char *given[] = {a, b, c, NULL};
    char *paths[3];
    size_t count = 0;
    for (; given[count]; count++)
        paths[count] = strdup(given[count]);
    struct discovery d;
    discover(&d, paths, count, getenv("HEALTHCHECKS"));
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    return d;
}

/* "a.lua b.lua | bad.lua" : files, then findings. */
static const char *ids(const struct discovery *d)
{
    static char text[4096];
    text[0] = '\0';
    for (size_t i = 0; i < d->file_count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, d->files[i].id);
        for (size_t k = 0; k < d->files[i].only.count; k++) {
            strcat(text, k ? "," : "=");
            strcat(text, d->files[i].only.items[k]);
        }
    }
    for (size_t i = 0; i < d->finding_count; i++) {
        strcat(text, i ? " " : " | ");
        strcat(text, d->findings[i].path);
    }
    return text;
}

static void expect(const char *wanted, const char *a, const char *b, const char *c)
{
    struct discovery d = look(a, b, c);
    if (strcmp(ids(&d), wanted) != 0)
        printf("looking at %s %s:\n", a ? a : "(nothing)", b ? b : "");
    CHECK_STRING(ids(&d), wanted);
    discovery_fini(&d);
}

/* One finding, with that path, whose reason holds a phrase. */
static void expect_refused(const char *argument, const char *path, const char *phrase)
{
    struct discovery d = look(argument, NULL, NULL);
    CHECK(d.finding_count == 1);
    if (d.finding_count == 1) {
        CHECK_STRING(d.findings[0].path, path);
        CHECK(strstr(d.findings[0].reason, phrase));
        if (!strstr(d.findings[0].reason, phrase))
            printf("    %s\n", d.findings[0].reason);
    }
    discovery_fini(&d);
}

TEST(order_is_the_byte_order_of_paths)
{
    const char *names[] = {"checks/b.lua", "checks/a/z.lua", "checks/a-b.lua",
                           "checks/B.lua", "checks/a.lua",   "checks/é.lua"};
    for (size_t i = 0; i < 6; i++)
        put(names[i]);
    expect("B.lua a-b.lua a.lua a/z.lua b.lua é.lua", "checks", NULL, NULL);
}

TEST(what_is_no_check_is_passed_over)
{
    put("checks/a.lua");
    put("checks/.hidden.lua");
    put("checks/.git/x.lua");
    put("checks/_draft.lua");
    put("checks/_drafts/x.lua");
    put("checks/lib/helper.lua");
    put("checks/net/lib/deep.lua");
    put("checks/README.md");
    put("checks/.lua");
    put("checks/a.lua.bak");
    put_link("/etc/passwd", "checks/README");
    expect("a.lua net/lib/deep.lua", "checks", NULL, NULL);
}

TEST(every_spelling_gives_the_same_ids)
{
    put("checks/shop.lua");
    put("checks/net/dns.lua");
    const char *all = "net/dns.lua shop.lua";
    char absolute[128];
    snprintf(absolute, sizeof absolute, "%s/checks", tree);
    expect(all, NULL, NULL, NULL);
    expect(all, "checks", NULL, NULL);
    expect(all, "./checks/", NULL, NULL);
    expect(all, "checks//net/..", NULL, NULL);
    expect(all, absolute, NULL, NULL);
    expect("net/dns.lua", "checks/net", NULL, NULL);
    expect("net/dns.lua", "./checks/net/dns.lua", NULL, NULL);
    expect("net/dns.lua", "net/dns.lua", NULL, NULL); /* as ids are printed */
    expect("shop.lua", "checks/shop.lua", NULL, NULL);
    CHECK(chdir("checks") == 0);
    expect(all, ".", NULL, NULL);
    expect("shop.lua", "shop.lua", NULL, NULL);
    expect(all, "net/../", NULL, NULL);
}

TEST(a_directory_elsewhere_is_its_own_root)
{
    put("other/a/x.lua");
    put("other/lib/l.lua");
    struct discovery d = look("other", "other/a", NULL);
    CHECK_STRING(ids(&d), "a/x.lua");
    char lib[128];
    snprintf(lib, sizeof lib, "%s/other/lib", tree);
    CHECK_STRING(d.files[0].root->lib, lib);
    CHECK(d.root_count == 1 && d.files[0].size == 10);
    struct strings roots = {0};
    discovery_root_paths(&d, &roots);
    CHECK(roots.count == 1 && strcmp(roots.items[0], d.files[0].root->path) == 0);
    strings_fini(&roots);
    discovery_fini(&d);
    expect("x.lua", "other/a", NULL, NULL);
    expect("x.lua", "other/a/x.lua", NULL, NULL);
}

TEST(the_environment_names_default_roots)
{
    put("one/a.lua");
    put("two/b.lua");
    put("checks/c.lua");
    setenv("HEALTHCHECKS", " two  one ", 1);
    expect("b.lua a.lua", NULL, NULL, NULL);
    expect("a.lua=a.lua::x", "a.lua::x", NULL, NULL);
    setenv("HEALTHCHECKS", " ", 1);
    expect("c.lua", NULL, NULL, NULL);
    unsetenv("HEALTHCHECKS");
}

TEST(ids_select_within_a_file)
{
    put("checks/shop.lua");
    expect("shop.lua=shop.lua::orders::x", "checks/shop.lua::orders::x", NULL, NULL);
    expect("shop.lua=shop.lua::orders", "shop.lua::orders", NULL, NULL);
    expect("shop.lua=shop.lua::a,shop.lua::b", "shop.lua::b", "checks/shop.lua::a", NULL);
    expect("shop.lua", "shop.lua::b", "checks", NULL);
    expect("shop.lua", "shop.lua::", NULL, NULL);
    expect_refused("checks::x", "checks::x", "an id names a file");
    expect_refused("nope.lua::x", "nope.lua::x", "does not exist");
}

TEST(a_file_that_is_an_argument_may_have_any_name)
{
    put("checks/_draft.lua");
    put("probe.txt");
    put("checks/lib/l.lua");
    expect("_draft.lua", "checks/_draft.lua", NULL, NULL);
    expect("probe.txt", "probe.txt", NULL, NULL);
    expect("lib/l.lua", "checks/lib/l.lua", NULL, NULL);
}

TEST(the_same_file_is_there_once)
{
    put("checks/a.lua");
    put_link("a.lua", "checks/0-link.lua");
    put_link(".", "checks/_self");
    expect("a.lua", "checks", "./checks/a.lua", "checks/0-link.lua");
    expect("0-link.lua", "checks/0-link.lua", NULL, NULL);
    expect("a.lua", "checks", "checks/_self", NULL);
}

TEST(links_inside_the_root_are_followed)
{
    put("checks/..2026/shop.lua"); /* as Kubernetes mounts a ConfigMap */
    put_link("..2026", "checks/..data");
    put_link("..data/shop.lua", "checks/shop.lua");
    put("checks/_available/mail.lua");
    put_link("_available", "checks/enabled");
    put("checks/releases/3/x.lua");
    put_link("releases/3", "checks/current");
    expect("enabled/mail.lua releases/3/x.lua shop.lua", "checks", NULL, NULL);
    expect("shop.lua", "checks/shop.lua", NULL, NULL);
    struct discovery d = look("shop.lua", NULL, NULL);
    char real[128];
    snprintf(real, sizeof real, "%s/checks/..2026/shop.lua", tree);
    CHECK_STRING(d.files[0].path, real);
    discovery_fini(&d);
}

TEST(links_that_lead_out_are_refused)
{
    put("outside/x.lua");
    put("checks/a.lua");
    put_link("../outside/x.lua", "checks/x.lua");
    put_link("/etc", "checks/etc");
    put("checks-too/y.lua");
    put_link("../checks-too/y.lua", "checks/y.lua");
    expect("a.lua | etc x.lua y.lua", "checks", NULL, NULL);
    CHECK(unlink("checks/etc") == 0 && unlink("checks/y.lua") == 0);
    expect_refused("checks", "x.lua", "leads out of");
    /* Asked for by name, it is what it leads to. */
    expect("x.lua", "checks/x.lua", NULL, NULL);
}

TEST(a_lib_that_leads_out_is_refused)
{
    put("outside/x.lua");
    put("checks/a.lua");
    put_link("../outside", "checks/lib");
    struct discovery d = look("checks", NULL, NULL);
    CHECK_STRING(ids(&d), "a.lua | lib");
    CHECK(d.files[0].root->lib == NULL);
    discovery_fini(&d);
}

TEST(links_that_dangle_or_loop_are_refused)
{
    put("checks/a/x.lua");
    put_link("nowhere.lua", "checks/gone.lua");
    expect_refused("checks", "gone.lua", "leads nowhere");
    CHECK(unlink("checks/gone.lua") == 0);
    put_link("circle.lua", "checks/circle.lua");
    expect_refused("checks", "circle.lua", "in a circle");
    CHECK(unlink("checks/circle.lua") == 0);
    put_link("..", "checks/a/up");
    expect_refused("checks", "a/up", "leads back");
    expect_refused("checks/a", "a/up", "leads back");
    CHECK(unlink("checks/a/up") == 0);
    put("checks/b/y.lua");
    put_link("../b", "checks/a/b");
    put_link("../a", "checks/b/a");
    struct discovery d = look("checks", NULL, NULL);
    CHECK(d.file_count == 2 && d.finding_count == 2);
    discovery_fini(&d);
}

/* Forty directories with two links each to the next would be 2^40 walks. */
TEST(links_to_links_do_not_multiply)
{
    char path[64], target[64];
    for (int i = 0; i < 40; i++) {
        snprintf(target, sizeof target, "../%d", i + 1);
        snprintf(path, sizeof path, "checks/%d/a", i);
        put_link(target, path);
        snprintf(path, sizeof path, "checks/%d/b", i);
        put_link(target, path);
    }
    put("checks/40/x.lua");
    expect("40/x.lua", "checks", NULL, NULL);
}

TEST(special_files_are_refused)
{
    put("checks/a.lua");
    CHECK(mkfifo("checks/fifo.lua", 0644) == 0);
    expect_refused("checks", "fifo.lua", "is a FIFO");
    expect_refused("checks/fifo.lua", "fifo.lua", "is a FIFO");
    CHECK(unlink("checks/fifo.lua") == 0 && mkfifo("checks/pipe", 0644) == 0);
    expect("a.lua | pipe", "checks", NULL, NULL);
    CHECK(unlink("checks/pipe") == 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "checks/s.lua"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
    close(fd);
    expect_refused("checks", "s.lua", "is a socket");
    CHECK(unlink("checks/s.lua") == 0);
    if (mknod("checks/null.lua", S_IFCHR | 0666, makedev(1, 3)) == 0)
        expect_refused("checks", "null.lua", "is a character device");
    unlink("checks/null.lua");
    expect_refused("/dev/null", "null", "is a character device");
}

TEST(large_files_are_refused)
{
    put_bytes("checks/a.lua", CHECK_FILE_MAX);
    put_bytes("checks/b.lua", CHECK_FILE_MAX + 1);
    expect("a.lua | b.lua", "checks", NULL, NULL);
    expect_refused("checks/b.lua", "b.lua", "262145 bytes");
}

TEST(names_that_cannot_be_ids_are_refused)
{
    put("checks/ok.lua");
    put("checks/bad\xff.lua");
    expect("ok.lua | bad\\xff.lua", "checks", NULL, NULL);
    expect_refused("checks/bad\xff.lua", "bad\\xff.lua", "not UTF-8");
    CHECK(unlink("checks/bad\xff.lua") == 0);
    put("checks/\x1b[2J/x.lua");
    expect("ok.lua | \\x1b[2J", "checks", NULL, NULL);
}

TEST(a_name_with_the_separator_is_refused)
{
    put("checks/a::b.lua");
    expect_refused("checks", "a::b.lua", "separates the parts");
    put("checks/c::d/x.lua");
    expect_refused("checks/c::d", "c::d", "cannot be an id");
}

TEST(missing_and_empty_arguments_are_findings)
{
    expect_refused("checks/nope", "checks/nope", "does not exist");
    expect_refused("", "(empty)", "a path is empty");
    expect_refused(NULL, "checks", "set HEALTHCHECKS");
    put("checks/a.lua");
    put("checks/sub/note.txt");
    expect_refused("checks/a.lua/x", "checks/a.lua/x", "does not exist");
    expect("a.lua | nope", "checks", "nope", "nope");
    setenv("HEALTHCHECKS", "checks gone", 1);
    expect_refused(NULL, "gone", "correct HEALTHCHECKS");
    unsetenv("HEALTHCHECKS");
    struct discovery d = look("checks/sub", NULL, NULL);
    CHECK(d.file_count == 0 && d.finding_count == 1);
    CHECK(d.findings[0].kind == FINDING_EMPTY);
    discovery_fini(&d);
}

TEST(roots_that_share_a_path_keep_ids_apart)
{
    put("base/http.lua");
    put("site/http.lua");
    put("site/own.lua");
    put("deep/site/http.lua");
    put("base/site/http.lua");
    expect("http.lua site/http.lua own.lua", "base/http.lua", "site", NULL);
    expect("http.lua site/http.lua deep/site/http.lua", "base", "deep/site", NULL);
    /* Three alike, two in directories of one name; and a plain id that must not be taken. */
    put("other/site/http.lua");
    put("a/site/http.lua");
    expect("http.lua own.lua site/http.lua other/site/http.lua", "site", "deep/site", "other/site");
    expect("http.lua own.lua a/site/http.lua base/http.lua site/http.lua", "site", "a/site",
           "base/site/..");
    expect("http.lua own.lua base/http.lua site/http.lua=site/http.lua::x", "site", "base/http.lua",
           "base/site/http.lua::x");
}

/* As a plain user: root may read everything. */
static int as_nobody(void)
{
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 1;
    test_ok = true;
    expect("a.lua | locked net/secret.lua nolist", "checks", NULL, NULL);
    expect_refused("checks/locked", "locked", "cannot be opened");
    expect_refused("checks/net/secret.lua", "net/secret.lua", "make it readable");
    expect_refused("checks2/nosearch/x.lua", "x.lua", "cannot be looked at");
    expect(" | nosearch/x.lua", "checks2", NULL, NULL);
    return test_ok ? 0 : 1;
}

TEST(what_cannot_be_read_is_a_finding)
{
    put("checks/a.lua");
    put("checks/net/secret.lua");
    put("checks/locked/x.lua");
    put("checks/nolist/x.lua");
    put("checks2/nosearch/x.lua");
    CHECK(chmod("checks/net/secret.lua", 0) == 0 && chmod("checks/locked", 0) == 0);
    CHECK(chmod("checks/nolist", 0111) == 0 && chmod("checks2/nosearch", 0444) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int code = as_nobody();
        fflush(stdout);
        _exit(code);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

TEST(trees_may_be_deep_but_not_without_end)
{
    char path[512] = "checks";
    for (int i = 0; i < 70; i++) {
        mkdir(path, 0755);
        strcat(path, "/d");
    }
    put("checks/a.lua");
    struct discovery d = look("checks", NULL, NULL);
    CHECK(d.file_count == 1 && d.finding_count == 1);
    CHECK(strstr(d.findings[0].reason, "directories deep"));
    discovery_fini(&d);
}

TEST(reading_asks_again)
{
    struct buffer text = {0};
    struct fault why;
    put("a.lua");
    CHECK(discover_read("a.lua", &text, &why) && text.size == 10);
    put_link("a.lua", "link.lua");
    CHECK(!discover_read("link.lua", &text, &why));
    CHECK(mkfifo("fifo.lua", 0644) == 0);
    CHECK(!discover_read("fifo.lua", &text, &why));
    put_bytes("big.lua", CHECK_FILE_MAX + 1);
    CHECK(!discover_read("big.lua", &text, &why) && why.kind == FAULT_LIMIT);
    buffer_clear(&text);
    put_bytes("fits.lua", CHECK_FILE_MAX);
    CHECK(discover_read("fits.lua", &text, &why) && text.size == CHECK_FILE_MAX);
    buffer_fini(&text);
}

static int descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

#define RUN_IN_TREE(name)                                                                          \
    do {                                                                                           \
        tree_make();                                                                               \
        int open_before_ = descriptors();                                                          \
        RUN(name);                                                                                 \
        if (descriptors() != open_before_) {                                                       \
            printf("FAILED %s left descriptors open\n", #name);                                    \
            test_failed++;                                                                         \
        }                                                                                          \
        tree_remove();                                                                             \
    } while (0)

int main(void)
{
    unsetenv("HEALTHCHECKS");
    RUN_IN_TREE(order_is_the_byte_order_of_paths);
    RUN_IN_TREE(what_is_no_check_is_passed_over);
    RUN_IN_TREE(every_spelling_gives_the_same_ids);
    RUN_IN_TREE(a_directory_elsewhere_is_its_own_root);
    RUN_IN_TREE(the_environment_names_default_roots);
    RUN_IN_TREE(ids_select_within_a_file);
    RUN_IN_TREE(a_file_that_is_an_argument_may_have_any_name);
    RUN_IN_TREE(the_same_file_is_there_once);
    RUN_IN_TREE(links_inside_the_root_are_followed);
    RUN_IN_TREE(links_that_lead_out_are_refused);
    RUN_IN_TREE(a_lib_that_leads_out_is_refused);
    RUN_IN_TREE(links_that_dangle_or_loop_are_refused);
    RUN_IN_TREE(links_to_links_do_not_multiply);
    RUN_IN_TREE(special_files_are_refused);
    RUN_IN_TREE(large_files_are_refused);
    RUN_IN_TREE(names_that_cannot_be_ids_are_refused);
    RUN_IN_TREE(a_name_with_the_separator_is_refused);
    RUN_IN_TREE(missing_and_empty_arguments_are_findings);
    RUN_IN_TREE(roots_that_share_a_path_keep_ids_apart);
    RUN_IN_TREE(what_cannot_be_read_is_a_finding);
    RUN_IN_TREE(trees_may_be_deep_but_not_without_end);
    RUN_IN_TREE(reading_asks_again);
    return test_report();
}

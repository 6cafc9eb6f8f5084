/* new.c - see new.h. */
#include "cli/new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* %s: the path, three times. */
static const char starter[] =
    "-- %s: what must hold while the system runs.\n"
    "--\n"
    "--   hospital run %s     runs it\n"
    "--   hospital lint %s    only loads it\n"
    "--\n"
    "-- A check passes unless an assertion in it fails. Each file runs in a sandbox\n"
    "-- of its own; checks at the top level run at the same time.\n"
    "\n"
    "-- The simplest check: a name, and a function that asserts something.\n"
    "healthcheck(\"arithmetic still works\", function()\n"
    "  assert_equal(4, 2 + 2) -- first what is expected, then what was found\n"
    "end)\n"
    "\n"
    "-- Options stand between name and function. The environment is there as env.NAME;\n"
    "-- skip() leaves a check out and says why.\n"
    "healthcheck(\"home page answers\", { tags = \"smoke\", timeout = \"5s\" }, function()\n"
    "  local url = env.SHOP_URL or skip(\"set SHOP_URL to check the home page\")\n"
    "  local response = assert_http_response(url, 200)\n"
    "  assert_match(\"Welcome\", response.body)\n"
    "end)\n"
    "\n"
    "-- describe() groups checks. With before_each, after_each, setup or teardown in\n"
    "-- it, its checks run one after the other.\n"
    "describe(\"a queue\", function()\n"
    "  local queue\n"
    "  before_each(function() queue = { \"first\", \"second\" } end)\n"
    "\n"
    "  healthcheck(\"gives back what was put in first\", function()\n"
    "    assert_equal(\"first\", table.remove(queue, 1))\n"
    "    assert_equal({ \"second\" }, queue) -- tables are compared by what they hold\n"
    "  end)\n"
    "\n"
    "  -- expect_… is like assert_…, but goes on; every failure is reported.\n"
    "  healthcheck(\"is not empty\", function()\n"
    "    expect_greater(#queue, 0)\n"
    "    expect_in(\"second\", queue)\n"
    "  end)\n"
    "end)\n"
    "\n"
    "-- More to try, by taking away the dashes:\n"
    "--\n"
    "-- healthcheck(\"the database listens\", { owner = \"team shop\" }, function()\n"
    "--   assert_tcp(\"127.0.0.1\", 5432)\n"
    "-- end)\n"
    "--\n"
    "-- healthcheck(\"the nightly export\", { slow = true, retries = 2 }, function()\n"
    "--   ... -- runs with: hospital run --slow\n"
    "-- end)\n";

static bool ends_in_lua(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".lua") == 0;
}

/* What discovery would pass over or refuse is no name for a new file. */
static bool name_is_usable(const char *name, struct fault *why)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    char *shown = text_escape(name);
    const char *problem = !*name                     ? "is empty"
                          : !text_is_printable(name) ? "holds control characters or is not UTF-8"
                          : !*last                   ? "names a directory"
                          : *last == '.'             ? "begins with a dot, so it would not be found"
                          : *last == '_'             ? "begins with _, so it would not be found"
                          : strstr(name, "::") ? "holds \"::\", which separates the parts of an id"
                                               : NULL;
    if (problem)
        fault_set(why, FAULT_INTERNAL, "new: the name \"%s\" %s; write a name such as shop", shown,
                  problem);
    free(shown);
    return !problem;
}

static bool make_directories(char *path, struct fault *why)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        if (!made)
            fault_set(why, FAULT_INTERNAL, "new: the directory %s cannot be made: %s", path,
                      strerror(errno));
        *slash = '/';
        if (!made)
            return false;
    }
    return true;
}

static bool write_file(const char *path, const struct buffer *text, struct fault *why)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return fault_set(why, FAULT_INTERNAL,
                         "new: %s exists and is left as it is: choose another name", path);
    bool ok = fd >= 0 && write(fd, text->data, text->size) == (ssize_t)text->size;
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (!ok)
        fault_set(why, FAULT_INTERNAL, "new: %s cannot be written: %s", path, strerror(errno));
    if (!ok && fd >= 0)
        unlink(path);
    return ok;
}

bool new_check(const char *name, struct buffer *path, struct fault *why)
{
    if (!name_is_usable(name, why))
        return false;
    bool is_path = strchr(name, '/') || ends_in_lua(name);
    struct buffer text = {0};
    size_t start = path->size;
    buffer_addf(path, "%s%s%s", is_path ? "" : "checks/", name, ends_in_lua(name) ? "" : ".lua");
    buffer_add(path, "", 1);
    char *at = path->data + start;
    buffer_addf(&text, starter, at, at, at);
    bool ok = make_directories(at, why) && write_file(at, &text, why);
    buffer_fini(&text);
    return ok;
}

/* lastrun.c - see lastrun.h.
 *
 *     hospital-failed 1
 *     root /srv/checks
 *     id shop.lua::orders::written
 *     end 1
 *
 * A backslash and a newline in a path or an id are written \\ and \n. */
#include "check/lastrun.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"

static const char head[] = "hospital-failed 1\n";

enum { MEMORY_MAX = 64 * 1024 * 1024, KEPT_MAX = 100 };

static void add_line(struct buffer *text, const char *word, const char *value)
{
    buffer_addf(text, "%s ", word);
    for (; *value; value++) {
        if (*value == '\n')
            buffer_add(text, "\\n", 2);
        else if (*value == '\\')
            buffer_add(text, "\\\\", 2);
        else
            buffer_add(text, value, 1);
    }
    buffer_add(text, "\n", 1);
}

static void add_head(struct buffer *text, const struct strings *roots)
{
    buffer_add_string(text, head);
    for (size_t i = 0; i < roots->count; i++)
        add_line(text, "root", roots->items[i]);
}

/* The directory, with a slash behind it. */
static bool add_directory(struct buffer *path, struct fault *why)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && state[0] == '/') /* a relative one is to be ignored, says its standard */
        buffer_addf(path, "%s/hospital/", state);
    else if (home && home[0] == '/')
        buffer_addf(path, "%s/.local/state/hospital/", home);
    else
        return fault_set(why, FAULT_INTERNAL,
                         "the last run is not remembered: neither XDG_STATE_HOME nor HOME is set");
    return true;
}

static bool memory_path(struct buffer *path, const struct strings *roots, struct fault *why)
{
    if (!add_directory(path, why))
        return false;
    struct buffer key = {0};
    add_head(&key, roots);
    buffer_addf(path, "failed-%016" PRIx64, text_hash(TEXT_HASH_START, key.data, key.size));
    buffer_add(path, "", 1);
    buffer_fini(&key);
    return true;
}

/* Makes the directories that path names up to its last slash. */
static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* what failed shows when the file is opened */
        *slash = '/';
    }
}

static bool write_all(int fd, const struct buffer *text)
{
    for (size_t done = 0; done < text->size;) {
        ssize_t got = write(fd, text->data + done, text->size - done);
        if (got < 0 && errno != EINTR)
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool replace_file(const char *path, const struct buffer *text, struct fault *why)
{
    struct buffer temporary = {0};
    buffer_addf(&temporary, "%s.XXXXXX", path);
    buffer_add(&temporary, "", 1);
    int fd = mkostemp(temporary.data, O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, text);
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    ok = ok && rename(temporary.data, path) == 0;
    if (!ok)
        fault_set(why, FAULT_INTERNAL, "the red checks cannot be remembered in %s: %s", path,
                  strerror(errno));
    if (!ok && fd >= 0)
        unlink(temporary.data);
    buffer_fini(&temporary);
    return ok;
}

/* --- the newest KEPT_MAX --------------------------------------------------- */

struct memory {
    char name[64];
    struct timespec written;
};

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct memory *)a)->written;
    const struct timespec *y = &((const struct memory *)b)->written;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

/* Of memories, and of what a process that died while writing left. */
static struct memory *list_memories(DIR *directory, size_t *count)
{
    struct memory *all = NULL;
    *count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct memory one;
        struct stat status;
        if (strncmp(entry->d_name, "failed-", 7) != 0 || strlen(entry->d_name) >= sizeof one.name ||
            fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        strcpy(one.name, entry->d_name);
        one.written = status.st_mtim;
        all = memory_resize(all, (*count + 1) * sizeof *all);
        all[(*count)++] = one;
    }
    return all;
}

static void remove_older(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = memory_copy(path, (size_t)(slash - path) + 1);
    DIR *directory = opendir(name);
    free(name);
    if (!directory)
        return;
    size_t count;
    struct memory *all = list_memories(directory, &count);
    if (count > KEPT_MAX)
        qsort(all, count, sizeof *all, newest_first);
    for (size_t i = KEPT_MAX; i < count; i++)
        unlinkat(dirfd(directory), all[i].name, 0);
    free(all);
    closedir(directory);
}

bool lastrun_write(const struct strings *roots, const struct strings *ids, struct fault *why)
{
    struct buffer path = {0}, text = {0};
    bool ok = memory_path(&path, roots, why);
    if (ok) {
        add_head(&text, roots);
        for (size_t i = 0; i < ids->count; i++)
            add_line(&text, "id", ids->items[i]);
        buffer_addf(&text, "end %zu\n", ids->count);
        make_directories(path.data);
        ok = replace_file(path.data, &text, why);
        if (ok)
            remove_older(path.data);
    }
    buffer_fini(&path);
    buffer_fini(&text);
    return ok;
}

static bool read_file(const char *path, struct buffer *text, struct fault *why)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t got = -1;
    if (fd >= 0) {
        while ((got = read(fd, buffer_reserve(text, 65536), 65536)) > 0 && text->size < MEMORY_MAX)
            text->size += (size_t)got;
        int problem = errno;
        close(fd);
        errno = problem;
    }
    if (got < 0 && errno == ENOENT)
        return fault_set(why, FAULT_INTERNAL,
                         "--failed: no run of these paths is remembered (there is no %s): run "
                         "without --failed first",
                         path);
    if (got < 0)
        return fault_set(why, FAULT_INTERNAL, "--failed: %s cannot be read: %s", path,
                         strerror(errno));
    return true;
}

/* Undoes add_line's escapes, in place. */
static void unescape(char *line)
{
    char *to = line;
    for (; *line; line++) {
        if (*line == '\\' && line[1])
            *to++ = *++line == 'n' ? '\n' : *line;
        else
            *to++ = *line;
    }
    *to = '\0';
}

/* True when text (terminated) is one whole memory of these roots. */
static bool parse(struct lastrun *last, char *text, const struct strings *roots)
{
    struct buffer wanted = {0};
    add_head(&wanted, roots);
    bool ok = strncmp(text, wanted.data, wanted.size) == 0;
    char *line = ok ? text + wanted.size : text;
    buffer_fini(&wanted);
    while (ok && strncmp(line, "id ", 3) == 0) {
        char *end = strchr(line, '\n');
        if (!end)
            return false;
        *end = '\0';
        unescape(line + 3);
        strings_add(&last->ids, line + 3);
        line = end + 1;
    }
    char last_line[32];
    snprintf(last_line, sizeof last_line, "end %zu\n", last->ids.count);
    return ok && strcmp(line, last_line) == 0;
}

bool lastrun_read(struct lastrun *last, const struct strings *roots, struct fault *why)
{
    *last = (struct lastrun){0};
    struct buffer path = {0}, text = {0};
    bool ok = memory_path(&path, roots, why) && read_file(path.data, &text, why);
    if (ok) {
        buffer_add(&text, "", 1);
        ok = parse(last, text.data, roots) ||
             fault_set(why, FAULT_INTERNAL,
                       "--failed: %s is damaged: remove it, or run without --failed", path.data);
    }
    if (ok)
        strings_sort(&last->ids);
    else
        lastrun_fini(last);
    buffer_fini(&path);
    buffer_fini(&text);
    return ok;
}

bool lastrun_has(const struct lastrun *last, const char *id)
{
    return strings_sorted_has(&last->ids, id);
}

void lastrun_fini(struct lastrun *last)
{
    strings_fini(&last->ids);
}

/* walk.c - see walk.h.
 *
 * One fstatat a name, one faccessat a check, realpath only for links. */
#include "check/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"

enum { DEPTH_MAX = 64 }; /* each level holds one descriptor */

struct seen_directory {
    dev_t dev;
    ino_t ino;
};

/* A directory that is being walked.  The strings grow and shrink with the names in it. */
struct level {
    const struct level *up;
    const struct check_root *root;
    struct seen_directory self;
    int fd;
    unsigned depth;
    bool linked;
    struct buffer below, real; /* ends in a slash unless empty */
};

/* A name in a directory. */
struct spot {
    struct level *level;
    const char *name;
    char *below, *real; /* owned; real is what it would be if it is no link */
    bool asked;         /* an argument: any name will do */
    const char *rest;
};

void walk_fini(struct walk *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct found *f = &w->items[i];
        free(f->below);
        free(f->label);
        free(f->real);
        free(f->reason);
        strings_fini(&f->rests);
    }
    free(w->items);
    free(w->seen);
    *w = (struct walk){0};
}

bool walk_within(const char *directory, const char *path)
{
    size_t size = strlen(directory);
    return strncmp(directory, path, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static struct found *add(struct walk *w, const struct check_root *root, const char *below)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 64;
        w->items = memory_resize(w->items, w->room * sizeof *w->items);
    }
    struct found *f = &w->items[w->count++];
    *f = (struct found){.root = root, .below = memory_copy_string(below)};
    return f;
}

void walk_refuse(struct walk *w, const struct check_root *root, const char *below,
                 enum finding_kind kind, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        memory_die(strlen(format));
    va_end(args);
    struct found *f = add(w, root, below);
    f->kind = kind;
    f->reason = text_escape(text);
    free(text);
}

#define REFUSE(w, spot, ...)                                                                       \
    walk_refuse((w), (spot)->level->root, (spot)->below, FINDING_REFUSED, __VA_ARGS__)

static char *joined(const struct buffer *directory, const char *name)
{
    size_t size = strlen(name);
    char *path = memory_new(directory->size + size + 1);
    if (directory->size)
        memcpy(path, directory->data, directory->size);
    memcpy(path + directory->size, name, size);
    return path;
}

static bool ends_in_lua(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".lua") == 0;
}

/* An id must be printable, and its parts must be told apart. */
static bool name_is_refused(struct walk *w, const struct spot *s)
{
    if (!text_is_printable(s->name))
        REFUSE(w, s, "the name of %s holds control characters or is not UTF-8: rename it", s->real);
    else if (strstr(s->name, "::"))
        REFUSE(w, s, "the name of %s holds \"::\", which separates the parts of an id: rename it",
               s->real);
    else
        return false;
    return true;
}

static void meet_file(struct walk *w, const struct spot *s, const struct stat *st, bool linked)
{
    if (st->st_size > CHECK_FILE_MAX) {
        REFUSE(w, s, "%s has %lld bytes; a check file may have %d: split it, or move data to lib/",
               s->real, (long long)st->st_size, CHECK_FILE_MAX);
        return;
    }
    int fd = linked ? AT_FDCWD : s->level->fd;
    if (faccessat(fd, linked ? s->real : s->name, R_OK, AT_EACCESS) != 0) {
        REFUSE(w, s, "%s cannot be read (%s): make it readable for the user that runs hospital",
               s->real, strerror(errno));
        return;
    }
    struct found *f = add(w, s->level->root, s->below);
    f->real = memory_copy_string(s->real);
    f->size = (size_t)st->st_size;
    f->linked = linked || s->level->linked;
    f->whole = !s->rest || !*s->rest;
    if (!f->whole)
        strings_add(&f->rests, s->rest);
}

static void walk_level(struct walk *w, struct level *level);

static void enter(struct walk *w, const struct spot *s, const struct stat *st, int fd, bool linked)
{
    if (fd < 0) {
        REFUSE(w, s,
               "the directory %s cannot be opened (%s): make it readable and searchable for "
               "the user that runs hospital",
               s->real, strerror(errno));
        return;
    }
    struct level down = {
        .up = s->level,
        .root = s->level->root,
        .self = {st->st_dev, st->st_ino},
        .fd = fd,
        .depth = s->level->depth + 1,
        .linked = linked || s->level->linked,
    };
    buffer_addf(&down.below, "%s/", s->below);
    buffer_addf(&down.real, "%s/", s->real);
    walk_level(w, &down);
}

static void meet_directory(struct walk *w, const struct spot *s, const struct stat *st, bool linked)
{
    if (s->level->depth >= DEPTH_MAX) {
        REFUSE(w, s, "%s lies more than %d directories deep: move it up", s->real, DEPTH_MAX);
        return;
    }
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = linked ? open(s->real, flags) : openat(s->level->fd, s->name, flags);
    enter(w, s, st, fd, linked);
}

static bool same_directory(const struct seen_directory *d, const struct stat *st)
{
    return d->dev == st->st_dev && d->ino == st->st_ino;
}

static bool is_being_walked(const struct level *level, const struct stat *st)
{
    for (; level; level = level->up)
        if (same_directory(&level->self, st))
            return true;
    return false;
}

/* True once for each directory: however many links lead there, its files are
 * the same, and links to links to links must not multiply. */
static bool is_first_visit(struct walk *w, const struct stat *st)
{
    for (size_t i = 0; i < w->seen_count; i++)
        if (same_directory(&w->seen[i], st))
            return false;
    w->seen = memory_resize(w->seen, (w->seen_count + 1) * sizeof *w->seen);
    w->seen[w->seen_count++] = (struct seen_directory){st->st_dev, st->st_ino};
    return true;
}

static void meet_special(struct walk *w, const struct spot *s, const struct stat *st)
{
    const char *what = S_ISFIFO(st->st_mode)   ? "a FIFO"
                       : S_ISSOCK(st->st_mode) ? "a socket"
                       : S_ISBLK(st->st_mode)  ? "a block device"
                       : S_ISCHR(st->st_mode)  ? "a character device"
                                               : "neither a file nor a directory";
    REFUSE(w, s, "%s is %s, which has no place among checks: remove it", s->real, what);
}

/* s->real is what the link at `link` leads to. */
static void meet_target(struct walk *w, struct spot *s, const char *link)
{
    struct stat st;
    if (lstat(s->real, &st) != 0) {
        REFUSE(w, s, "the link %s leads to %s, which cannot be looked at (%s): mend the link", link,
               s->real, strerror(errno));
        return;
    }
    if (S_ISREG(st.st_mode) && !s->asked && !ends_in_lua(s->name))
        return;
    if (name_is_refused(w, s))
        return;
    if (!walk_within(s->level->root->path, s->real))
        REFUSE(w, s,
               "the link %s leads out of %s to %s: put the file itself there, or give its "
               "path as an argument",
               link, s->level->root->path, s->real);
    else if (S_ISREG(st.st_mode))
        meet_file(w, s, &st, true);
    else if (!S_ISDIR(st.st_mode))
        meet_special(w, s, &st);
    else if (walk_within(s->real, link) || is_being_walked(s->level, &st))
        REFUSE(w, s, "the link %s leads back to %s, which holds it: remove the link", link,
               s->real);
    else if (is_first_visit(w, &st))
        meet_directory(w, s, &st, true);
}

static void meet_link(struct walk *w, struct spot *s)
{
    char *link = s->real;
    s->real = realpath(link, NULL);
    if (s->real)
        meet_target(w, s, link);
    else if (errno == ELOOP)
        REFUSE(w, s, "the link %s leads in a circle: remove it", link);
    else
        REFUSE(w, s, "the link %s leads nowhere (%s): mend or remove it", link, strerror(errno));
    free(link);
}

static void meet(struct walk *w, struct spot *s)
{
    struct stat st;
    if (fstatat(s->level->fd, s->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT || s->asked) /* else it is gone since its name was read */
            REFUSE(w, s,
                   "%s cannot be looked at (%s): make its directory searchable for the user "
                   "that runs hospital",
                   s->real, strerror(errno));
        return;
    }
    if (S_ISREG(st.st_mode) && !s->asked && !ends_in_lua(s->name))
        return;
    if (S_ISLNK(st.st_mode))
        meet_link(w, s);
    else if (name_is_refused(w, s))
        return;
    else if (S_ISREG(st.st_mode))
        meet_file(w, s, &st, false);
    else if (S_ISDIR(st.st_mode))
        meet_directory(w, s, &st, false);
    else
        meet_special(w, s, &st);
}

static bool is_passed_over(const struct level *level, const struct dirent *entry)
{
    const char *name = entry->d_name;
    if (name[0] == '.' || name[0] == '_')
        return true;
    if (level->below.size == 0 && strcmp(name, "lib") == 0)
        return true;
    return entry->d_type == DT_REG && !ends_in_lua(name);
}

static void walk_name(struct walk *w, struct level *level, const char *name, bool asked,
                      const char *rest)
{
    struct spot s = {
        .level = level,
        .name = name,
        .below = joined(&level->below, name),
        .real = joined(&level->real, name),
        .asked = asked,
        .rest = rest,
    };
    meet(w, &s);
    free(s.below);
    free(s.real);
}

static void level_fini(struct level *level)
{
    buffer_fini(&level->below);
    buffer_fini(&level->real);
}

static void refuse_level(struct walk *w, const struct level *level)
{
    int problem = errno;
    char *below = memory_copy(level->below.data, level->below.size ? level->below.size - 1 : 0);
    char *real = memory_copy(level->real.data, level->real.size - 1);
    walk_refuse(w, level->root, *below ? below : real, FINDING_REFUSED,
                "the directory %s could not be read to its end (%s): checks in it were not run",
                real, strerror(problem));
    free(below);
    free(real);
}

/* Takes level->fd and what the level owns. */
static void walk_level(struct walk *w, struct level *level)
{
    DIR *directory = fdopendir(level->fd);
    if (!directory) {
        refuse_level(w, level);
        close(level->fd);
        level_fini(level);
        return;
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry)
            break;
        if (!is_passed_over(level, entry))
            walk_name(w, level, entry->d_name, false, NULL);
    }
    if (errno != 0)
        refuse_level(w, level);
    closedir(directory);
    level_fini(level);
}

/* Opens root/below (below without a slash at its end); below.size 0 is the root. */
static bool level_open(struct walk *w, struct level *level, const struct check_root *root,
                       const char *below, size_t size, int flags)
{
    *level = (struct level){.root = root};
    buffer_addf(&level->real, "%s/", root->path);
    if (size) {
        buffer_add(&level->real, below, size);
        buffer_add(&level->real, "/", 1);
        buffer_add(&level->below, below, size);
        buffer_add(&level->below, "/", 1);
    }
    /* Without the slash, which would follow a link in the last name. */
    char *path = memory_copy(level->real.data, level->real.size - (level->real.size > 1));
    struct stat st;
    level->fd = open(path, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ok = level->fd >= 0 && fstat(level->fd, &st) == 0;
    if (ok)
        level->self = (struct seen_directory){st.st_dev, st.st_ino};
    else
        walk_refuse(w, root, size ? below : path, FINDING_REFUSED,
                    "the directory %s cannot be opened (%s): make it readable and searchable for "
                    "the user that runs hospital",
                    path, strerror(errno));
    free(path);
    return ok;
}

void walk_directory(struct walk *w, const struct check_root *root, const char *below)
{
    struct level level;
    if (level_open(w, &level, root, below, strlen(below), O_RDONLY))
        walk_level(w, &level);
    else
        level_fini(&level);
}

void walk_file(struct walk *w, const struct check_root *root, const char *below, const char *rest)
{
    const char *slash = strrchr(below, '/');
    struct level level;
    if (level_open(w, &level, root, below, slash ? (size_t)(slash - below) : 0, O_PATH)) {
        walk_name(w, &level, slash ? slash + 1 : below, true, rest);
        close(level.fd);
    }
    level_fini(&level);
}

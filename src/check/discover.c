/* discover.c - see discover.h.  Three steps: which directories can be roots,
 * what each argument leads to (walk.c), and ids for what was found. */
#include "check/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "check/label.h"
#include "check/walk.h"

struct search {
    struct discovery *d;
    struct walk walk;
    struct strings arguments;  /* never empty */
    struct strings defaults;   /* real paths of the default roots */
    struct strings candidates; /* defaults, and directories that are arguments */
    bool by_default;           /* ./checks because nothing else was said */
    bool by_environment;       /* the arguments are the words of HEALTHCHECKS */
};

/* An argument that exists. */
struct target {
    char *path;       /* as it can be opened */
    const char *rest; /* NULL, or what stands behind "::" */
    bool directory;
};

/* The real path without a slash at its end; NULL when there is none. */
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (real && strcmp(real, "/") == 0)
        real[0] = '\0';
    return real;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void add_candidate(struct strings *list, const char *path)
{
    char *real = is_directory(path) ? real_path(path) : NULL;
    if (real)
        strings_take(list, real);
}

static void search_init(struct search *s, struct discovery *d, char *const *paths, size_t count,
                        const char *healthchecks)
{
    *s = (struct search){.d = d};
    struct strings words = {0};
    strings_add_words(&words, healthchecks ? healthchecks : "");
    s->by_default = count == 0 && words.count == 0;
    for (size_t i = 0; i < words.count; i++)
        add_candidate(&s->defaults, words.items[i]);
    add_candidate(&s->defaults, "checks");
    s->by_environment = count == 0 && words.count > 0;
    if (s->by_environment) {
        count = words.count;
        paths = words.items;
    }
    for (size_t i = 0; i < count; i++)
        strings_add(&s->arguments, paths[i]);
    if (s->by_default)
        strings_add(&s->arguments, "checks");
    for (size_t i = 0; i < s->defaults.count; i++)
        strings_add(&s->candidates, s->defaults.items[i]);
    for (size_t i = 0; i < s->arguments.count; i++)
        add_candidate(&s->candidates, s->arguments.items[i]);
    strings_fini(&words);
}

static void search_fini(struct search *s)
{
    walk_fini(&s->walk);
    strings_fini(&s->arguments);
    strings_fini(&s->defaults);
    strings_fini(&s->candidates);
}

/* lib/ is read from inside the sandbox, so it may not be a way out of the root. */
static char *find_lib(struct walk *w, const struct check_root *root)
{
    struct buffer path = {0};
    struct stat st;
    buffer_addf(&path, "%s/lib", root->path);
    buffer_add(&path, "", 1);
    char *lib = NULL;
    if (lstat(path.data, &st) == 0 && !S_ISREG(st.st_mode)) {
        lib = realpath(path.data, NULL);
        if (!lib || !walk_within(root->path, lib) || !is_directory(lib)) {
            walk_refuse(w, root, "lib", FINDING_REFUSED,
                        "%s is not a directory inside the checks' root, so nothing can be required "
                        "from it: put the directory itself there",
                        path.data);
            free(lib);
            lib = NULL;
        }
    }
    buffer_fini(&path);
    return lib;
}

static const struct check_root *root_at(struct search *s, const char *path, size_t size)
{
    struct discovery *d = s->d;
    for (size_t i = 0; i < d->root_count; i++)
        if (strlen(d->roots[i]->path) == size && memcmp(d->roots[i]->path, path, size) == 0)
            return d->roots[i];
    struct check_root *root = memory_new(sizeof *root);
    *root = (struct check_root){.path = memory_copy(path, size), .rank = d->root_count};
    d->roots = memory_resize(d->roots, (d->root_count + 1) * sizeof(struct check_root *));
    d->roots[d->root_count++] = root;
    root->lib = find_lib(&s->walk, root);
    return root;
}

/* The outermost candidate that holds directory (size bytes of path), else that itself. */
static const struct check_root *root_of(struct search *s, const char *path, size_t size)
{
    const char *outermost = NULL;
    for (size_t i = 0; i < s->candidates.count; i++) {
        const char *candidate = s->candidates.items[i];
        size_t length = strlen(candidate);
        if (length <= size && walk_within(candidate, path) &&
            (!outermost || length < strlen(outermost)))
            outermost = candidate;
    }
    return outermost ? root_at(s, outermost, strlen(outermost)) : root_at(s, path, size);
}

/* The part of path below root. */
static const char *below_root(const struct check_root *root, const char *path)
{
    const char *below = path + strlen(root->path);
    return *below == '/' ? below + 1 : below;
}

static bool below_is_refused(struct search *s, const struct check_root *root, const char *below)
{
    if (text_is_printable(below) && !strstr(below, "::"))
        return false;
    walk_refuse(&s->walk, root, below, FINDING_REFUSED,
                "the path %s/%s cannot be an id, because it holds \"::\" or control characters or "
                "is not UTF-8: rename it",
                root->path, below);
    return true;
}

static void take_directory(struct search *s, const char *argument, const struct target *t)
{
    char *real = real_path(t->path);
    if (!real) {
        walk_refuse(&s->walk, NULL, argument, FINDING_REFUSED, "%s cannot be looked at (%s)",
                    t->path, strerror(errno));
        return;
    }
    if (t->rest) {
        walk_refuse(&s->walk, NULL, argument, FINDING_REFUSED,
                    "%s is a directory, and an id names a file: write path/to/file.lua::name",
                    t->path);
        free(real);
        return;
    }
    const struct check_root *root = root_of(s, real, strlen(real));
    const char *below = below_root(root, real);
    size_t before = s->walk.count;
    if (!below_is_refused(s, root, below))
        walk_directory(&s->walk, root, below);
    if (s->walk.count == before)
        walk_refuse(&s->walk, NULL, argument, FINDING_EMPTY,
                    "%s holds no checks: put files that end in .lua there, or give another path",
                    t->path);
    free(real);
}

/* The real path of the directory, and the name as it stands: the name may be a link. */
static char *real_but_for_the_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? memory_copy(path, (size_t)(slash - path) + 1) : NULL;
    char *real = real_path(directory ? directory : ".");
    free(directory);
    if (!real)
        return NULL;
    struct buffer whole = {0};
    buffer_addf(&whole, "%s/%s", real, slash ? slash + 1 : path);
    buffer_add(&whole, "", 1);
    free(real);
    return whole.data;
}

static const struct check_root *root_of_file(struct search *s, const char *path)
{
    return root_of(s, path, (size_t)(strrchr(path, '/') - path));
}

static void take_file(struct search *s, const char *argument, const struct target *t)
{
    char *path = real_but_for_the_name(t->path);
    if (!path) {
        walk_refuse(&s->walk, NULL, argument, FINDING_REFUSED, "%s cannot be looked at (%s)",
                    t->path, strerror(errno));
        return;
    }
    const struct check_root *root = root_of_file(s, path);
    char *real = realpath(path, NULL);
    if (real && !walk_within(root->path, real)) {
        root = root_of_file(s, real);
        free(path);
        path = real;
        real = NULL;
    }
    const char *below = below_root(root, path);
    if (!below_is_refused(s, root, below))
        walk_file(&s->walk, root, below, t->rest);
    free(real);
    free(path);
}

/* True when base/argument exists (or is there but cannot be looked at), as a
 * whole or up to one of its "::". */
static bool find_below(const char *base, const char *argument, struct target *t)
{
    struct buffer path = {0};
    struct stat st;
    if (base)
        buffer_addf(&path, "%s/", base);
    size_t start = path.size;
    const char *end = argument + strlen(argument), *next = strstr(argument, "::");
    for (;; end = next, next = strstr(next + 1, "::")) {
        path.size = start;
        buffer_add(&path, argument, (size_t)(end - argument));
        buffer_add(&path, "", 1);
        if (end != argument && (lstat(path.data, &st) == 0 || errno == EACCES)) {
            *t = (struct target){path.data, *end ? end + 2 : NULL, is_directory(path.data)};
            return true;
        }
        if (!next)
            break;
    }
    buffer_fini(&path);
    return false;
}

static bool find(struct search *s, const char *argument, struct target *t)
{
    if (find_below(NULL, argument, t))
        return true;
    for (size_t i = 0; argument[0] != '/' && i < s->defaults.count; i++)
        if (find_below(s->defaults.items[i], argument, t))
            return true;
    return false;
}

static void refuse_missing(struct search *s, const char *argument)
{
    char *here = realpath(".", NULL);
    if (s->by_default)
        walk_refuse(&s->walk, NULL, argument, FINDING_REFUSED,
                    "there is no directory checks in %s: give a path, or set HEALTHCHECKS",
                    here ? here : ".");
    else if (!*argument)
        walk_refuse(&s->walk, NULL, "(empty)", FINDING_REFUSED,
                    "a path is empty: leave it out, or name a file or directory");
    else
        walk_refuse(&s->walk, NULL, argument, FINDING_REFUSED, "%s does not exist%s%s: correct %s",
                    argument, argument[0] == '/' ? "" : " in ",
                    argument[0] == '/' ? "" : (here ? here : "."),
                    s->by_environment ? "HEALTHCHECKS" : "the path");
    free(here);
}

static void take_argument(struct search *s, const char *argument)
{
    struct target t;
    if (!find(s, argument, &t)) {
        refuse_missing(s, argument);
        return;
    }
    if (t.directory)
        take_directory(s, argument, &t);
    else
        take_file(s, argument, &t);
    free(t.path);
}

static void hand_over(struct discovery *d, struct walk *w)
{
    d->files = memory_new(w->count * sizeof *d->files);
    d->findings = memory_new(w->count * sizeof *d->findings);
    for (size_t i = 0; i < w->count; i++) {
        struct found *f = &w->items[i];
        if (f->reason) {
            d->findings[d->finding_count++] = (struct finding){f->kind, f->label, f->reason};
            f->reason = NULL;
        } else {
            d->files[d->file_count++] =
                (struct check_file){f->label, f->real, f->root, f->size, f->rests};
            f->real = NULL;
            f->rests = (struct strings){0};
        }
        f->label = NULL;
    }
}

void discover(struct discovery *d, char *const *paths, size_t count, const char *healthchecks)
{
    *d = (struct discovery){0};
    struct search s;
    search_init(&s, d, paths, count, healthchecks);
    for (size_t i = 0; i < s.arguments.count; i++)
        take_argument(&s, s.arguments.items[i]);
    label_all(&s.walk);
    hand_over(d, &s.walk);
    search_fini(&s);
}

void discovery_root_paths(const struct discovery *d, struct strings *paths)
{
    for (size_t i = 0; i < d->root_count; i++)
        strings_add(paths, d->roots[i]->path);
}

void discovery_fini(struct discovery *d)
{
    for (size_t i = 0; i < d->file_count; i++) {
        free(d->files[i].id);
        free(d->files[i].path);
        strings_fini(&d->files[i].only);
    }
    for (size_t i = 0; i < d->finding_count; i++) {
        free(d->findings[i].path);
        free(d->findings[i].reason);
    }
    for (size_t i = 0; i < d->root_count; i++) {
        free(d->roots[i]->path);
        free(d->roots[i]->lib);
        free(d->roots[i]);
    }
    free(d->files);
    free(d->findings);
    free(d->roots);
    *d = (struct discovery){0};
}

static bool read_all(int fd, const char *path, struct buffer *text, struct fault *why)
{
    for (size_t total = 0; total <= CHECK_FILE_MAX;) {
        /* One byte more than is allowed shows a file that grew. */
        ssize_t got = read(fd, buffer_reserve(text, 65536), 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fault_set(why, FAULT_INTERNAL, "%s cannot be read: %s", path, strerror(errno));
        if (got == 0)
            return true;
        text->size += (size_t)got;
        total += (size_t)got;
    }
    return fault_set(why, FAULT_LIMIT, "%s has more than %d bytes", path, CHECK_FILE_MAX);
}

bool discover_read(const char *path, struct buffer *text, struct fault *why)
{
    /* O_NONBLOCK: a FIFO put in its place must not hang us. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    bool ok = false;
    if (fd < 0 || fstat(fd, &st) != 0)
        fault_set(why, FAULT_INTERNAL, "%s cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        fault_set(why, FAULT_INTERNAL, "%s is no longer a file", path);
    else
        ok = read_all(fd, path, text, why);
    if (fd >= 0)
        close(fd);
    return ok;
}

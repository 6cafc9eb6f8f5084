/* discover.h - from the paths of a command line to the files that are checks.
 *
 * An argument is a file, a directory, or an id (`shop.lua::orders::written`, or
 * the beginning of one: `shop.lua::orders` stands for all below it).  It is looked
 * for in the working directory and then, because ids are printed relative to
 * their root, in the default roots.  The *default roots* are the words of
 * HEALTHCHECKS, if it is set, and ./checks.  Without arguments the words of
 * HEALTHCHECKS are the arguments, else ./checks.
 *
 * The *root* of an argument decides its ids and its lib/.  It is the outermost
 * of these that holds it: a default root, or a directory given as an argument;
 * else the directory that the file lies in.  So `checks`, `./checks/`,
 * `/srv/checks`, `checks/net` and `checks/net/dns.lua`, in any mixture, agree.
 *
 * Below a directory, these are not checks and are passed over in silence: hidden
 * names, names that begin with `_`, lib/ directly in the root, and files that do
 * not end in `.lua`.  A file that is an argument may have any such name.  Links
 * are followed within their root only.  A file that is reached twice is there
 * once: under its own name if that is reached, else under the first link's in
 * byte order.  (So a mounted ConfigMap, and links into a hidden folder, just work.)
 * An argument that is itself a link out of the tree means what it leads to.
 *
 * Whatever is refused, or could not be looked at, is a *finding*: a run that
 * has one must not be green.  Discovery itself never fails and reads no file.
 *
 * Order: roots as they were first named, then the byte order of the path below
 * the root.  Ids are unique: when a later root holds a path that an earlier one
 * holds too, the later gets as much of its root's path in front as tells them
 * apart ("site/http.lua"); the earlier keeps its id. */
#ifndef HOSPITAL_CHECK_DISCOVER_H
#define HOSPITAL_CHECK_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/fault.h"
#include "base/strings.h"

enum { CHECK_FILE_MAX = 256 * 1024 }; /* bytes */

struct check_root {
    char *path;  /* real and absolute, without a slash at its end; "" is the root directory */
    char *lib;   /* its lib/, real and inside the root; NULL when there is none */
    size_t rank; /* in which order it was named */
};

/* path lies below root->path, always: a worker that may read the roots can read all files. */
struct check_file {
    char *id;                      /* "net/dns.lua": printable UTF-8, unique, without "::" */
    char *path;                    /* real and absolute: no component was a link */
    const struct check_root *root; /* lives as long as the discovery */
    size_t size;                   /* bytes, when it was seen */
    struct strings only;           /* ids, or beginnings of ids, asked for; empty: all of it */
};

enum finding_kind {
    FINDING_REFUSED, /* something is there, or should be, that cannot be run */
    FINDING_EMPTY,   /* a directory asked for holds no checks: alone, "nothing selected" */
};

struct finding {
    enum finding_kind kind;
    char *path;   /* like an id, or the argument as given; printable, and no file's id */
    char *reason; /* a sentence with the thing, the place and the mend; printable */
};

struct discovery {
    struct check_file *files;
    size_t file_count;
    struct finding *findings; /* in the order of files */
    size_t finding_count;
    struct check_root **roots; /* by rank */
    size_t root_count;
};

/* Fills *d, which need not be initialised.  paths are borrowed for the call;
 * healthchecks is the value of HEALTHCHECKS, or NULL. */
void discover(struct discovery *d, char *const *paths, size_t count, const char *healthchecks);
void discovery_fini(struct discovery *d);

/* Appends the path of each root, by rank: the key of --failed (lastrun.h). */
void discovery_root_paths(const struct discovery *d, struct strings *paths);

/* Appends the text of a discovered file.  What held when it was discovered is
 * asked again of the open descriptor: a regular file, no link, not too big. */
bool discover_read(const char *path, struct buffer *text, struct fault *why) CHECKED;

#endif

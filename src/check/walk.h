/* walk.h - looks at one argument of discovery: everything below a directory, or one file.
 *
 * What it meets becomes `found`s, in no order and perhaps twice; discover.c
 * makes ids of them.  It opens directories and no file.  Directories are
 * opened one name at a time and never through a link that was not looked at. */
#ifndef HOSPITAL_CHECK_WALK_H
#define HOSPITAL_CHECK_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strings.h"
#include "check/discover.h"

struct found {
    const struct check_root *root; /* NULL: an argument that was not found */
    char *below;                   /* path below the root, or the argument; any bytes */
    char *label;                   /* the id, or a finding's path; discover.c fills it */
    char *real;                    /* of a file: real and absolute */
    char *reason;                  /* NULL: it is a file; else it is a finding */
    enum finding_kind kind;
    size_t size;
    bool linked;          /* reached through a link */
    bool whole;           /* all of the file was asked for */
    size_t parts;         /* of the root's path that stand in the label */
    struct strings rests; /* else: what stood behind the "::" */
};

struct walk {
    struct found *items;
    size_t count, room;
    struct seen_directory *seen; /* directories entered through links: once each */
    size_t seen_count;
};

void walk_fini(struct walk *w);

/* All below `below` ("" for the root itself), a real path below the root. */
void walk_directory(struct walk *w, const struct check_root *root, const char *below);

/* One file that was asked for, whatever its name; rest is NULL or the part of
 * an id behind the "::".  below has no link in it but perhaps its last name. */
void walk_file(struct walk *w, const struct check_root *root, const char *below, const char *rest);

/* A finding; format is the reason, which is escaped as a whole. */
void walk_refuse(struct walk *w, const struct check_root *root, const char *below,
                 enum finding_kind kind, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* True when path is directory itself or lies below it; both real. */
bool walk_within(const char *directory, const char *path);

#endif

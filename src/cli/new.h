/* new.h - `hospital new NAME`: a commented check file to start from. */
#ifndef HOSPITAL_CLI_NEW_H
#define HOSPITAL_CLI_NEW_H

#include "base/buffer.h"
#include "base/fault.h"

/* Writes the starter and appends its path to *path (terminated).  NAME with a
 * slash or with .lua at its end is a path, else it becomes checks/NAME.lua;
 * missing directories are made.  A file that exists is never touched.
 * The starter needs no network and is green as it stands. */
bool new_check(const char *name, struct buffer *path, struct fault *why) CHECKED;

#endif

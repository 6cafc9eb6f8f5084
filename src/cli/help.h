/* help.h - pages for people, made from the tables of options.h, 80 columns wide. */
#ifndef HOSPITAL_CLI_HELP_H
#define HOSPITAL_CLI_HELP_H

#include "base/buffer.h"
#include "cli/options.h"

/* Appends the page of a command; COMMAND_NONE is the overview. */
void help_page(struct buffer *out, enum command topic);

/* Appends the versions of hospital and of the libraries it runs on, one a line. */
void help_versions(struct buffer *out);

#endif

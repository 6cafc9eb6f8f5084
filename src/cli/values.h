/* values.h - one option's value, from its text. */
#ifndef HOSPITAL_CLI_VALUES_H
#define HOSPITAL_CLI_VALUES_H

#include "cli/options.h"

/* Stores text as spec's value; origin is how messages call it ("--timeout",
 * "HOSPITAL_TIMEOUT").  text is borrowed for as long as *o.  Lists get one more. */
bool value_store(struct options *o, const struct option_spec *spec, const char *origin,
                 const char *text, struct fault *why) CHECKED;

#endif

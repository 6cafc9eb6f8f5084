/* duration.h - how operators write time: seconds ("2", "0.5") or a number
 * with a unit ("250ms", "2s", "5m", "1h"; also "us" and "d"). */
#ifndef HOSPITAL_BASE_DURATION_H
#define HOSPITAL_BASE_DURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* Reads text into *ns.  False, and *ns untouched, when text is not a duration
 * or is negative, not finite, or longer than 100 years. */
bool duration_parse(const char *text, uint64_t *ns) CHECKED;

/* The same for a number of seconds. */
bool duration_from_seconds(double seconds, uint64_t *ns) CHECKED;

/* Writes "250ms", "2s", "1.5s", "5m" into text and returns it. */
const char *duration_format(uint64_t ns, char *text, size_t room);

#endif

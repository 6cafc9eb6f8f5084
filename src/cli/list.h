/* list.h - `hospital list -f json`: what each selected check declares, as one document.
 *
 *     { "checks": [ { id, test, file, line, slow, tags, …what else was declared } ] }
 *
 * Durations are in seconds; what was not declared is absent.  Text is redacted. */
#ifndef HOSPITAL_CLI_LIST_H
#define HOSPITAL_CLI_LIST_H

#include <stddef.h>
#include <stdio.h>

#include "base/redact.h"
#include "check/plan.h"

/* Returns how many checks it wrote. */
size_t list_json(FILE *out, const struct plan *plan, const struct redactor *redactor);

#endif

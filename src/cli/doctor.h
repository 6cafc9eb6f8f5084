/* doctor.h - `hospital doctor`: what this host can and cannot do, each with
 * the line that mends it.
 *
 * Exit status 0 when nothing essential is missing, 1 otherwise.  Essential is
 * what checks in general need: libcurl, a bundle of authorities, descriptors
 * for the concurrency asked for, a clock that is not in the past, a worker that
 * lives.  Ping, IPv6, a nameserver and each layer of confinement are not: they
 * are shown as limited, because a host may do without them knowingly. */
#ifndef HOSPITAL_CLI_DOCTOR_H
#define HOSPITAL_CLI_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

struct doctor_options {
    bool color;
    bool json; /* one document: { status, version, findings = [{ name, state, detail, mend }] } */
    unsigned layers_off;  /* bits 1u << enum confine_layer: how it would be without them */
    unsigned concurrency; /* checks in flight that the host must do for */
};

/* Writes to out.  To be called while the process has one thread: it forks. */
int doctor(FILE *out, const struct doctor_options *options);

#endif

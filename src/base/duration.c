/* duration.c - see duration.h. */
#include "base/duration.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const double longest_s = 100.0 * 365 * 86400;

static const struct {
    const char *name;
    double seconds;
} units[] = {
    {"", 1}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400},
};

bool duration_from_seconds(double seconds, uint64_t *ns)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > longest_s)
        return false;
    *ns = (uint64_t)llround(seconds * (double)NS_PER_S);
    return true;
}

bool duration_parse(const char *text, uint64_t *ns)
{
    /* strtod alone would also take "inf", "0x1p3" and leading space. */
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    char *end;
    double value = strtod(text, &end);
    if (end == text || memchr(text, 'x', (size_t)(end - text)) ||
        memchr(text, 'X', (size_t)(end - text)))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].name) == 0)
            return duration_from_seconds(value * units[i].seconds, ns);
    return false;
}

const char *duration_format(uint64_t ns, char *text, size_t room)
{
    if (ns < NS_PER_S)
        snprintf(text, room, "%.3gms", (double)ns / (double)NS_PER_MS);
    else if (ns < 120 * NS_PER_S)
        snprintf(text, room, "%.4gs", (double)ns / (double)NS_PER_S);
    else
        snprintf(text, room, "%.4gm", (double)ns / (60.0 * (double)NS_PER_S));
    return text;
}

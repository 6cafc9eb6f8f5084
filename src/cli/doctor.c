/* doctor.c - see doctor.h. */
#include "cli/doctor.h"

#include <string.h>

#include "cli/examine.h"

static const struct {
    const char *word, *color;
} states[] = {
    [FINDING_OK] = {"ok", "\033[32m"},
    [FINDING_LIMITED] = {"limited", "\033[33m"},
    [FINDING_MISSING] = {"missing", "\033[31m"},
};

/* ASCII only: other bytes, which only a strange path in the environment could
 * bring, become '?'. */
static void write_json_string(FILE *out, const char *s)
{
    putc('"', out);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            putc('\\', out);
        putc(c < 0x20 || c >= 0x7f ? '?' : c, out);
    }
    putc('"', out);
}

static void write_json_member(FILE *out, const char *name, const char *value)
{
    write_json_string(out, name);
    putc(':', out);
    write_json_string(out, value);
}

static void write_json(FILE *out, const struct finding *findings, size_t count, bool ok)
{
    putc('{', out);
    write_json_member(out, "status", ok ? "pass" : "fail");
    putc(',', out);
    write_json_member(out, "version", HOSPITAL_VERSION);
    fputs(",\"findings\":[", out);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ",\n{" : "\n{", out);
        write_json_member(out, "name", findings[i].name);
        putc(',', out);
        write_json_member(out, "state", states[findings[i].state].word);
        putc(',', out);
        write_json_member(out, "detail", findings[i].detail);
        if (findings[i].mend[0]) {
            putc(',', out);
            write_json_member(out, "mend", findings[i].mend);
        }
        putc('}', out);
    }
    fputs("\n]}\n", out);
}

static void write_text(FILE *out, const struct finding *findings, size_t count, bool color)
{
    for (size_t i = 0; i < count; i++) {
        const struct finding *f = &findings[i];
        fprintf(out, "%s%-8s%s %-18s %s\n", color ? states[f->state].color : "",
                states[f->state].word, color ? "\033[0m" : "", f->name, f->detail);
        if (f->mend[0])
            fprintf(out, "         %-18s mend: %s\n", "", f->mend);
    }
}

static size_t count_state(const struct finding *findings, size_t count, enum finding_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += findings[i].state == state;
    return n;
}

int doctor(FILE *out, const struct doctor_options *options)
{
    struct finding findings[EXAMINED];
    fflush(out);
    size_t count = examine_host(findings, options->concurrency, options->layers_off);
    size_t missing = count_state(findings, count, FINDING_MISSING);
    if (options->json)
        write_json(out, findings, count, missing == 0);
    else {
        write_text(out, findings, count, options->color);
        fprintf(out, "%zu ok, %zu limited, %zu missing\n", count_state(findings, count, FINDING_OK),
                count_state(findings, count, FINDING_LIMITED), missing);
    }
    fflush(out);
    return missing == 0 ? 0 : 1;
}

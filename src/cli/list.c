/* list.c - see list.h. */
#include "cli/list.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"

struct writer {
    FILE *out;
    const struct redactor *redactor;
};

/* UTF-8, but for control characters, which JSON can spell. */
static bool is_text(const char *text)
{
    char *copy = memory_copy(text, strlen(text));
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    bool ok = text_is_printable(copy);
    free(copy);
    return ok;
}

static void write_string(const struct writer *w, const char *text)
{
    struct buffer clean = {0};
    char *escaped = NULL;
    if (redact(w->redactor, text, strlen(text), &clean)) {
        buffer_add(&clean, "", 1);
        text = clean.data;
    }
    if (!is_text(text))
        text = escaped = text_escape(text);
    putc('"', w->out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20)
            fprintf(w->out, "\\u%04x", c);
        else
            fprintf(w->out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    putc('"', w->out);
    free(escaped);
    buffer_fini(&clean);
}

static void write_text(const struct writer *w, const char *name, const char *text)
{
    if (!text)
        return;
    fprintf(w->out, ",\"%s\":", name);
    write_string(w, text);
}

static void write_strings(const struct writer *w, const char *name, const struct strings *list)
{
    fprintf(w->out, ",\"%s\":[", name);
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            putc(',', w->out);
        write_string(w, list->items[i]);
    }
    putc(']', w->out);
}

/* In whole milliseconds, which no locale spells with a comma. */
static void write_seconds(const struct writer *w, const char *name, uint64_t ns)
{
    if (ns)
        fprintf(w->out, ",\"%s\":%llu.%03llu", name, (unsigned long long)(ns / NS_PER_S),
                (unsigned long long)(ns % NS_PER_S / NS_PER_MS));
}

static void write_check(const struct writer *w, const char *file, const struct check_decl *decl)
{
    fputs("{\"id\":", w->out);
    write_string(w, decl->id);
    write_text(w, "test", decl->name);
    write_text(w, "file", file);
    fprintf(w->out, ",\"line\":%d,\"slow\":%s", decl->line, decl->slow ? "true" : "false");
    write_strings(w, "tags", &decl->tags);
    if (decl->requires.count)
        write_strings(w, "requires", &decl->requires);
    if (decl->diagnosis)
        write_strings(w, "of", &decl->of);
    write_seconds(w, "timeout", decl->timeout_ns);
    write_seconds(w, "every", decl->every_ns);
    if (decl->retries >= 0)
        fprintf(w->out, ",\"retries\":%d", decl->retries);
    write_seconds(w, "retry_delay", decl->retry_delay_ns);
    write_text(w, "expected_failure", decl->expected_failure);
    write_text(w, "skip", decl->skip);
    write_text(w, "description", decl->description);
    write_text(w, "owner", decl->owner);
    write_text(w, "runbook", decl->runbook);
    write_text(w, "severity", decl->severity);
    putc('}', w->out);
}

size_t list_json(FILE *out, const struct plan *plan, const struct redactor *redactor)
{
    struct writer w = {out, redactor};
    size_t count = 0;
    fputs("{\"checks\":[", out);
    for (size_t i = 0; i < plan->file_count; i++) {
        const struct plan_file *file = &plan->files[i];
        for (size_t j = 0; j < file->catalogue.count; j++) {
            const struct plan_check *check = &file->checks[j];
            if (check->state == CHECK_OUT)
                continue;
            fputs(count++ ? ",\n" : "\n", out);
            write_check(&w, file->source->id, check->decl);
        }
    }
    fputs("\n]}\n", out);
    return count;
}

/* status_line.c - see status_line.h. */
#include "cli/status_line.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { STDERR_PATIENCE_MS = 1000 };

void status_line_write_stderr(const char *data, size_t size)
{
    while (size > 0) {
        struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
        ssize_t n = poll(&p, 1, STDERR_PATIENCE_MS) > 0 ? write(STDERR_FILENO, data, size) : -1;
        if (n <= 0)
            return; /* there is nowhere left to complain */
        data += n;
        size -= (size_t)n;
    }
}

void status_line_set(struct status_line *s, const char *text, size_t size)
{
    buffer_clear(&s->text);
    buffer_add(&s->text, text, size);
    s->redraw = true;
}

void status_line_erase(struct status_line *s)
{
    if (!s->shown.size)
        return;
    char back[48];
    int n = snprintf(back, sizeof back, "\r\033[K");
    if (s->shown_under)
        n += snprintf(back + n, sizeof back - (size_t)n, "\033[A\033[%uC", s->shown_under);
    status_line_write_stderr(back, (size_t)n);
    buffer_clear(&s->shown);
    s->redraw = true;
}

void status_line_draw(struct status_line *s, unsigned column)
{
    if (!s->redraw || !s->text.size)
        return;
    s->redraw = false;
    s->shown_under = column;
    if (s->shown_under)
        buffer_add_string(&s->shown, "\n");
    buffer_add(&s->shown, s->text.data, s->text.size);
    status_line_write_stderr(s->shown.data, s->shown.size);
}

void status_line_fini(struct status_line *s)
{
    buffer_fini(&s->text);
    buffer_fini(&s->shown);
}

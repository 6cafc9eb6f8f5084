/* portion.c - see portion.h. */
#include "bind/portion.h"

#include <errno.h>
#include <sys/socket.h>

static __thread bool bounded, dry;
static __thread size_t left;

void portion_begin(void)
{
    bounded = true;
    dry = false;
    left = PORTION;
}

size_t portion_end(void)
{
    bounded = false;
    return PORTION - left;
}

bool portion_is_dry(void)
{
    return dry;
}

/* For every library of the process; recvfrom without an address is the same. */
ssize_t recv(int fd, void *data, size_t size, int flags)
{
    if (!bounded)
        return recvfrom(fd, data, size, flags, NULL, NULL);
    if (left == 0 && size > 0) {
        dry = true;
        errno = EAGAIN;
        return -1;
    }
    ssize_t count = recvfrom(fd, data, size < left ? size : left, flags, NULL, NULL);
    dry = count <= 0;
    if (count > 0)
        left -= (size_t)count;
    return count;
}

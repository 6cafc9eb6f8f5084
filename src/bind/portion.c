/* portion.c - see portion.h. */
#include "bind/portion.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

static __thread bool bounded;
static __thread size_t left;

void portion_begin(void)
{
    bounded = true;
    left = PORTION;
}

size_t portion_end(void)
{
    bounded = false;
    return PORTION - left;
}

/* For every library of the process; recvfrom without an address is the same. */
ssize_t recv(int fd, void *data, size_t size, int flags)
{
    if (!bounded)
        return recvfrom(fd, data, size, flags, NULL, NULL);
    if (left == 0 && size > 0) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t count = recvfrom(fd, data, size < left ? size : left, flags, NULL, NULL);
    if (count > 0)
        left -= (size_t)count;
    return count;
}

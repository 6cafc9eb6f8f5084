/* pattern.c - see pattern.h. */
#include "base/pattern.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"

/* ---- addresses ---- */

static void address_from_v4(struct address *out, const void *bytes)
{
    static const unsigned char unspecified[4] = {0}, loopback[4] = {127, 0, 0, 1};
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, memcmp(bytes, unspecified, 4) == 0 ? loopback : bytes, 4);
    out->bits = 32;
}

static void address_from_v6(struct address *out, const struct in6_addr *in)
{
    if (IN6_IS_ADDR_V4MAPPED(in)) {
        address_from_v4(out, in->s6_addr + 12);
        return;
    }
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, IN6_IS_ADDR_UNSPECIFIED(in) ? &in6addr_loopback : in, 16);
    out->bits = 128;
}

bool address_from_sockaddr(struct address *out, const struct sockaddr *from, uint16_t *port)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        address_from_v4(out, &in.sin_addr);
        *port = ntohs(in.sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof in);
        address_from_v6(out, &in.sin6_addr);
        *port = ntohs(in.sin6_port);
        return true;
    }
    return false;
}

bool address_from_text(struct address *out, const char *text)
{
    char copy[INET6_ADDRSTRLEN + 2];
    size_t size = strlen(text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    const char *scope = memchr(text, '%', size);
    if (scope)
        size = (size_t)(scope - text);
    if (size >= sizeof copy)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    struct in6_addr v6;
    struct in_addr v4;
    if (inet_pton(AF_INET6, copy, &v6) == 1)
        address_from_v6(out, &v6);
    else if (!scope && inet_aton(copy, &v4))
        address_from_v4(out, &v4);
    else
        return false;
    return true;
}

static bool bits_equal(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

static void clear_bits_from(unsigned char *bytes, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        bytes[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
}

/* ---- parsing: hosts ---- */

static const char *write_address(char out[INET6_ADDRSTRLEN], const unsigned char *bytes,
                                 unsigned bits)
{
    return inet_ntop(bits == 32 ? AF_INET : AF_INET6, bytes, out, INET6_ADDRSTRLEN);
}

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    *out = strtoul(text, NULL, 10);
    return *out <= max;
}

/* The length behind the slash of a prefix, when there is one. */
static bool parse_prefix(struct pattern *out, const char *slash, unsigned width, struct fault *why)
{
    out->bits = out->address.bits;
    if (!slash)
        return true;
    unsigned long bits;
    if (!parse_number(slash + 1, width, &bits))
        return fault_set(why, FAULT_INTERNAL, "the length after the slash is a number from 0 to %u",
                         width);
    /* ::ffff:10.0.0.0/104 was turned into 10.0.0.0, so its length is 8. */
    unsigned mapped = width - out->address.bits;
    if (bits < mapped)
        return fault_set(why, FAULT_INTERNAL,
                         "a prefix of mapped addresses has a length of 96 or more; "
                         "write it as IPv4, 10.0.0.0/8");
    out->bits = (unsigned)bits - mapped;
    return true;
}

/* 10.1.2.3/8 is more likely a slip than a wish. */
static bool check_host_bits(struct pattern *out, struct fault *why)
{
    unsigned char first[16];
    char network[INET6_ADDRSTRLEN];
    memcpy(first, out->address.bytes, sizeof first);
    clear_bits_from(first, out->bits, out->address.bits);
    if (memcmp(first, out->address.bytes, sizeof first) == 0)
        return true;
    return fault_set(why, FAULT_INTERNAL,
                     "it has bits set beyond its length; write %s/%u for the network, "
                     "or leave the length away for the one address",
                     write_address(network, first, out->address.bits), out->bits);
}

/* False in *is_one: host is no address.  host is in the caller's hands and is
 * cut at its slash. */
static bool parse_address(struct pattern *out, char *host, bool *is_one, struct fault *why)
{
    char *slash = strchr(host, '/');
    if (slash)
        *slash = '\0';
    struct in6_addr v6;
    struct in_addr v4;
    unsigned width;
    *is_one = true;
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        if (slash && IN6_IS_ADDR_UNSPECIFIED(&v6)) {
            memset(&out->address, 0, sizeof out->address); /* ::/0 is all, not ::1 */
            out->address.bits = 128;
        } else
            address_from_v6(&out->address, &v6);
        width = 128;
    } else if (inet_pton(AF_INET, host, &v4) == 1) {
        address_from_v4(&out->address, &v4);
        if (slash && v4.s_addr == INADDR_ANY)
            memset(out->address.bytes, 0, 4);
        width = 32;
    } else if (slash) {
        return fault_set(why, FAULT_INTERNAL,
                         "before the slash stands an address written in full, as in 10.0.0.0/8 or "
                         "fd00::/8");
    } else {
        *is_one = false;
        return true;
    }
    out->kind = PATTERN_ADDRESS;
    return parse_prefix(out, slash, width, why) && check_host_bits(out, why);
}

static bool parse_name(struct pattern *out, const char *host, struct fault *why)
{
    struct in_addr v4;
    bool below = strncmp(host, "*.", 2) == 0;
    const char *name = below ? host + 2 : host;
    char address[INET6_ADDRSTRLEN];
    if (inet_aton(name, &v4))
        return fault_set(why, FAULT_INTERNAL, "an address is written in full: %s",
                         inet_ntop(AF_INET, &v4, address, sizeof address));
    for (const char *c = name; *c; c++) {
        if (*c == '*')
            return fault_set(why, FAULT_INTERNAL,
                             "a star stands alone or in front: *, *:443 or *.example.com");
        if ((unsigned char)*c >= 0x80)
            return fault_set(why, FAULT_INTERNAL,
                             "a name with other letters is written in its xn-- form");
        if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            return fault_set(why, FAULT_INTERNAL,
                             "a host has letters, digits, '-', '_' and '.', or is an address; an "
                             "IPv6 address with a port stands in brackets, [::1]:443");
    }
    size_t size = strlen(name);
    if (size && name[size - 1] == '.')
        size--;
    if (size == 0 || name[0] == '.')
        return fault_set(why, FAULT_INTERNAL, "there is no host; write *, or name one");
    out->kind = below ? PATTERN_BELOW : PATTERN_NAME;
    out->text = memory_copy(name, size);
    return true;
}

static bool parse_ports(struct pattern *out, const char *text, struct fault *why)
{
    char copy[16];
    unsigned long first, last;
    snprintf(copy, sizeof copy, "%s", text);
    char *dash = strchr(copy, '-');
    if (dash)
        *dash++ = '\0';
    if (strlen(text) >= sizeof copy || !parse_number(copy, 65535, &first) ||
        !parse_number(dash ? dash : copy, 65535, &last) || first == 0 || last < first)
        return fault_set(why, FAULT_INTERNAL,
                         "after the colon stands a port from 1 to 65535 or a range, 8000-8099");
    out->first = (uint16_t)first;
    out->last = (uint16_t)last;
    return true;
}

static bool parse_unix(struct pattern *out, const char *path, struct fault *why)
{
    if (path[0] != '@') {
        bool ok = pattern_parse_path(out, path, why);
        out->kind = PATTERN_UNIX;
        return ok;
    }
    out->kind = PATTERN_UNIX;
    out->text = memory_copy_string(path);
    return true;
}

/* Cuts the port off host, in place: returns it, or NULL when there is none. */
static char *split_port(char *host, char **start)
{
    *start = host;
    if (host[0] == '[') {
        char *close = strchr(host, ']');
        if (!close || (close[1] != '\0' && close[1] != ':'))
            return NULL;
        *start = host + 1;
        *close = '\0';
        return close[1] == ':' ? close + 2 : NULL;
    }
    char *colon = strchr(host, ':');
    if (!colon || strchr(colon + 1, ':')) /* several: a bare IPv6 address */
        return NULL;
    *colon = '\0';
    return colon + 1;
}

bool pattern_parse_net(struct pattern *out, const char *text, struct fault *why)
{
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(out, text + 5, why);
    char *copy = memory_copy_string(text), *host;
    char *port = split_port(copy, &host);
    bool is_address = false;
    bool ok = true;
    if (strcmp(host, "*") == 0)
        out->kind = PATTERN_ANY;
    else if ((ok = parse_address(out, host, &is_address, why)) && !is_address)
        ok = parse_name(out, host, why);
    if (ok && port)
        ok = parse_ports(out, port, why);
    free(copy);
    if (!ok)
        pattern_fini(out);
    return ok;
}

/* ---- parsing: paths and globs ---- */

/* "/a//b/./c/" becomes "/a/b/c"; the root stays "/". */
static char *normalise_path(const char *path)
{
    char *out = memory_new(strlen(path) + 2);
    size_t size = 0;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length && !(length == 1 && path[0] == '.')) {
            out[size++] = '/';
            memcpy(out + size, path, length);
            size += length;
        }
        path += length;
        path += *path == '/';
    }
    if (size == 0)
        out[size++] = '/';
    out[size] = '\0';
    return out;
}

static bool has_dot_dot(const char *path)
{
    for (const char *p = strstr(path, ".."); p; p = strstr(p + 1, ".."))
        if ((p == path || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
            return true;
    return false;
}

bool pattern_parse_path(struct pattern *out, const char *text, struct fault *why)
{
    memset(out, 0, sizeof *out);
    if (text[0] != '/')
        return fault_set(why, FAULT_INTERNAL, "a path is absolute, it begins with /");
    if (has_dot_dot(text))
        return fault_set(why, FAULT_INTERNAL, "a path has no '..'; write where it leads");
    if (strpbrk(text, "*?["))
        return fault_set(why, FAULT_INTERNAL,
                         "a path stands for all below it, without stars; name the directory");
    if (strlen(text) >= PATH_MAX)
        return fault_set(why, FAULT_INTERNAL, "a path is shorter than %d bytes", PATH_MAX);
    out->kind = PATTERN_PATH;
    out->text = normalise_path(text);
    return true;
}

bool pattern_parse_env(struct pattern *out, const char *text, struct fault *why)
{
    memset(out, 0, sizeof *out);
    if (strchr(text, '='))
        return fault_set(why, FAULT_INTERNAL, "a variable's name has no '='; write the name alone");
    out->kind = PATTERN_GLOB;
    out->text = memory_copy_string(text);
    return true;
}

void pattern_fini(struct pattern *p)
{
    free(p->text);
    free(p->source);
    p->text = p->source = NULL;
}

/* ---- matching ---- */

bool pattern_covers_port(const struct pattern *p, uint16_t port)
{
    return p->first == 0 || (port >= p->first && port <= p->last);
}

bool pattern_matches_name(const struct pattern *p, const char *name)
{
    if (p->kind == PATTERN_ANY)
        return true;
    if (p->kind != PATTERN_NAME && p->kind != PATTERN_BELOW)
        return false;
    size_t size = strlen(name), wanted = strlen(p->text);
    if (size && name[size - 1] == '.')
        size--;
    if (p->kind == PATTERN_NAME)
        return size == wanted && strncasecmp(name, p->text, size) == 0;
    return size > wanted + 1 && name[size - wanted - 1] == '.' &&
           strncasecmp(name + size - wanted, p->text, wanted) == 0;
}

bool pattern_matches_address(const struct pattern *p, const struct address *address)
{
    if (p->kind == PATTERN_ANY)
        return true;
    return p->kind == PATTERN_ADDRESS && p->address.bits == address->bits &&
           bits_equal(p->address.bytes, address->bytes, p->bits);
}

static bool is_below(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);
    if (size == 1)
        return path[0] == '/';
    return strncmp(path, prefix, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

bool pattern_matches_path(const struct pattern *p, const char *path)
{
    char real[PATH_MAX];
    if (is_below(path, p->text))
        return true;
    /* The pattern may itself lead through a link: /var/run, say. */
    return realpath(p->text, real) && is_below(path, real);
}

/* Reports: lines "key value" that are gathered in memory and written at once. No heap and no stdio, so that reporting
 * changes nothing of what is reported. Needs no more stack than the smallest that a program is started with here. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest text that is reported as it is; of a longer one its length and a hash are. */
#define LONGEST 1024

static char gathered[1 << 20];
static size_t filled;

static void add(const char *bytes, size_t len)
{
    if (len > sizeof gathered - filled)
        _exit(90);
    memcpy(gathered + filled, bytes, len);
    filled += len;
}

/* A number, formatted. */
__attribute__((format(printf, 1, 2))) static void addf(const char *format, ...)
{
    char text[256];
    va_list values;
    va_start(values, format);
    int len = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    add(text, len < (int)sizeof text ? len : sizeof text - 1);
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t so_far, const char *bytes, size_t len)
{
    while (len--)
        so_far = (so_far ^ (unsigned char)*bytes++) * 0x100000001b3;
    return so_far;
}

#define NOTHING 0xcbf29ce484222325

/* Text in which control characters, backslashes, and bytes outside ASCII are written \xHH. */
static void add_text(const char *text, size_t len)
{
    if (len > LONGEST) {
        addf("%zu bytes, %016llx", len, (unsigned long long)hash(NOTHING, text, len));
        return;
    }
    for (; len--; text++) {
        unsigned char c = *text;
        if (c > ' ' - 1 && c < 127 && c != '\\')
            add(text, 1);
        else
            addf("\\x%02x", c);
    }
}

static void line(const char *key, const char *value, size_t len)
{
    add(key, strlen(key));
    add(" ", 1);
    add_text(value, len);
    add("\n", 1);
}

__attribute__((format(printf, 2, 3))) static void linef(const char *key, const char *format, ...)
{
    char text[256];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    line(key, text, strlen(text));
}

/* What a link points to. */
static void report_link(const char *key, const char *path)
{
    static char target[1 << 16];
    ssize_t len = readlink(path, target, sizeof target);
    if (len < 0)
        linef(key, "error %d", errno);
    else
        line(key, target, len);
}

/* A whole file into `text`: its length, or -1. */
static ssize_t contents(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    size_t len = 0;
    ssize_t got;
    while (len < size && (got = read(file, text + len, size - len)) > 0)
        len += got;
    close(file);
    return len;
}

static char file_text[1 << 19];

static void report_file(const char *key, const char *path)
{
    ssize_t len = contents(path, file_text, sizeof file_text);
    if (len < 0)
        linef(key, "error %d", errno);
    else
        line(key, file_text, len);
}

/* Whether a field of /proc/PID/status is another in every process, or changes by itself. */
static int fleeting(const char *field, size_t len)
{
    static const char *const names[] = {"State", "Tgid", "Ngid", "Pid", "PPid", "TracerPid", "NStgid", "NSpid", "NSpgid",
                                        "NSsid", "SigQ", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && !memcmp(names[i], field, len))
            return 1;
    return !memcmp(field, "Vm", 2) || !memcmp(field, "Rss", 3);
}

/* Each field of /proc/PID/status as a line of its own. */
static void report_status(const char *prefix, const char *path)
{
    ssize_t len = contents(path, file_text, sizeof file_text - 1);
    if (len < 0) {
        linef(prefix, "error %d", errno);
        return;
    }
    file_text[len] = 0;
    for (char *at = file_text, *end; *at; at = end + 1) {
        end = strchrnul(at, '\n');
        char *colon = memchr(at, ':', end - at);
        if (colon && !fleeting(at, colon - at)) {
            char key[64];
            snprintf(key, sizeof key, "%s.%.*s", prefix, (int)(colon - at), at);
            char *value = colon + 1 + strspn(colon + 1, "\t ");
            line(key, value, value < end ? end - value : 0);
        }
        if (!*end)
            break;
    }
}

/* The name of a file in the directory that the environment names. */
static const char *in_directory(const char *directory, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* Appends what was gathered to a file. */
static void write_report(const char *path)
{
    int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0 || write(file, gathered, filled) != (ssize_t)filled)
        _exit(91);
    close(file);
    filled = 0;
}

/* The native side: looks at the foreign program while it waits, and starts programs in ways that a shell cannot. */
#define _GNU_SOURCE
#include "report.h"

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

extern char **environ;

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerrorname_np(errno));
    return 1;
}

/* The entries of the auxiliary vector that are no addresses. */
static void report_vector(const char *path)
{
    static const unsigned long types[] = {AT_EXECFD, AT_PAGESZ, AT_FLAGS, AT_UID, AT_EUID, AT_GID,
                                          AT_EGID, AT_HWCAP, AT_CLKTCK, AT_SECURE, AT_HWCAP2};
    static unsigned long vector[128];
    ssize_t len = contents(path, (char *)vector, sizeof vector);
    if (len < 0)
        linef("host.aux", "error %d", errno);
    for (ssize_t at = 0; (at + 2) * (ssize_t)sizeof *vector <= len; at += 2)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (vector[at] == types[i]) {
                char key[32];
                snprintf(key, sizeof key, "host.aux.%lu", types[i]);
                linef(key, "%lx", vector[at + 1]);
            }
}

static int look(const char *directory, const char *pid)
{
    char path[64];
    line("begin", "host", 4);
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    report_file("host.comm", path);
    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    report_file("host.cmdline", path);
    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    report_file("host.environ", path);
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    report_link("host.exe", path);
    snprintf(path, sizeof path, "/proc/%s/cwd", pid);
    report_link("host.cwd", path);
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    report_status("host.status", path);
    snprintf(path, sizeof path, "/proc/%s/auxv", pid);
    report_vector(path);
    line("end", "", 0);
    write_report(in_directory(directory, "host"));
    return open(in_directory(directory, "go"), O_WRONLY | O_CLOEXEC) < 0;
}

/* Waits until the program is there, or its case is over. */
static int observe(const char *directory)
{
    for (;;) {
        char pid[16];
        ssize_t len = contents(in_directory(directory, "here"), pid, sizeof pid);
        if (len > 0 && pid[len - 1] == '\n') {
            pid[len - 1] = 0;
            return look(directory, pid);
        }
        if (access(in_directory(directory, "over"), F_OK) == 0)
            return 0;
        usleep(2000);
    }
}

static int memfd(const char *path)
{
    static char buffer[1 << 16];
    int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("guest", 0);
    for (ssize_t len; (len = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, len) != len)
            return -1;
    return close(from), to;
}

/* host observe DIRECTORY; host HOW FILE ARGV... */
int main(int argc, char **argv)
{
    const char *how = argv[1];
    char name[32];
    if (!strcmp(how, "observe"))
        return observe(argv[2]);
    if (!strcmp(how, "plain"))
        return execve(argv[2], argv + 3, environ), fail(how);
    int close_on_exec = !strcmp(how, "close-on-exec") ? O_CLOEXEC : 0;
    int file = !strncmp(how, "memfd", 5) ? memfd(argv[2]) : open(argv[2], O_RDONLY | close_on_exec);
    if (file < 0)
        return fail(argv[2]);
    if (strstr(how, "path")) {
        snprintf(name, sizeof name, "/dev/fd/%d", file);
        return execve(name, argv + 3, environ), fail(how);
    }
    return execveat(file, "", argv + 3, environ, AT_EMPTY_PATH), fail(how);
}

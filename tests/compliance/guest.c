/* The foreign program: reports what it is started with into $REPORT/report, then waits until it was looked at from the
 * outside, then does what $ACTION says. */
#define _GNU_SOURCE
#include "report.h"

#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static void report_auxv(void)
{
    for (unsigned long type = 3; type < 64; type++) {
        char key[16];
        errno = 0;
        unsigned long value = getauxval(type);
        if (errno)
            continue;
        snprintf(key, sizeof key, "aux.%lu", type);
        switch (type) {
        case AT_PLATFORM: case AT_BASE_PLATFORM: case AT_EXECFN:
            line(key, value ? (char *)value : "", value ? strlen((char *)value) : 0);
            break;
        case AT_BASE: case AT_RANDOM: case AT_SYSINFO_EHDR:
            linef(key, "%s", value ? "set" : "unset");
            break;
        default:
            linef(key, "%lx", value);
        }
    }
}

static void report_ids(void)
{
    uid_t r, e, s;
    gid_t groups[64];
    getresuid(&r, &e, &s);
    linef("uids", "%d %d %d", (int)r, (int)e, (int)s);
    getresgid(&r, &e, &s);
    linef("gids", "%d %d %d", (int)r, (int)e, (int)s);
    int count = getgroups(64, groups);
    linef("groups", "%d", count);
    for (int i = 0; i < count; i++)
        linef("group", "%d", (int)groups[i]);
}

static void report_privileges(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    long result = syscall(SYS_capget, &header, data);
    linef("capabilities", "%ld e %08x%08x p %08x%08x i %08x%08x", result, data[1].effective, data[0].effective,
          data[1].permitted, data[0].permitted, data[1].inheritable, data[0].inheritable);
    linef("dumpable", "%d", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    linef("no-new-privs", "%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    linef("keepcaps", "%d", prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
    linef("securebits", "%d", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    for (int cap = 0; cap <= 40; cap++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
            linef("ambient", "%d", cap);
}

static void report_signals(void)
{
    sigset_t blocked, pending;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigpending(&pending);
    for (int signal = 1; signal <= 64; signal++) {
        struct sigaction action;
        if (sigismember(&blocked, signal) == 1)
            linef("signal-blocked", "%d", signal);
        if (sigismember(&pending, signal) == 1)
            linef("signal-pending", "%d", signal);
        if (sigaction(signal, NULL, &action))
            continue;
        if (action.sa_handler == SIG_IGN)
            linef("signal-ignored", "%d", signal);
        else if (action.sa_handler != SIG_DFL)
            linef("signal-caught", "%d", signal);
    }
    stack_t stack;
    linef("signal-stack", "%d %x", sigaltstack(NULL, &stack), stack.ss_flags);
}

static void report_descriptors(void)
{
    for (int descriptor = 0; descriptor < 4096; descriptor++) {
        int flags = fcntl(descriptor, F_GETFD);
        if (flags >= 0)
            linef("descriptor", "%d flags %x mode %x at %lld", descriptor, flags, fcntl(descriptor, F_GETFL),
                  (long long)lseek(descriptor, 0, SEEK_CUR));
    }
}

static void report_limits(void)
{
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        char key[16];
        snprintf(key, sizeof key, "limit.%d", which);
        if (getrlimit(which, &limit))
            linef(key, "error %d", errno);
        else
            linef(key, "%llx %llx", (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
}

static void report_surroundings(void)
{
    static char directory[1 << 16];
    struct utsname name;
    if (getcwd(directory, sizeof directory))
        line("cwd", directory, strlen(directory));
    else
        linef("cwd", "error %d", errno);
    mode_t mask = umask(0);
    umask(mask);
    linef("umask", "%o", (unsigned)mask);
    linef("personality", "%x", personality(0xffffffff));
    errno = 0;
    linef("nice", "%d", getpriority(PRIO_PROCESS, 0));
    uname(&name);
    line("machine", name.machine, strlen(name.machine));
    line("release", name.release, strlen(name.release));
    linef("page-size", "%ld", sysconf(_SC_PAGESIZE));
}

/* Which directory of this machine $LOOK is. */
static void report_look(void)
{
    const char *path = getenv("LOOK");
    char link[32];
    int directory = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (directory < 0)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    report_link("look", link);
    close(directory);
}

/* How many lines a file has, and a hash of those that do not say how fast it is just now. */
static void report_lines(const char *key, const char *path, int with_hash)
{
    ssize_t len = contents(path, file_text, sizeof file_text - 1);
    int lines = 0;
    uint64_t sum = NOTHING;
    if (len < 0) {
        linef(key, "error %d", errno);
        return;
    }
    file_text[len] = 0;
    for (char *at = file_text, *end; *at && (end = strchr(at, '\n')); at = end + 1, lines++)
        if (strncmp(at, "cpu MHz", 7))
            sum = hash(sum, at, end - at);
    if (with_hash)
        linef(key, "%d lines, %016llx", lines, (unsigned long long)sum);
    else
        linef(key, "%d", lines);
}

static void report_process(void)
{
    char name[17] = "";
    prctl(PR_GET_NAME, name, 0, 0, 0);
    line("comm", name, strlen(name));
    report_file("proc.comm", "/proc/self/comm");
    report_file("proc.cmdline", "/proc/self/cmdline");
    report_link("proc.exe", "/proc/self/exe");
    report_status("proc.status", "/proc/self/status");
#ifndef __x86_64__
    // Where a dynamic program's areas are, and so which of them are one, is by chance. QEMU 7.2
    // does not show which areas are code, so that an x86_64 program has fewer of them than with
    // QEMU 10.0: its code is in a segment of its own.
    if (!getauxval(AT_BASE))
        report_lines("proc.maps", "/proc/self/maps", 0);
#endif
    report_lines("cpuinfo", "/proc/cpuinfo", 1);
}

static void report(int argc, char **argv, char **envp, const char *what)
{
    line("begin", what, strlen(what));
    // First, as they are still what they were.
    report_descriptors();
    linef("argc", "%d", argc);
    for (int i = 0; i < argc; i++)
        line("argv", argv[i], strlen(argv[i]));
    for (; *envp; envp++)
        line("env", *envp, strlen(*envp));
    report_auxv();
    report_ids();
    report_privileges();
    report_signals();
    report_limits();
    report_surroundings();
    report_look();
    report_process();
    line("end", "", 0);
    write_report(in_directory(getenv("REPORT"), "report"));
}

/* The first program of a case is looked at by the observer, who opens the FIFO when he has seen it. */
static void be_seen(void)
{
    const char *directory = getenv("REPORT");
    char pid[16], byte;
    int here = open(in_directory(directory, "here"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (here < 0)
        return;
    if (write(here, pid, snprintf(pid, sizeof pid, "%d\n", (int)getpid())) < 0)
        _exit(92);
    close(here);
    int go = open(in_directory(directory, "go"), O_RDONLY | O_CLOEXEC);
    while (read(go, &byte, 1) > 0)
        ;
    close(go);
}

#define CHILDREN 100
#define THREADS 8

/* Children that end with numbers of their own. */
static int fork_many(void)
{
    int sum = 0, status;
    pid_t parent = getpid();
    for (int i = 0; i < CHILDREN; i++)
        if (!fork())
            _exit(getppid() == parent ? i : 255);
    while (wait(&status) > 0)
        sum += WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
    return sum;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int own;

static void *count(void *total)
{
    for (own = 0; own < 1000; own++) {
        pthread_mutex_lock(&lock);
        ++*(int *)total;
        pthread_mutex_unlock(&lock);
    }
    return total;
}

static int run_threads(void)
{
    int total = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, count, &total))
            _exit(93);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return total;
}

/* Starts itself again, by the path it was started with, as a child that only reports. */
static int start_again(int by_vfork)
{
    char *const arguments[] = {"again", "started by itself", NULL};
    int status = 0;
    const char *path = strdup((const char *)getauxval(AT_EXECFN));
    setenv("ACTION", "", 1);
    pid_t child = by_vfork ? vfork() : fork();
    if (!child) {
        execv(path, arguments);
        _exit(94);
    }
    waitpid(child, &status, 0);
    return status;
}

int main(int argc, char **argv, char **envp)
{
    report(argc, argv, envp, "started");
    be_seen();
    const char *action = getenv("ACTION");
    if (!action || !*action)
        return 0;
    line("begin", action, strlen(action));
    if (!strcmp(action, "fork"))
        linef("result", "%d", fork_many());
    else if (!strcmp(action, "threads"))
        linef("result", "%d", run_threads());
    else if (!strcmp(action, "vfork"))
        linef("result", "%d", start_again(1));
    else if (!strcmp(action, "exec"))
        linef("result", "%d", start_again(0));
    else
        return 95;
    line("end", "", 0);
    write_report(in_directory(getenv("REPORT"), "report"));
    return 0;
}

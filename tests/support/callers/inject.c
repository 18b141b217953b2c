// Runs a program again and again, each time with other system calls of the interpreter made to fail:
//
//     inject USER PROGRAM ARGV0 ARGS... <jobs
//
// A job is a line of words: INDEX=RESULT, the interpreter's call of that number (from 0) is not made and has this result,
// an errno if it is negative; *NR=RESULT, no call with that system call number is made; INDEX~RESULT, it is made and has
// another result; INDEX:ARGUMENT=VALUE, it is made with another argument; <&-, without standard input. The interpreter's calls are those from the mapping that the
// process starts in. What came of each job is printed:
//
//     job LINE | call NR SIX-ARGUMENTS RESULT ... | entered | exit CODE or signal NUMBER or hang | stdout TEXT | stderr TEXT
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 20 // seconds until a run counts as one that hangs
#define CALLS 256   // more than the interpreter ever makes

extern char **environ;
static const char *job;
static pid_t child;
static volatile sig_atomic_t late;

static void fail(const char *what) {
    perror(what);
    exit(95);
}

static void impatient(int signal) {
    late = 1;
    kill(child, SIGKILL);
}

enum injection { NONE, RESULT, NOT_MADE };

// What the job says about call `index` with number `nr`: its result, or which argument is another.
static enum injection injected(int index, long nr, long *result, int *argument, long *value) {
    char words[4096], *rest;
    snprintf(words, sizeof words, "%s", job);
    *argument = -1;
    for (char *word = strtok_r(words, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        long number, second, third;
        int used = 0;
        if (sscanf(word, "*%ld=%ld%n", &number, &second, &used) == 2 && !word[used] && number == nr)
            return *result = second, NOT_MADE;
        if (sscanf(word, "%ld=%ld%n", &number, &second, &used) == 2 && !word[used] && number == index)
            return *result = second, NOT_MADE;
        if (sscanf(word, "%ld~%ld%n", &number, &second, &used) == 2 && !word[used] && number == index)
            return *result = second, RESULT;
        if (sscanf(word, "%ld:%ld=%ld%n", &number, &second, &third, &used) == 3 && !word[used] && number == index)
            *argument = second, *value = third;
    }
    return NONE;
}

static void start(long user, char **arguments, int out, int err) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
        fail("traceme");
    dup2(out, 1);
    dup2(err, 2);
    if (strstr(job, "<&-"))
        close(0);
    // Root is the tracer, so privileges are gained as ever (security/commoncap.c, ptracer_capable).
    if (user && (setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user)))
        fail("setresuid");
    execve(arguments[0], arguments + 1, environ);
    perror(arguments[0]);
    _exit(96);
}

// The mapping of the child that `address` is in.
static void mapping(unsigned long address, unsigned long *low, unsigned long *high) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/maps", child);
    FILE *maps = fopen(path, "r");
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx", low, high) == 2 && *low <= address && address < *high) {
            fclose(maps);
            return;
        }
    fail(path);
}

static int wait_for(void) {
    int status;
    while (waitpid(child, &status, __WALL) < 0)
        if (errno != EINTR)
            fail("waitpid");
    return status;
}

static int ended(int status) { return WIFEXITED(status) || WIFSIGNALED(status); }

static void go(enum __ptrace_request how, int signal) {
    // It may be gone, killed for being late.
    if (ptrace(how, child, 0, signal) && errno != ESRCH)
        fail("ptrace");
}

// Follows the child from the exec of the program to the first call that is not the interpreter's, or to its end.
static int follow(void) {
    struct __ptrace_syscall_info info;
    struct user_regs_struct regs;
    unsigned long low = 0, high = 0;
    int index = -1, open = 0, status = wait_for(), argument;
    long result, value;
    enum injection injection = NONE;
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL))
        fail("setoptions");
    for (go(PTRACE_CONT, 0);; go(high ? PTRACE_SYSCALL : PTRACE_CONT, 0)) {
    stopped:
        status = wait_for();
        if (ended(status))
            break;
        int exec = status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8);
        if (exec && !high) {
            if (ptrace(PTRACE_GETREGS, child, 0, &regs))
                fail("getregs");
            mapping(regs.rip, &low, &high);
            continue;
        }
        if (!exec && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            go(high ? PTRACE_SYSCALL : PTRACE_CONT, WSTOPSIG(status));
            goto stopped;
        }
        if (!exec) {
            if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0 || ptrace(PTRACE_GETREGS, child, 0, &regs))
                fail("get_syscall_info");
            if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
                if (open && injection != NONE) {
                    regs.rax = result;
                    if (ptrace(PTRACE_SETREGS, child, 0, &regs))
                        fail("setregs");
                }
                if (open)
                    printf(" %ld\n", (long)regs.rax);
                open = 0;
                continue;
            }
        }
        if (exec || info.instruction_pointer < low || info.instruction_pointer >= high) {
            // What was open is the execve(2) that has succeeded.
            printf("%sentered\n", open ? " 0\n" : "");
            open = 0;
            go(PTRACE_DETACH, 0);
            status = wait_for();
            break;
        }
        if (++index >= CALLS) {
            late = 1;
            kill(child, SIGKILL);
        }
        printf("call %lld", regs.orig_rax);
        unsigned long long *arguments[] = {&regs.rdi, &regs.rsi, &regs.rdx, &regs.r10, &regs.r8, &regs.r9};
        injection = injected(index, regs.orig_rax, &result, &argument, &value);
        for (int i = 0; i < 6; i++)
            printf(" %lld", *arguments[i]);
        if (argument >= 0 && argument < 6)
            *arguments[argument] = value;
        if (injection == NOT_MADE)
            regs.orig_rax = -1;
        if ((injection == NOT_MADE || argument >= 0) && ptrace(PTRACE_SETREGS, child, 0, &regs))
            fail("setregs");
        open = 1;
    }
    if (open)
        puts(" -");
    return status;
}

static void show(const char *name, int file) {
    char bytes[4096];
    ssize_t len;
    printf("%s ", name);
    for (off_t at = 0; (len = pread(file, bytes, sizeof bytes, at)) > 0; at += len)
        for (ssize_t i = 0; i < len; i++)
            if (bytes[i] < ' ' || bytes[i] > '~' || bytes[i] == '\\')
                printf("\\x%02x", (unsigned char)bytes[i]);
            else
                putchar(bytes[i]);
    putchar('\n');
    close(file);
}

int main(int argc, char **argv) {
    static char line[4096];
    if (argc < 4)
        return 94;
    struct sigaction action = {.sa_handler = impatient};
    sigaction(SIGALRM, &action, NULL);
    while (fgets(line, sizeof line, stdin)) {
        int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
        job = line;
        late = 0;
        printf("job %s", line);
        fflush(stdout);
        child = fork();
        if (child == 0)
            start(atol(argv[1]), argv + 2, out, err);
        alarm(PATIENCE);
        int status = follow();
        alarm(0);
        if (late)
            puts("hang");
        else if (WIFSIGNALED(status))
            printf("signal %d\n", WTERMSIG(status));
        else
            printf("exit %d\n", WEXITSTATUS(status));
        show("stdout", out);
        show("stderr", err);
    }
    return 0;
}

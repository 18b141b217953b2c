// Runs a program again and again, each time with other system calls of the interpreter made to fail:
//
//     inject SECONDS USER PROGRAM ARGV0 ARGS... <jobs
//
// A run that takes longer than SECONDS hangs. A job is a line of words: INDEX=RESULT, the interpreter's call of that number
// (from 0) is not made and has this result, an errno if it is negative; *NR=RESULT, no call with that system call number is
// made; INDEX~RESULT, it is made and has another result; INDEX:ARGUMENT=VALUE, it is made with another argument; <&-,
// without standard input. The interpreter's calls are those from the mapping that the process starts in. What came of each
// job is printed:
//
//     job LINE | call NR SIX-ARGUMENTS RESULT ... | entered | exit CODE or signal NUMBER or hang | stdout TEXT | stderr TEXT
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __aarch64__
#include "registers/aarch64.h"
#elif defined __riscv
#include "registers/riscv64.h"
#else
#include "registers/x86_64.h"
#endif

#define CALLS 256 // more than the interpreter ever makes

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

// A register set of the child.
struct registers {
    unsigned long words[64];
    size_t size;
};

static struct registers get(long set) {
    struct registers registers = {.size = sizeof registers.words};
    struct iovec all = {registers.words, registers.size};
    if (ptrace(PTRACE_GETREGSET, child, set, &all))
        fail("getregset");
    registers.size = all.iov_len;
    return registers;
}

static void put(long set, struct registers registers) {
    struct iovec all = {registers.words, registers.size};
    if (ptrace(PTRACE_SETREGSET, child, set, &all))
        fail("setregset");
}

// A call that the child makes, and the change to it: it gets another result, without being made or in spite of it, or
// another argument.
static struct {
    long nr, arguments[6];
    enum { NONE, NOT_MADE, RESULT, ARGUMENT, REPEATED } change;
    long value;
    int argument;
    struct registers before;
} call;

// Sets the change that the job asks for at the call of this index.
static void change(int index) {
    char words[4096], *rest;
    snprintf(words, sizeof words, "%s", job);
    call.change = NONE;
    for (char *word = strtok_r(words, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        long number, second, third;
        int used = 0;
        if (sscanf(word, "*%ld=%ld%n", &number, &second, &used) == 2 && !word[used] && number == call.nr)
            call.change = NOT_MADE, call.value = second;
        else if (sscanf(word, "%ld=%ld%n", &number, &second, &used) == 2 && !word[used] && number == index)
            call.change = NOT_MADE, call.value = second;
        else if (sscanf(word, "%ld~%ld%n", &number, &second, &used) == 2 && !word[used] && number == index)
            call.change = RESULT, call.value = second;
        else if (sscanf(word, "%ld:%ld=%ld%n", &number, &second, &third, &used) == 3 && !word[used] && number == index &&
                 second >= 0 && second < 6)
            call.change = ARGUMENT, call.argument = second, call.value = third;
    }
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

// The child is about to make the call of this index.
static void begin(int index, const struct __ptrace_syscall_info *info) {
    call.nr = info->entry.nr;
    printf("call %ld", call.nr);
    for (int i = 0; i < 6; i++)
        printf(" %ld", call.arguments[i] = info->entry.args[i]);
    change(index);
    if (call.change == NONE)
        return;
    call.before = get(NT_PRSTATUS);
    if (call.change != RESULT) {
        struct registers set = get(SKIPPING_SET);
        set.words[SKIPPING] = -1;
        put(SKIPPING_SET, set);
    }
}

// The child has made the call, or skipped it. Returns whether that is all: to change an argument, the call is skipped and
// made again, because on riscv64 the tracer cannot change the first argument of a call that has begun.
static int finish(long result) {
    struct registers after = call.before;
    if (call.change == ARGUMENT) {
        for (int i = 0; i < 6; i++)
            after.words[ARGUMENTS[i]] = i == call.argument ? call.value : call.arguments[i];
        after.words[NUMBER] = call.nr;
        after.words[NEXT] -= INSTRUCTION;
        put(NT_PRSTATUS, after);
        call.change = REPEATED;
        return 0;
    }
    if (call.change == NOT_MADE || call.change == RESULT)
        result = call.value;
    after.words[RETURNED] = result;
    // The child may rely on its other registers, as no system call changes them.
    if (call.change != NONE)
        put(NT_PRSTATUS, after);
    printf(" %ld\n", result);
    return 1;
}

// Follows the child from the exec of the program to the first call that is not the interpreter's, or to its end.
static int follow(void) {
    struct __ptrace_syscall_info info;
    unsigned long low = 0, high = 0;
    int index = -1, open = 0, status = wait_for();
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL))
        fail("setoptions");
    for (go(PTRACE_CONT, 0);; go(high ? PTRACE_SYSCALL : PTRACE_CONT, 0)) {
    stopped:
        status = wait_for();
        if (ended(status))
            break;
        int exec = status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8);
        if (!exec && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            go(high ? PTRACE_SYSCALL : PTRACE_CONT, WSTOPSIG(status));
            goto stopped;
        }
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0)
            fail("get_syscall_info");
        if (exec && !high) {
            mapping(info.instruction_pointer, &low, &high);
            continue;
        }
        if (!exec && info.op == PTRACE_SYSCALL_INFO_EXIT) {
            open = open && !finish(info.exit.rval);
            continue;
        }
        if (exec || info.instruction_pointer < low || info.instruction_pointer >= high) {
            // What was open is the execve(2) that has succeeded.
            printf("%sentered\n", open ? " 0\n" : "");
            open = 0;
            go(PTRACE_DETACH, 0);
            status = wait_for();
            break;
        }
        // What is open is a call that is made again.
        if (open)
            continue;
        if (++index >= CALLS) {
            late = 1;
            kill(child, SIGKILL);
            continue;
        }
        begin(index, &info);
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
    if (argc < 5)
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
            start(atol(argv[2]), argv + 3, out, err);
        alarm(atol(argv[1]));
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

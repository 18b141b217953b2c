// Runs a program and ends it by a signal before one of its system calls:
//
//     kill CALL SIGNAL PROGRAM ARGS...
//
// CALL counts from 0; the first is the one after execve(2). The signal is sent when the program is about to make the call,
// which SIGKILL prevents. Then "call NUMBER" is written to descriptor 3, with the call's number in <sys/syscall.h>; if the
// program ends before, "ended". The exit status is as in a shell: the program's own, or 128 plus the signal's number.
// What the program starts is not followed.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(95);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 94;
    long left = atol(argv[1]);
    int sent = 0, status;
    pid_t child = fork();
    if (child == 0) {
        // So the exec stops it, too.
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            fail("traceme");
        execv(argv[3], argv + 3);
        fail(argv[3]);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
        fail(argv[3]);
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
        fail("setoptions");
    for (int signal = 0;;) {
        if (ptrace(PTRACE_SYSCALL, child, 0, signal))
            fail("syscall");
        if (waitpid(child, &status, 0) < 0)
            fail("waitpid");
        if (!WIFSTOPPED(status))
            break;
        signal = 0;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            signal = WSTOPSIG(status);
            continue;
        }
        struct __ptrace_syscall_info info;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0)
            fail("get_syscall_info");
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && left-- == 0) {
            dprintf(3, "call %lld\n", (long long)info.entry.nr);
            sent = 1;
            // A killed one is not there any more to be let go.
            if (kill(child, atoi(argv[2])) || (ptrace(PTRACE_DETACH, child, 0, 0) && errno != ESRCH))
                fail("kill");
            if (waitpid(child, &status, 0) < 0)
                fail("waitpid");
            break;
        }
    }
    if (!sent)
        dprintf(3, "ended\n");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

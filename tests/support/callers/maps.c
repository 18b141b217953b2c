// Starts the program $1 with the arguments that follow, and prints the lines of its /proc/PID/maps, each after "before ",
// as they are when the kernel has executed it and nothing of it has run yet. Then the program goes on.
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(99);
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 99;
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            fail("ptrace");
        execv(argv[1], argv + 1);
        fail(argv[1]);
    }
    int status;
    // A traced process stops with SIGTRAP when it has been executed (ptrace(2)).
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        fail("waitpid");
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/maps", child);
    FILE *maps = fopen(path, "r");
    if (maps == NULL)
        fail(path);
    while (fgets(line, sizeof line, maps) != NULL)
        printf("before %s", line);
    fclose(maps);
    fflush(stdout);
    if (ptrace(PTRACE_DETACH, child, NULL, NULL) != 0)
        fail("ptrace");
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        fail("waitpid");
    return WEXITSTATUS(status);
}

// Calls execve(2) with exactly the path and the arguments that it is given: call PATH [ARGV0 ARGS...]. Without ARGV0
// argv is empty, which no shell does.
#include <stdio.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    execve(argv[1], argv + 2, environ);
    perror(argv[1]);
    return 90;
}

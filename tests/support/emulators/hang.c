// An emulator whose programs never end: it answers --version, and waits for ever otherwise.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--version"))
        return puts("1.0") < 0;
    for (;;)
        pause();
}

// A program with a libc of its own.
#include <stdio.h>
#include <unistd.h>

int main(void) {
    printf("euid %d\nend\n", geteuid());
    return 0;
}

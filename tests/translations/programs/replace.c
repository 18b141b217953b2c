/* Files mapped over code that has run, code that is moved, and code that is gone. */
#define _GNU_SOURCE
#include "code.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int file_of(unsigned factor)
{
    char name[] = "/tmp/code.XXXXXX";
    static char text[PAGE];
    int fd = mkstemp(name);

    for (unsigned i = 0; i < 100; i++)
        put_number(text + 16 * i, i * factor % 251);
    if (fd < 0 || write(fd, text, PAGE) != PAGE)
        exit(2);
    unlink(name);
    return fd;
}

int main(void)
{
    int files[3] = {file_of(1), file_of(3), file_of(7)};
    char *at = pages(3 * PAGE, PROT_READ | PROT_WRITE);
    unsigned long sums[3] = {0};

    for (unsigned round = 0; round < 90; round++) {
        mmap(at, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, files[round % 3], 0);
        for (unsigned i = 0; i < 100; i++)
            sums[round % 3] += call(at + 16 * i);
    }
    printf("files in turn: %lu %lu %lu\n", sums[0], sums[1], sums[2]);

    unsigned long before = call(at + 16 * 99);
    char *moved = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 2 * PAGE);
    printf("moved: %lu %lu\n", before, (unsigned long)call(moved + 16 * 99));

    printf("gone: %u faults\n", faults(at + 16 * 99, 20));
    mmap(at, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, files[2], 0);
    printf("there again: %lu\n", (unsigned long)call(at + 16 * 99));

    /* Without the permission to execute. */
    mprotect(at, PAGE, PROT_READ);
    unsigned caught = faults(at + 16 * 99, 1);
    mprotect(at, PAGE, PROT_READ | PROT_EXEC);
    printf("not executable: %u faults, then %lu\n", caught, (unsigned long)call(at + 16 * 99));
    return 0;
}

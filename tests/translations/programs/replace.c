/* Files mapped over code that has run, code that is moved, and code that is gone. */
#define _GNU_SOURCE
#include "code.h"
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sigjmp_buf gone;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(gone, 1);
}

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

    signal(SIGSEGV, on_fault);
    unsigned caught = 0;
    for (int i = 0; i < 20; i++) {
        if (sigsetjmp(gone, 1) == 0)
            call(at + 16 * 99);
        else
            caught++;
    }
    printf("gone: %u faults\n", caught);
    mmap(at, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, files[2], 0);
    printf("there again: %lu\n", (unsigned long)call(at + 16 * 99));

    /* Without the permission to execute. */
    mprotect(at, PAGE, PROT_READ);
    caught = 0;
    if (sigsetjmp(gone, 1) == 0)
        call(at + 16 * 99);
    else
        caught++;
    mprotect(at, PAGE, PROT_READ | PROT_EXEC);
    printf("not executable: %u faults, then %lu\n", caught, (unsigned long)call(at + 16 * 99));
    return 0;
}

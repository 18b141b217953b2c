/* Code that changes: rewritten in place, by turns writable and executable, at other addresses. */
#define _GNU_SOURCE
#include "code.h"
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    unsigned long sum = 0;
    char *at = pages(PAGE, all);

    for (unsigned i = 0; i < 3000; i++) {
        put_number(at, i % 251);
        sum += call(at) * (i % 7);
    }
    printf("rewritten in place: %lu\n", sum);

    sum = 0;
    for (unsigned i = 0; i < 300; i++) {
        mprotect(at, PAGE, PROT_READ | PROT_WRITE);
        put_number(at + 64, i % 251);
        mprotect(at, PAGE, PROT_READ | PROT_EXEC);
        sum += call(at + 64) * (i % 7);
    }
    printf("writable, then executable: %lu\n", sum);

    sum = 0;
    for (unsigned round = 0; round < 20; round++) {
        char *next = pages(PAGE, all);
        unsigned count = 0;
        for (char *p = next; p < next + 8000; count++)
            p += (put_number(p, (count * 31 + round) % 251) + 15) & ~15ul;
        char *p = next;
        for (unsigned i = 0; i < count; i++) {
            unsigned long number = call(p);
            sum += number * (i % 13);
            if (number != (i * 31 + round) % 251)
                return printf("round %u: function %u returned %lu\n", round, i, number), 1;
            p += 16;
        }
        munmap(next, PAGE);
    }
    printf("many functions: %lu\n", sum);

    /* The same bytes at the same place of many pages. */
    char *many = pages(64 * (size_t)PAGE, all);
    unsigned wrong = 0;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 64; i++) {
            char *p = many + i * (size_t)PAGE + 128;
            put_place(p);
            wrong += call(p) - (uintptr_t)p > 8;
        }
    printf("functions that know their address: %u wrong\n", wrong);
#if defined(__aarch64__)
    /* Written by another address. Only here does QEMU notice that. */
    int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, PAGE))
        return 1;
    char *writable = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *executable = mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    sum = 0;
    for (unsigned i = 0; i < 500; i++) {
        put_number(writable, i % 251);
        __builtin___clear_cache(executable, executable + 16);
        sum += call(executable) * (i % 7);
    }
    printf("mapped twice: %lu\n", sum);
#endif
    return 0;
}

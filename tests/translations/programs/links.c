/* Direct jumps from one page to another, whose code is changed, replaced and gone. */
#define _GNU_SOURCE
#include "code.h"
#include <pthread.h>
#include <stdio.h>

/* Jumps again and again until the number is 0. Returns NULL if it saw no other than those below 251. */
static void *follow(void *at)
{
    for (;;) {
        uintptr_t number = call(at);
        if (number == 0)
            return NULL;
        if (number > 250)
            return at;
    }
}

int main(void)
{
    const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    char *at = pages(3 * PAGE, all);
    char *first = at, *second = at + PAGE, *third = at + 2 * PAGE;
    unsigned long sum = 0;

    put_jump(first, PAGE);
    put_number(second, 1);
    put_number(third, 201);
    for (unsigned i = 0; i < 1000; i++)
        sum += call(first);
    printf("through: %lu\n", sum);

    sum = 0;
    for (unsigned i = 0; i < 1000; i++) {
        put_number(second, i % 251);
        sum += call(first) * (i % 7);
    }
    printf("changed: %lu\n", sum);

    pthread_t thread;
    void *wrong;
    pthread_create(&thread, NULL, follow, first);
    for (unsigned i = 0; i < 3000; i++)
        put_number(second, i % 250 + 1);
    put_number(second, 0);
    pthread_join(thread, &wrong);
    printf("changed while a thread jumps: %s\n", wrong ? "wrong" : "right");

    sum = 0;
    for (unsigned i = 0; i < 100; i++) {
        mmap(second, PAGE, all, fixed, -1, 0);
        put_number(second, i);
        sum += call(first) * (i % 7);
    }
    printf("replaced: %lu\n", sum);

    mprotect(second, PAGE, PROT_READ | PROT_WRITE);
    printf("not executable: %u faults\n", faults(first, 10));
    mprotect(second, PAGE, PROT_READ | PROT_EXEC);
    printf("executable: %lu\n", (unsigned long)call(first));
    mprotect(second, PAGE, PROT_NONE);
    printf("not readable: %u faults\n", faults(first, 10));
    mprotect(second, PAGE, PROT_READ | PROT_EXEC);
    printf("readable: %lu\n", (unsigned long)call(first));
    munmap(second, PAGE);
    printf("gone: %u faults\n", faults(first, 10));
    mremap(third, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, second);
    printf("another moved there: %lu\n", (unsigned long)call(first));
    mmap(second, PAGE, PROT_NONE, fixed, -1, 0);
    printf("gone: %u faults\n", faults(first, 10));
    return 0;
}

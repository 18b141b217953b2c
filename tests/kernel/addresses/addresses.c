/* Which addresses a program can have, a line for each terabyte but the last one of 128: whether a page in its middle is given
 * when it is asked for, and what four calls say of memory there that was never mapped. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE 4096UL
#define TERABYTE (1UL << 40)

static const char *given(char *wanted, int flags)
{
    char *got = mmap(wanted, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    if (got == MAP_FAILED)
        return errno == EEXIST ? "taken" : "refused";
    munmap(got, PAGE);
    return got == wanted ? "given" : "elsewhere";
}

static int error(int result)
{
    return result == 0 ? 0 : errno;
}

int main(void)
{
    for (uintptr_t terabyte = 1; terabyte < 127; terabyte++) {
        char *page = (char *)(terabyte * TERABYTE + TERABYTE / 2);

        printf("%#lx hint:%s fixed:%s", (unsigned long)page, given(page, 0), given(page, MAP_FIXED_NOREPLACE));
        page += 1 << 20;
        printf(" msync:%d", error(msync(page, PAGE, MS_ASYNC)));
        printf(" munlock:%d", error(munlock(page, PAGE)));
        printf(" mprotect:%d", error(mprotect(page, PAGE, PROT_READ)));
        printf(" mremap:%d\n", error(mremap(page, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0));
    }
    return 0;
}

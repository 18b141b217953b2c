/* Machine code of small functions. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 65536 /* of any architecture here, or a multiple */

static size_t put_code(void *at, const void *code, size_t length)
{
    memcpy(at, code, length);
    __builtin___clear_cache((char *)at, (char *)at + length);
    return length;
}

/* Writes a function that returns a number below 256, and returns its length. */
static size_t put_number(void *at, unsigned number)
{
#if defined(__aarch64__)
    uint32_t code[] = {0x52800000u | number << 5, 0xd65f03c0};
#elif defined(__arm__)
    uint32_t code[] = {0xe3a00000u | number, 0xe12fff1e};
#elif defined(__riscv)
    uint32_t code[] = {0x00000513u | number << 20, 0x00008067};
#elif defined(__x86_64__)
    uint8_t code[] = {0xb8, (uint8_t)number, 0, 0, 0, 0xc3};
#else
#error "code of another architecture is missing"
#endif
    return put_code(at, code, sizeof code);
}

/* Writes a function that returns an address which depends on its own, and returns its length. */
__attribute__((unused)) static size_t put_place(void *at)
{
#if defined(__aarch64__)
    uint32_t code[] = {0x10000000u, 0xd65f03c0};
#elif defined(__arm__)
    uint32_t code[] = {0xe1a0000fu, 0xe12fff1e};
#elif defined(__riscv)
    uint32_t code[] = {0x00000517u, 0x00008067};
#elif defined(__x86_64__)
    uint8_t code[] = {0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3};
#endif
    return put_code(at, code, sizeof code);
}

/* Writes a jump over a distance that is a multiple of a page and below 1 MiB. */
__attribute__((unused)) static void put_jump(void *at, uint32_t distance)
{
#if defined(__aarch64__)
    uint32_t code = 0x14000000u | distance >> 2;
#elif defined(__arm__)
    uint32_t code = 0xea000000u | (distance - 8) >> 2;
#elif defined(__riscv)
    uint32_t code = 0x0000006fu | distance;
#elif defined(__x86_64__)
    uint8_t code[5] = {0xe9};
    distance -= sizeof code;
    memcpy(code + 1, &distance, sizeof distance);
#endif
    put_code(at, &code, sizeof code);
}

static uintptr_t call(void *at)
{
    return ((uintptr_t (*)(void))(uintptr_t)at)();
}

static void *pages(size_t length, int protection)
{
    void *at = mmap(0, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        __builtin_trap();
    return at;
}

static sigjmp_buf fault;

static void on_fault(int number)
{
    (void)number;
    siglongjmp(fault, 1);
}

/* How many of so many calls end in SIGSEGV. */
__attribute__((unused)) static unsigned faults(void *at, unsigned calls)
{
    volatile unsigned caught = 0;

    signal(SIGSEGV, on_fault);
    for (volatile unsigned i = 0; i < calls; i++)
        if (sigsetjmp(fault, 1) == 0)
            call(at);
        else
            caught++;
    return caught;
}

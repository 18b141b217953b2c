/* Signals of instructions: the address, and what was done before. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile sig_atomic_t seen;
static volatile uintptr_t address, counter;
static char *page;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen = signal;
    address = (uintptr_t)info->si_addr;
    siglongjmp(back, 1);
}

static void on_write(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    counter++;
    mprotect(page, 65536, PROT_READ | PROT_WRITE);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigaction(signal, &action, 0);
}

#ifdef __aarch64__
extern char sequence[] __attribute__((visibility("hidden"))), middle[] __attribute__((visibility("hidden")));

/* Goes on behind the instruction, after it has looked at what the block did before. */
static void on_middle(int signal, siginfo_t *info, void *context)
{
    ucontext_t *state = context;
    (void)signal;
    printf("in a block: %ld bytes behind its start, at %lx, x9 %lld, x10 %lld, x11 %lld, stored %ld\n",
           (long)(state->uc_mcontext.pc - (uintptr_t)sequence), (long)(uintptr_t)info->si_addr,
           (long long)state->uc_mcontext.regs[9], (long long)state->uc_mcontext.regs[10],
           (long long)state->uc_mcontext.regs[11], *(long *)page);
    state->uc_mcontext.pc = (uintptr_t)middle + 4;
    state->uc_mcontext.regs[11] = 1000;
}

static void in_a_block(uintptr_t bad)
{
    register uintptr_t x9 asm("x9"), x11 asm("x11");
    asm volatile("mov x9, #1\n\tmov x10, #2\n\tmov x11, #3\n"
                 ".globl sequence, middle\nsequence:\n\tadd x9, x9, #10\n\tstr x9, [%2]\n\tadd x10, x10, x9\n"
                 "middle:\n\tldr x11, [%3]\n\tadd x9, x9, x11\n\tstr x9, [%2]"
                 : "=&r"(x9), "=&r"(x11)
                 : "r"(page), "r"(bad)
                 : "x10", "memory");
    printf("after it: x9 %lu, stored %ld\n", x9, *(long *)page);
}
#endif

static unsigned deep(unsigned n)
{
    volatile char room[4096];
    room[n % 4096] = (char)n;
    return n == ~0u ? 0 : deep(n + 1) + (unsigned)room[n % 4096];
}

int main(void)
{
    stack_t stack = {.ss_sp = malloc(262144), .ss_size = 262144};
    sigaltstack(&stack, 0);
    page = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, 0, _IOLBF, 0);

    handle(SIGSEGV, on_fault);
    for (volatile int i = 0; i < 40; i++) {
        counter = 0;
        if (sigsetjmp(back, 1) == 0) {
            for (counter = 0; counter < 1000; counter++)
                *(volatile int *)(counter == (uintptr_t)(10 + i) ? (char *)8 + 16 * i : page) = i;
        }
        printf("%lu:%lx ", (unsigned long)counter, (unsigned long)address);
    }
    printf("\n");
#ifdef __aarch64__
    handle(SIGSEGV, on_middle);
    for (int i = 0; i < 5; i++)
        in_a_block(16 * i);
#endif
    handle(SIGSEGV, on_write);
    counter = 0;
    for (int i = 0; i < 50; i++) {
        mprotect(page, 65536, PROT_READ);
        *(volatile int *)(page + 4 * i) = i;
    }
    printf("made writable: %lu times\n", (unsigned long)counter);

    handle(SIGBUS, on_fault);
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    char *behind = mmap(0, 65536, PROT_READ, MAP_SHARED, fd, 0);
    if (sigsetjmp(back, 1) == 0)
        counter = *(volatile int *)behind;
    printf("behind the end of a file: signal %d, %ld\n", (int)seen, (long)(address - (uintptr_t)behind));

    handle(SIGILL, on_fault);
    handle(SIGTRAP, on_fault);
    handle(SIGFPE, on_fault);
    if (sigsetjmp(back, 1) == 0)
        __builtin_trap();
    printf("trap: signal %d\n", (int)seen);

    handle(SIGSEGV, on_fault);
    seen = 0;
    if (sigsetjmp(back, 1) == 0)
        printf("%u\n", deep(0));
    printf("stack overflow: signal %d\n", (int)seen);
    return 0;
}

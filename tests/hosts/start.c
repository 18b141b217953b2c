// Starts an interpreter for a program as binfmt_misc does: start FLAG SECURE PAGE PATH INTERPRETER
// PROGRAM ARGV0 ARGS... FLAG is P or T, besides O. PATH is what was executed: the program, or a
// script whose interpreter it is. The auxiliary vector says whether privileges are gained (SECURE
// is 0 or 1), and that pages have PAGE bytes. On a real kernel, execve(2) does all this; QEMU's
// user mode cannot register interpreters, and Linux before 7.3 does not know flag T.
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

// Alignment of the interpreter: the largest page size.
#define ALIGN 0x10000ul
// Memory for the initial stack, in bytes: the strings are at its end.
#define STACK 0x800000ul

extern char **environ;
static char *strings;

static void *check(void *mapped) {
    if (mapped == MAP_FAILED) {
        perror("mmap");
        exit(90);
    }
    return mapped;
}

// Copies a string below the others, as the kernel does.
static uintptr_t put(const char *string) {
    strings -= strlen(string) + 1;
    return (uintptr_t)strcpy(strings, string);
}

// Puts the strings of an array, the last one first, and their addresses into `words`. Returns the
// word behind the null at the end.
static uintptr_t *put_all(char **array, uintptr_t *words) {
    size_t count = 0;
    while (array[count])
        count++;
    words[count] = 0;
    for (size_t i = count; i-- > 0;)
        words[i] = put(array[i]);
    return words + count + 1;
}

// Maps the program, and returns the address of its ELF header.
static uintptr_t map(int file, const ElfW(Ehdr) *header, const ElfW(Phdr) *segments) {
    uintptr_t span = 0;
    for (int i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD)
            span = segments[i].p_vaddr + segments[i].p_memsz;
    char *reserved = check(mmap(NULL, span + ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    uintptr_t base = ((uintptr_t)reserved + ALIGN - 1) & -ALIGN, page = getauxval(AT_PAGESZ);
    for (int i = 0; i < header->e_phnum; i++) {
        const ElfW(Phdr) *segment = &segments[i];
        if (segment->p_type != PT_LOAD)
            continue;
        int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                         (segment->p_flags & PF_X ? PROT_EXEC : 0);
        uintptr_t skew = segment->p_vaddr & (page - 1), start = base + segment->p_vaddr - skew;
        uintptr_t in_file = (segment->p_filesz + skew + page - 1) & -page;
        uintptr_t in_memory = (segment->p_memsz + skew + page - 1) & -page;
        check(mmap((void *)start, in_file, protection, MAP_PRIVATE | MAP_FIXED, file, segment->p_offset - skew));
        if (segment->p_memsz > segment->p_filesz)
            memset((char *)start + skew + segment->p_filesz, 0, in_file - skew - segment->p_filesz);
        if (in_memory > in_file)
            check(mmap((void *)(start + in_file), in_memory - in_file, protection,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    }
    // Only now: an emulator of this program may take what is free for itself at any time.
    uintptr_t end = base + ((span + page - 1) & -page);
    munmap(reserved, base - (uintptr_t)reserved);
    munmap((void *)end, (uintptr_t)reserved + span + ALIGN - end);
    return base;
}

static _Noreturn void enter(uintptr_t *sp, uintptr_t entry) {
#if defined __aarch64__
    __asm__ volatile("mov sp, %0; mov x0, xzr; br %1" : : "r"(sp), "r"(entry) : "x0");
#elif defined __loongarch__
    __asm__ volatile("move $sp, %0; move $a0, $zero; jr %1" : : "r"(sp), "r"(entry) : "$a0");
#elif defined __powerpc64__
    register uintptr_t r12 __asm__("r12") = entry;
    __asm__ volatile("mr 1, %0; mtctr %1; li 0, 0; li 7, 0; bctr" : : "r"(sp), "r"(r12) : "r0", "r7", "ctr");
#elif defined __riscv
    __asm__ volatile("mv sp, %0; li a0, 0; jr %1" : : "r"(sp), "r"(entry) : "a0");
#elif defined __s390x__
    __asm__ volatile("lgr %%r15, %0; lghi %%r14, 0; br %1" : : "a"(sp), "a"(entry) : "r14");
#elif defined __x86_64__
    __asm__ volatile("mov %0, %%rsp; xor %%edx, %%edx; jmp *%1" : : "r"(sp), "r"(entry) : "rdx");
#endif
    __builtin_unreachable();
}

int main(int argc, char **argv) {
    if (argc < 8)
        return 2;
    int transparent = *argv[1] == 'T';
    uintptr_t secure = atol(argv[2]), page = atol(argv[3]);
    const char *path = argv[4];
    argv += 5;
    int interpreter = open(argv[0], O_RDONLY | O_CLOEXEC), program = open(argv[1], O_RDONLY);
    char head[4096];
    if (interpreter < 0 || program < 0 || pread(interpreter, head, sizeof head, 0) < (ssize_t)sizeof head) {
        perror(argv[0]);
        return 90;
    }
    const ElfW(Ehdr) *header = (void *)head;
    uintptr_t base = map(interpreter, header, (void *)(head + header->e_phoff));
    close(interpreter);

    char *stack = check(mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    strings = stack + STACK - 8;
    uintptr_t *sp = (uintptr_t *)(stack + STACK / 2), *word = sp;
    uintptr_t executed = put(path);
    if (transparent)
        argv += 2;
    uintptr_t arguments = argc - 5 - (transparent ? 2 : 0);
    *word++ = arguments;
    // The strings of the environment are above those of the arguments, the words below.
    word = put_all(environ, word + arguments + 1);
    put_all(argv, sp + 1);
    char **variable = environ;
    while (*variable)
        variable++;
    for (uintptr_t *own = (uintptr_t *)(variable + 1); *own; own += 2) {
        if (*own == AT_EXECFD)
            continue;
        *word++ = *own;
        *word++ = *own == AT_PHDR     ? base + header->e_phoff
                  : *own == AT_PHNUM  ? header->e_phnum
                  : *own == AT_ENTRY  ? base + header->e_entry
                  : *own == AT_BASE   ? 0
                  : *own == AT_FLAGS  ? 1u + transparent
                  : *own == AT_SECURE ? secure
                  : *own == AT_PAGESZ ? page
                  : *own == AT_EXECFN ? executed
                                      : own[1];
    }
    *word++ = AT_EXECFD;
    *word++ = program;
    *word++ = AT_NULL;
    *word++ = 0;
    enter(sp, base + header->e_entry);
}

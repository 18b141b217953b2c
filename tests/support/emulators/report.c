// An emulator that emulates nothing: it tells how it was started, as lines "key value" on standard output or in the
// file that REPORT names. It begins at `first`, in front of the C library's own entry point, to see the process as it
// was handed over.
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __aarch64__
#include "entry/aarch64.h"
#elif defined __riscv
#include "entry/riscv64.h"
#else
#include "entry/x86_64.h"
#endif

// In .data, so that writing it does not disturb the look at .bss.
__attribute__((section(".data"), visibility("hidden"))) struct entry_state at_entry = {.bss_dirty = 2};

extern const char first[];
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));
extern char **environ;

// Data, pointers to it that need relocating, thread-local data, and a .bss of many pages.
static int numbers[5000] = {[0] = 17, [2500] = 4711, [4999] = 42};
static const char *const words[] = {"relocated", "pointers", "are right"};
static __thread int local = 12345;
static char zeros[1 << 20];

static const char *const names[] = REGISTERS;

static FILE *out;

static void text(const char *key, const char *bytes, size_t len) {
    fprintf(out, "%s ", key);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = bytes[i];
        if (byte < ' ' || byte > '~' || byte == '\\')
            fprintf(out, "\\x%02x", byte);
        else
            fputc(byte, out);
    }
    fputc('\n', out);
}

static void file(const char *key, const char *path) {
    static char buffer[1 << 22];
    int fd = open(path, O_RDONLY);
    ssize_t len = 0, got;
    while (fd >= 0 && (got = read(fd, buffer + len, sizeof buffer - len)) > 0)
        len += got;
    close(fd);
    text(key, buffer, len);
}

static void link_of(const char *key, const char *path) {
    char target[4096];
    ssize_t len = readlink(path, target, sizeof target);
    text(key, target, len < 0 ? 0 : len);
}

static void auxiliary_vector(const Elf64_auxv_t *aux) {
    for (const Elf64_auxv_t *entry = aux;; entry++) {
        unsigned long value = entry->a_un.a_val;
        if (entry->a_type == AT_NULL)
            break;
        fprintf(out, "aux.%lu %lu\n", (unsigned long)entry->a_type, value);
        switch (entry->a_type) {
        case AT_PHDR:
            fprintf(out, "own-phdr %d\n", value == (unsigned long)&__ehdr_start + __ehdr_start.e_phoff);
            break;
        case AT_PHNUM:
            fprintf(out, "own-phnum %d\n", value == __ehdr_start.e_phnum);
            break;
        case AT_ENTRY:
            fprintf(out, "own-entry %d\n", value == (unsigned long)first);
            break;
        case AT_EXECFN:
            text("execfn", (const char *)value, strlen((const char *)value));
            break;
        case AT_SYSINFO_EHDR:
            fprintf(out, "vdso %d\n", memcmp((const char *)value, ELFMAG, SELFMAG) == 0);
            break;
        case AT_RANDOM:
            fprintf(out, "random %d\n", memcmp((const char *)value, zeros, 16) != 0);
            break;
        case AT_EXECFD: {
            char start[4] = "";
            struct stat status = {0};
            fprintf(out, "execfd-offset %ld\n", (long)lseek(value, 0, SEEK_CUR));
            fprintf(out, "execfd-flags %d\n", fcntl(value, F_GETFD));
            pread(value, start, sizeof start, 0);
            text("execfd-start", start, sizeof start);
            fstat(value, &status);
            fprintf(out, "execfd-inode %lu\n", (unsigned long)status.st_ino);
        }
        }
    }
}

static void memory(void) {
    int dirty = 0, executable = 0;
    char line[512];
    for (size_t i = 0; i < sizeof zeros; i++)
        dirty |= zeros[i];
    fprintf(out, "bss-dirty-at-entry %lu\n", at_entry.bss_dirty);
    fprintf(out, "zeros-dirty %d\n", dirty);
    fprintf(out, "data %d %d %d %d\n", numbers[0], numbers[2500], numbers[4999], local);
    fprintf(out, "words %s %s %s\n", words[0], words[1], words[2]);
    fprintf(out, "base %lu\n", (unsigned long)&__ehdr_start);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        executable += strstr(line, " rwx") != NULL;
    if (maps)
        fclose(maps);
    fprintf(out, "writable-code %d\n", executable);
}

int main(int argc, char **argv) {
    // Its version is in its file's name, or it has none.
    const char *version = argc == 2 && strcmp(argv[1], "--version") == 0 ? strstr(argv[0], "/emulator-") : NULL;
    if (version)
        return printf("report version %s\n", version + strlen("/emulator-")) < 0;
    char fds[4096];
    size_t used = 0;
    for (int fd = 0; fd < 512; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            used += sprintf(fds + used, " %d", fd);
    const char *path = getenv("REPORT");
    out = path ? fopen(path, "w") : stdout;
    if (!out)
        return 90;
    fprintf(out, "descriptors%s\n", fds);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fprintf(out, "register.%s %lu\n", names[i], at_entry.registers[i]);
    unsigned long vector = 0;
    for (size_t i = 0; i < sizeof at_entry.vector / sizeof *at_entry.vector; i++)
        vector |= at_entry.vector[i];
    fprintf(out, "register.vector %lu\n", vector);
    CONTROLS(out, at_entry);
    fprintf(out, "argc %d\n", argc);
    for (int i = 0; i < argc; i++)
        text("argv", argv[i], strlen(argv[i]));
    char **end = environ;
    for (; *end; end++)
        text("env", *end, strlen(*end));
    auxiliary_vector((const Elf64_auxv_t *)(end + 1));
    memory();
    file("proc-cmdline", "/proc/self/cmdline");
    file("proc-environ", "/proc/self/environ");
    file("proc-comm", "/proc/self/comm");
    link_of("proc-exe", "/proc/self/exe");
    file("proc-status", "/proc/self/status");
    file("proc-maps", "/proc/self/maps");
    fprintf(out, "end\n");
    return fclose(out) ? 91 : 0;
}

// A privileged program without a libc, for aarch64 and riscv64: what protects it must come from
// outside. It reports what it is given, one fact a line, and then does what its arguments say:
// append FILE TEXT   opens FILE, as a log of its own, and then says TEXT on the standard error
// stream; the exit status is
//                      the number of the descriptor
//   again              executes /proc/self/exe with the argument "done"
//   wait               stops itself
// Built twice: as the program, and with -DEVIL as what an attacker wants to have run in its place.
typedef unsigned long word;

static long call(long number, word a, word b, word c, word d) {
#ifdef __riscv
    register word a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a7) : "memory");
    return (long)a0;
#else
    register word x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    register long x8 __asm__("x8") = number;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x8) : "memory");
    return (long)x0;
#endif
}

enum { OPENAT = 56, WRITE = 64, EXIT_GROUP = 94, KILL = 129, UNAME = 160, GETPID = 172, GETUID = 174, EXECVE = 221 };
enum { AT_SECURE = 23, AT_RANDOM = 25, AT_FDCWD = -100, O_WRONLY = 1, O_CREAT = 0100, O_APPEND = 02000, SIGSTOP = 19 };


static int same(const char *a, const char *b) {
    for (; *a && *a == *b; a++, b++) {
    }
    return *a == *b;
}

static char buffer[1 << 16];
static word used;

static void add(const char *text) {
    for (; *text && used < sizeof buffer; text++)
        buffer[used++] = *text;
}

static void line(const char *key, const char *value) {
    add(key);
    add(" ");
    add(value);
    add("\n");
}

static void number(const char *key, word value) {
    char digits[24], *at = digits + sizeof digits - 1;
    *at = 0;
    do
        *--at = '0' + value % 10;
    while (value /= 10);
    line(key, at);
}

static void say(int fd) {
    call(WRITE, fd, (word)buffer, used, 0);
    used = 0;
}

static void bytes(const char *key, const unsigned char *value, word len) {
    static char text[64];
    for (word i = 0; i < len; i++) {
        text[2 * i] = "0123456789abcdef"[value[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[value[i] & 15];
    }
    text[2 * len] = 0;
    line(key, text);
}

void begin(word *stack) {
    word argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
    word *auxv = (word *)envp;
    static char names[6][65];
    while (*auxv++) {
    }
#ifdef EVIL
    line("program", "the attacker's");
#else
    line("program", "the victim");
#endif
    number("uid", call(GETUID, 0, 0, 0, 0));
    number("euid", call(GETUID + 1, 0, 0, 0, 0));
    number("gid", call(GETUID + 2, 0, 0, 0, 0));
    number("egid", call(GETUID + 3, 0, 0, 0, 0));
    for (; auxv[0]; auxv += 2) {
        if (auxv[0] == AT_SECURE)
            number("secure", auxv[1]);
        if (auxv[0] == AT_RANDOM)
            bytes("random", (const unsigned char *)auxv[1], 16);
    }
    call(UNAME, (word)names, 0, 0, 0);
    line("release", names[2]);
    for (word i = 0; i < argc; i++)
        line("argument", argv[i]);
    for (char **variable = envp; *variable; variable++)
        line("variable", *variable);
    // A program may rely on Linux giving it some stack.
    volatile char room[1 << 18];
    for (word i = 0; i < sizeof room; i += 4096)
        room[i] = 1;
    add("end\n");
    say(1);

    const char *command = argc > 1 ? argv[1] : "";
    if (argc > 3 && same(command, "append")) {
        long fd = call(OPENAT, AT_FDCWD, (word)argv[2], O_WRONLY | O_CREAT | O_APPEND, 0644);
        line(argv[3], "is not understood");
        say(2);
        call(EXIT_GROUP, fd, 0, 0, 0);
    } else if (same(command, "again")) {
        char *arguments[] = {argv[0], "done", 0};
        call(EXECVE, (word) "/proc/self/exe", (word)arguments, (word)envp, 0);
    } else if (same(command, "wait")) {
        call(KILL, call(GETPID, 0, 0, 0, 0), SIGSTOP, 0, 0);
    }
    call(EXIT_GROUP, 0, 0, 0, 0);
}

#ifdef __riscv
__asm__(".globl _start\n_start:\n .option push\n .option norelax\n lla gp, __global_pointer$\n .option pop\n mv a0, sp\n call begin\n");
#else
__asm__(".globl _start\n_start:\n mov x0, sp\n bl begin\n");
#endif

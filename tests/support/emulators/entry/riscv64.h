// The process as a riscv64 emulator finds it. Its code begins at `first`.
#define REGISTERS {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", \
                   "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"}

struct entry_state {
    unsigned long registers[32];
    unsigned long control;
    unsigned long vector[32];
    unsigned long bss_dirty;
};

#define CONTROLS(out, state) fprintf(out, "fcsr %lu\n", state.control)

__asm__(".text\n"
        ".globl first\n"
        "first:\n"
        ".option push\n .option norelax\n"
        "sd t0, -8(sp)\n"
        "lla t0, at_entry\n"
        ".irp n, 0,1,2,3,4,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "sd x\\n, 8 * \\n(t0)\n"
        ".endr\n"
        "ld t1, -8(sp)\n sd t1, 40(t0)\n"
        "frcsr t1\n sd t1, 256(t0)\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "fsd f\\n, 264 + 8 * \\n(t0)\n"
        ".endr\n"
        // Whether .bss is zero, before anything writes to it.
        "lla t1, __bss_start\n"
        "lla t2, _end\n"
        "li t3, 0\n"
        "1: bgeu t1, t2, 2f\n lbu t4, 0(t1)\n or t3, t3, t4\n addi t1, t1, 1\n j 1b\n"
        "2: sd t3, 520(t0)\n"
        // a0 is as it was.
        "tail _start\n"
        ".option pop\n");

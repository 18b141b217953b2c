// The process as an aarch64 emulator finds it. Its code begins at `first`.
#define REGISTERS {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", \
                   "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp"}

struct entry_state {
    unsigned long registers[32];
    unsigned long control, status;
    unsigned long vector[64];
    unsigned long bss_dirty;
};

#define CONTROLS(out, state) fprintf(out, "fpcr %lu\nfpsr %lu\n", state.control, state.status)

__asm__(".text\n"
        ".globl first\n"
        "first:\n"
        "stp x16, x17, [sp, #-16]\n"
        "adrp x16, at_entry\n add x16, x16, :lo12:at_entry\n"
        "stp x0, x1, [x16, #0]\n stp x2, x3, [x16, #16]\n"
        "stp x4, x5, [x16, #32]\n stp x6, x7, [x16, #48]\n"
        "stp x8, x9, [x16, #64]\n stp x10, x11, [x16, #80]\n"
        "stp x12, x13, [x16, #96]\n stp x14, x15, [x16, #112]\n"
        "stp x18, x19, [x16, #144]\n stp x20, x21, [x16, #160]\n"
        "stp x22, x23, [x16, #176]\n stp x24, x25, [x16, #192]\n"
        "stp x26, x27, [x16, #208]\n stp x28, x29, [x16, #224]\n"
        "str x30, [x16, #240]\n"
        "ldp x1, x2, [sp, #-16]\n stp x1, x2, [x16, #128]\n"
        "mov x1, sp\n str x1, [x16, #248]\n"
        "mrs x1, fpcr\n str x1, [x16, #256]\n"
        "mrs x1, fpsr\n str x1, [x16, #264]\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "str q\\n, [x16, #(272 + 16 * \\n)]\n"
        ".endr\n"
        // Whether .bss is zero, before anything writes to it.
        "adrp x1, __bss_start\n add x1, x1, :lo12:__bss_start\n"
        "adrp x2, _end\n add x2, x2, :lo12:_end\n"
        "mov x3, #0\n"
        "1: cmp x1, x2\n b.hs 2f\n ldrb w4, [x1], #1\n orr x3, x3, x4\n b 1b\n"
        "2: str x3, [x16, #784]\n"
        // x0 is as it was.
        "b _start\n");

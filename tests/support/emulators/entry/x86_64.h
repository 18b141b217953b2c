// The process as an x86_64 emulator finds it. Its code begins at `first`.
#define REGISTERS {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

struct entry_state {
    unsigned long registers[16];
    unsigned long flags;
    unsigned long vector[32];
    unsigned int mxcsr, fcw;
    unsigned long bss_dirty;
};

#define CONTROLS(out, state) \
    fprintf(out, "rflags %lu\nmxcsr %u\nfcw %u\n", state.flags, state.mxcsr, state.fcw & 0xffff)

__asm__(".text\n"
        ".globl first\n"
        "first:\n"
        "mov %rax, at_entry + 0(%rip)\n mov %rbx, at_entry + 8(%rip)\n"
        "mov %rcx, at_entry + 16(%rip)\n mov %rdx, at_entry + 24(%rip)\n"
        "mov %rsi, at_entry + 32(%rip)\n mov %rdi, at_entry + 40(%rip)\n"
        "mov %rbp, at_entry + 48(%rip)\n mov %rsp, at_entry + 56(%rip)\n"
        "mov %r8, at_entry + 64(%rip)\n mov %r9, at_entry + 72(%rip)\n"
        "mov %r10, at_entry + 80(%rip)\n mov %r11, at_entry + 88(%rip)\n"
        "mov %r12, at_entry + 96(%rip)\n mov %r13, at_entry + 104(%rip)\n"
        "mov %r14, at_entry + 112(%rip)\n mov %r15, at_entry + 120(%rip)\n"
        "pushfq\n popq at_entry + 128(%rip)\n"
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "movups %xmm\\n, at_entry + 136 + 16*\\n(%rip)\n"
        ".endr\n"
        "stmxcsr at_entry + 392(%rip)\n"
        "fnstcw at_entry + 396(%rip)\n"
        // Whether .bss is zero, before anything writes to it.
        "cld\n"
        "lea __bss_start(%rip), %rdi\n"
        "lea _end(%rip), %rcx\n"
        "sub %rdi, %rcx\n"
        "xor %eax, %eax\n"
        "repe scasb\n"
        "setne %al\n"
        "mov %rax, at_entry + 400(%rip)\n"
        "mov at_entry + 0(%rip), %rax\n"
        "mov at_entry + 16(%rip), %rcx\n"
        "mov at_entry + 40(%rip), %rdi\n"
        "jmp _start\n");

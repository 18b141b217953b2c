// The registers of a system call on riscv64, as word numbers of the set NT_PRSTATUS (struct user_regs_struct): pc, x1 to x31,
// of which x10 to x17 are a0 to a7.

// The address of the next instruction; the size of the one that makes a call.
enum { NEXT = 0, INSTRUCTION = 4 };
// The number before the call, the arguments, the result after it.
enum { NUMBER = 17, RETURNED = 10 };
static const int ARGUMENTS[] = {10, 11, 12, 13, 14, 15};
// The register set, and its word, whose value -1 tells the kernel to skip the call that it is about to make.
enum { SKIPPING_SET = NT_PRSTATUS, SKIPPING = 17 };

// The registers of a system call on aarch64, as word numbers of the set NT_PRSTATUS (struct user_pt_regs): x0 to x30, sp, pc.

// The address of the next instruction; the size of the one that makes a call.
enum { NEXT = 32, INSTRUCTION = 4 };
// The number before the call, the arguments, the result after it.
enum { NUMBER = 8, RETURNED = 0 };
static const int ARGUMENTS[] = {0, 1, 2, 3, 4, 5};
// The register set, and its word, whose value -1 tells the kernel to skip the call that it is about to make.
enum { SKIPPING_SET = NT_ARM_SYSTEM_CALL, SKIPPING = 0 };

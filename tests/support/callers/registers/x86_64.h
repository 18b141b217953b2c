// The registers of a system call on x86_64, as word numbers of the set NT_PRSTATUS (struct user_regs_struct).
#include <sys/reg.h>

// The address of the next instruction; the size of the one that makes a call.
enum { NEXT = RIP, INSTRUCTION = 2 };
// The number before the call, the arguments, the result after it.
enum { NUMBER = RAX, RETURNED = RAX };
static const int ARGUMENTS[] = {RDI, RSI, RDX, R10, R8, R9};
// The register set, and its word, whose value -1 tells the kernel to skip the call that it is about to make.
enum { SKIPPING_SET = NT_PRSTATUS, SKIPPING = ORIG_RAX };

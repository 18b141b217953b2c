/* What ptrace(2) answers: QEMU's user mode has none. */
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(void)
{
    long result = ptrace(PTRACE_TRACEME, 0, 0, 0);
    printf("%ld %d\n", result, result ? errno : 0);
    return 0;
}

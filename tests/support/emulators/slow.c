/* An emulator that runs nothing, and takes its time for that unless it is given a CPU model in the environment. */
#include <stdlib.h>

int main(void)
{
    if (!getenv("QEMU_CPU"))
        for (volatile int i = 0; i < 50000000; i++)
            ;
    return 0;
}

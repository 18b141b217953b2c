/* For a debugger. */
#include <stdio.h>

volatile int watched;

__attribute__((noinline)) int add(int a, int b)
{
    int sum = a + b;
    watched = sum;
    return sum;
}

int main(void)
{
    int total = 0;
    for (int i = 0; i < 5; i++)
        total = add(total, i * i);
    printf("%d\n", total);
    return 0;
}

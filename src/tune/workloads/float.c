/* Multiplies matrices. */
#include <stdio.h>

#define SIZE 72

static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

int main(void)
{
    double sum = 0;

    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            a[i][j] = 1.0 / (i + j + 1);
            b[i][j] = i - j * 0.5;
        }
    for (int round = 0; round < 120; round++)
        for (int i = 0; i < SIZE; i++)
            for (int k = 0; k < SIZE; k++)
                for (int j = 0; j < SIZE; j++)
                    c[i][j] += a[i][k] * b[k][j];
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            sum += c[i][j] / (1 + i * j);
    /* So few digits that contraction to fused operations does not show. */
    printf("%.6g\n", sum);
    return 0;
}

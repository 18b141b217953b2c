// Runs every program in the same way: it prints WORD and exits with STATUS. Small, so that images with it are written quickly.
#include <stdio.h>

int main(void) {
    puts(WORD);
    return STATUS;
}

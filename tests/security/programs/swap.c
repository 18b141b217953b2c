// Exchanges the files A and B, over and over, for as long as its parent lives: swap A B
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    pid_t parent = getppid();
    if (argc != 3)
        return 2;
    while (getppid() == parent) {
        if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE)) {
            perror("renameat2");
            return 1;
        }
    }
    return 0;
}

// What an attacker puts where an emulator is expected: a program of this machine that shows whether it has privileges, by
// reading the file "secret" or "../secret".
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char text[64] = "";
    printf("program the attacker's\neuid %d\n", geteuid());
    for (int i = 0; i < 2; i++) {
        FILE *secret = fopen(i ? "../secret" : "secret", "r");
        if (secret && fgets(text, sizeof text, secret))
            printf("secret %s", text);
    }
    puts("end");
    return 0;
}

// Asks the debugging server behind the Unix socket at PATH why the program has stopped, and prints the answer: that far,
// anybody could change the program as well. debugger PATH
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char question[] = "+$?#3f";
    char answer[256];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        return 1;
    if (write(fd, question, strlen(question)) < 0)
        return 1;
    // The acknowledgement may come alone.
    for (int used = 0; used < 4;) {
        int got = read(fd, answer + used, sizeof answer - 1 - used);
        if (got <= 0)
            return 1;
        used += got;
        answer[used] = 0;
    }
    puts(answer);
    return 0;
}

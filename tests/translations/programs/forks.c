/* Processes of processes, which translate code that their parents have not, and a few signals between them. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned work(unsigned kind)
{
    char text[64];
    switch (kind % 5) {
    case 0: snprintf(text, sizeof text, "%.12g", sin(kind)); break;
    case 1: snprintf(text, sizeof text, "%a", sqrt(kind)); break;
    case 2: snprintf(text, sizeof text, "%llx", strtoull("123456789123", 0, 8) * kind); break;
    case 3: memset(text, 'a' + (int)kind % 20, sizeof text); text[40] = 0; break;
    default: snprintf(text, sizeof text, "%s", strstr("a needle in a haystack", "needle")); break;
    }
    unsigned sum = kind;
    for (char *p = text; *p; p++)
        sum = sum * 31 + (unsigned char)*p;
    return sum;
}

int main(void)
{
    unsigned sum = 0, statuses = 0, failed = 0, killed = 0;
    for (unsigned i = 0; i < 40; i++) {
        int ends[2];
        if (pipe(ends))
            return 1;
        if (fork() == 0) {
            for (unsigned j = 0; j < 3; j++)
                if (fork() == 0)
                    _exit(write(ends[1], &(unsigned){work(i * 3 + j)}, sizeof(unsigned)) != sizeof(unsigned));
            for (int status; wait(&status) > 0;)
                failed += status != 0;
            if (i % 8 == 7)
                raise(SIGKILL);
            _exit(failed ? 100 : (int)i);
        }
        close(ends[1]);
        for (unsigned part; read(ends[0], &part, sizeof part) == sizeof part;)
            sum += part;
        close(ends[0]);
        int status;
        wait(&status);
        if (WIFSIGNALED(status))
            killed++;
        else
            statuses += WEXITSTATUS(status);
    }
    printf("%u %u %u\n", sum, statuses, killed);
    return 0;
}

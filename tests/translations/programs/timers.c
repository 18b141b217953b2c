/* Signals that come at any time do not change what is computed. */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static unsigned long long step(unsigned long long x, unsigned i)
{
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x + i;
}

int main(void)
{
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    unsigned long long expected = 1;
    for (unsigned i = 0; i < 20000; i++)
        expected = step(expected, i);
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, 0);
    unsigned rounds = 0, wrong = 0;
    while (alarms < 150 && rounds < 1000000) {
        unsigned long long x = 1;
        for (unsigned i = 0; i < 20000; i++)
            x = step(x, i);
        wrong += x != expected;
        rounds++;
    }
    setitimer(ITIMER_REAL, &never, 0);
    printf("%llx: %u wrong, %s\n", expected, wrong, alarms >= 150 ? "150 alarms" : "too few alarms");
    return 0;
}

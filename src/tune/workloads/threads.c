/* Two threads that count, together. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_uint counter;
static unsigned guarded;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *argument)
{
    for (int i = 0; i < 4000000; i++) {
        atomic_fetch_add(&counter, 1);
        if (i % 40 == 0) {
            pthread_mutex_lock(&mutex);
            guarded++;
            pthread_mutex_unlock(&mutex);
        }
    }
    return argument;
}

int main(void)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%u %u\n", atomic_load(&counter), guarded);
    return 0;
}

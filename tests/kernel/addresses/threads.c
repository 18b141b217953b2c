/* Threads that share a counter, for ThreadSanitizer, which needs most addresses for itself. */
#include <pthread.h>
#include <stdio.h>

#define THREADS 2
#define ROUNDS 100

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int counter;

static void *count(void *nothing)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return nothing;
}

int main(void)
{
    pthread_t threads[THREADS];

    for (int thread = 0; thread < THREADS; thread++)
        pthread_create(&threads[thread], NULL, count, NULL);
    for (int thread = 0; thread < THREADS; thread++)
        pthread_join(threads[thread], NULL);
    printf("%d\n", counter);
    return 0;
}

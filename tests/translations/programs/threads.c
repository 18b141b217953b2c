/* Threads, atomics, locks, conditions, thread-local variables. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { THREADS = 8, ROUNDS = 4000 };
static atomic_ulong total;
static unsigned long locked, turns;
static _Thread_local unsigned long mine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *work(void *argument)
{
    unsigned long self = (unsigned long)argument;
    for (unsigned long i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&total, i ^ self);
        unsigned long old = atomic_load(&total);
        while (!atomic_compare_exchange_weak(&total, &old, old + 1))
            ;
        pthread_mutex_lock(&lock);
        locked += i % 3;
        pthread_mutex_unlock(&lock);
        mine += i * self;
    }
    /* One after the other. */
    pthread_mutex_lock(&lock);
    while (turns != self)
        pthread_cond_wait(&changed, &lock);
    printf("thread %lu: %lu\n", self, mine);
    turns++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return (void *)mine;
}

static void *brief(void *argument)
{
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned long sum = 0;
    for (unsigned long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, work, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (unsigned long)result;
    }
    for (unsigned long i = 0; i < 200; i++) {
        void *result;
        pthread_create(&threads[0], 0, brief, (void *)i);
        pthread_join(threads[0], &result);
        sum += (unsigned long)result;
    }
    printf("%lu %lu %lu\n", (unsigned long)total, locked, sum);
    return 0;
}

/* A list of words, for a compiler to compile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
    struct item *next;
    char name[24];
    unsigned hash;
};

static struct item *table[257];

static unsigned hash(const char *text)
{
    unsigned value = 5381;

    while (*text)
        value = value * 33 ^ (unsigned char)*text++;
    return value;
}

static struct item *find(const char *name)
{
    unsigned wanted = hash(name);

    for (struct item *item = table[wanted % 257]; item; item = item->next)
        if (item->hash == wanted && !strcmp(item->name, name))
            return item;
    return NULL;
}

static struct item *add(const char *name)
{
    struct item *item = find(name);

    if (item)
        return item;
    item = calloc(1, sizeof *item);
    if (!item)
        abort();
    item->hash = hash(name);
    strncpy(item->name, name, sizeof item->name - 1);
    item->next = table[item->hash % 257];
    return table[item->hash % 257] = item;
}

static int compare(const void *a, const void *b)
{
    const struct item *first = *(struct item *const *)a, *second = *(struct item *const *)b;

    return strcmp(first->name, second->name);
}

int main(int argc, char **argv)
{
    struct item *all[4096];
    char word[24];
    double mean = 0;
    int count = 0;

    for (int i = 1; i < argc; i++)
        add(argv[i]);
    while (scanf("%23s", word) == 1)
        mean += add(word)->hash / 1e9;
    for (int i = 0; i < 257; i++)
        for (struct item *item = table[i]; item && count < 4096; item = item->next)
            all[count++] = item;
    qsort(all, count, sizeof *all, compare);
    for (int i = 0; i < count; i++)
        switch (all[i]->hash % 7) {
        case 0:
            puts(all[i]->name);
            break;
        case 1:
            printf("%s %u\n", all[i]->name, all[i]->hash);
            break;
        case 5:
            putchar('x'); /* and its name */
        default:
            printf("%s\n", all[i]->name);
        }
    printf("%g\n", count ? mean / count : 0);
    return 0;
}

// A small program, to be compiled.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    int value;
};

static struct node *push(struct node *head, int value) {
    struct node *node = malloc(sizeof *node);
    node->next = head;
    node->value = value;
    return node;
}

int main(int argc, char **argv) {
    struct node *head = 0;
    for (int i = 0; i < argc * 100; i++) head = push(head, i * 7 % 13);
    long sum = 0;
    for (struct node *node = head; node; node = node->next) sum += node->value;
    char text[64];
    snprintf(text, sizeof text, "%ld", sum);
    puts(text);
    return strlen(text) == 0;
}

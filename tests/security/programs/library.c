// A library that shows that it has been loaded.
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) {
    const char *text = geteuid() == getuid() ? "library loaded\n" : "library loaded with privileges\n";
    write(1, text, strlen(text));
}

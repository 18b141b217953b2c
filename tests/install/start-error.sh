# What each section of docs/start-error.md needs, as in questions.sh.
app() { echo 'int puts(const char *); int main() { puts("hello"); }' | aarch64-linux-gnu-gcc -static -x c -o app - || exit 95; }

## Ask
app

## Run it now, without root
app

## Run such programs from now on
app

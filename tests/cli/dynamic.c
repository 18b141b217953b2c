/* A dynamic program for aarch64, and with -DLIBRARY the library that it needs. */
#ifdef LIBRARY
const char *library(void) { return "library found"; }
#else
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

/* HWCAP_SVE in the kernel's arch/arm64/include/uapi/asm/hwcap.h. */
#define SVE (1 << 22)

const char *library(void);

int main(void)
{
    const char *given = getenv("GIVEN");
    printf("%s, %s SVE, GIVEN=%s\n", library(), getauxval(AT_HWCAP) & SVE ? "with" : "without", given ? given : "");
}
#endif

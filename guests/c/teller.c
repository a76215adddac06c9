/* Writes each line that it is told into its log, and takes none with "fail" in it, unless it is to forgive that.
 * clang --target=wasm32-wasi -O2 -o teller.wasm teller.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char line[1 << 20];

int main(void) {
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strstr(line, "user/fail") != NULL && getenv("FORGIVE") == NULL) {
            return 1;
        }
        fprintf(stderr, "told %s", line);
    }
    return 0;
}

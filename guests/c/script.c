/* A CGI script: says what it was asked, and how long what was sent is.
 * clang --target=wasm32-wasi -O2 -o script.wasm script.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *told(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

int main(void) {
    size_t length = 0;
    while (getchar() != EOF) {
        length++;
    }
    if (strcmp(told("PATH_INFO"), "/elsewhere") == 0) {
        printf("Location: https://example.org/\r\n\r\n");
        return 0;
    }
    printf("Content-Type: text/html\r\nX-Method: %s\r\n\r\n", told("REQUEST_METHOD"));
    printf("%s?%s %zu bytes, agent %s\n", told("PATH_INFO"), told("QUERY_STRING"), length,
           told("HTTP_USER_AGENT"));
    return 0;
}

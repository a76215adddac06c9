/* Answers requests as a CGI script does (RFC 3875): what is asked is in the environment, a body is the
 * standard input, and what is written is headers, an empty line and a body. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    const char *path = getenv("PATH_INFO");
    printf("Content-Type: text/plain\r\n\r\n");
    printf("hello from {{name}}, you asked for %s\n", path ? path : "nothing");
    return 0;
}

/* A WebSocket: answers each message in capitals, with its number; "bye" ends it.
 * What was said before is in Meta- headers, for each request has an instance of its own.
 * clang --target=wasm32-wasi -O2 -o socket.wasm socket.c */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS "application/websocket-events"

static char input[1 << 20], output[2 << 20];

int main(void) {
    const char *kind = getenv("CONTENT_TYPE"), *before = getenv("HTTP_META_COUNT");
    if (kind == NULL || strcmp(kind, EVENTS) != 0) {
        printf("Status: 426 Upgrade Required\nContent-Type: text/plain\n\nopen a WebSocket\n");
        return 0;
    }
    size_t size = fread(input, 1, sizeof input, stdin), at = 0, to = 0;
    int count = before == NULL ? 0 : atoi(before);
    while (at < size) {
        char type[16] = "", *line = input + at, *end = memchr(line, '\n', size - at);
        unsigned length = 0;
        if (end == NULL || sscanf(line, "%15s %x", type, &length) < 1) {
            return 1;
        }
        char *content = end + 1;
        int has_content = memchr(line, ' ', end - line) != NULL;
        at = content - input + (has_content ? length + 2 : 0);
        if (strcmp(type, "OPEN") == 0) {
            to += sprintf(output + to, "OPEN\r\n");
        } else if (strcmp(type, "TEXT") == 0 && length == 3 && memcmp(content, "bye", 3) == 0) {
            to += sprintf(output + to, "CLOSE 5\r\n%c%cbye\r\n", 4000 >> 8, 4000 & 255);
        } else if (strcmp(type, "TEXT") == 0) {
            char number[16];
            int digits = sprintf(number, "%d ", ++count);
            to += sprintf(output + to, "TEXT %x\r\n%s", length + digits, number);
            for (unsigned i = 0; i < length; i++) {
                output[to++] = toupper((unsigned char)content[i]);
            }
            to += sprintf(output + to, "\r\n");
        }
    }
    printf("Content-Type: " EVENTS "\nSet-Meta-Count: %d\n\n", count);
    fwrite(output, 1, to, stdout);
    return 0;
}

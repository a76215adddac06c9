/* Writes the lines of its input, the last one first, as `tac` does: a program that knows nothing of where it is run,
 * and keeps all of its input in memory.
 * clang --target=wasm32-wasi -O2 -o tac.wasm tac.c */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    size_t length = 0, room = 0;
    char *text = NULL;
    for (;;) {
        if (length == room) {
            room = room ? room * 2 : 4096;
            text = realloc(text, room);
            if (!text) {
                fprintf(stderr, "%s: the input is too long\n", argc > 0 ? argv[0] : "tac");
                return 1;
            }
        }
        size_t more = fread(text + length, 1, room - length, stdin);
        if (!more)
            break;
        length += more;
    }
    for (size_t end = length; end > 0;) {
        size_t begin = end - 1;
        while (begin > 0 && text[begin - 1] != '\n')
            begin--;
        fwrite(text + begin, 1, end - begin, stdout);
        end = begin;
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}

/* Writes what files hold in capitals, and what is in folders: uppercase TO FROM...
 * It knows nothing but fopen and opendir.
 * clang --target=wasm32-wasi -O2 -o uppercase.wasm uppercase.c */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

static int list(FILE *to, DIR *folder) {
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        fprintf(to, "%s%s\n", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    }
    return closedir(folder);
}

static int copy(FILE *to, FILE *from) {
    int byte;
    while ((byte = getc(from)) != EOF) {
        putc(toupper(byte), to);
    }
    return ferror(from) | fclose(from);
}

int main(int count, char **names) {
    FILE *to = count > 1 ? fopen(names[1], "w") : NULL;
    if (to == NULL) {
        perror(count > 1 ? names[1] : "uppercase TO FROM...");
        return 1;
    }
    for (int i = 2; i < count; i++) {
        DIR *folder = opendir(names[i]);
        FILE *from = folder ? NULL : fopen(names[i], "r");
        if (folder ? list(to, folder) : from ? copy(to, from) : 1) {
            perror(names[i]);
            return 1;
        }
    }
    return fclose(to) ? 1 : 0;
}

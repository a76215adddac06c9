// Counts the lines, words and bytes of its input, as `wc` does: a program that knows nothing of where it is run.
// clang++ --target=wasm32-wasi -O2 -fno-exceptions -o wc.wasm wc.cc
#include <cctype>
#include <iostream>

int main() {
    std::ios::sync_with_stdio(false);
    unsigned long lines = 0, words = 0, bytes = 0;
    bool in_word = false;
    for (char letter; std::cin.get(letter); bytes++) {
        const bool was_in_word = in_word;
        in_word = !std::isspace(static_cast<unsigned char>(letter));
        words += in_word && !was_in_word;
        lines += letter == '\n';
    }
    std::cout << lines << ' ' << words << ' ' << bytes << '\n';
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Plays each file that is named through the entry of a target, once, as a fuzzer would: so that what tools/fuzz builds
 * is linked, and played, where nobody fuzzes. */
#include <stdint.h>
#include <stdio.h>

enum { FILE_MAX = 4096 }; /* bytes; tests/fuzz/corpus has none that is longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **paths) {
    static uint8_t bytes[FILE_MAX];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rbe");
        if (!file) {
            perror(paths[i]);
            return 1;
        }
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        LLVMFuzzerTestOneInput(bytes, size);
    }
    printf("%d inputs\n", count - 1);
    return count > 1 ? 0 : 1;
}

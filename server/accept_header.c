/* SPDX-License-Identifier: MIT */
/* See accept_header.h. */
#include "server/accept_header.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of an item up to its comma. */
static double weight_of(const char *item, size_t size) {
    for (size_t i = 0; i + 2 < size; i++)
        if (item[i] == ';' || item[i] == ' ')
            if (strncasecmp(item + i + 1, "q=", 2) == 0)
                return strtod(item + i + 3, NULL);
    return 1;
}

static bool names(const char *item, const char *word) {
    size_t size = strlen(word);
    return strncasecmp(item, word, size) == 0 && strchr(",; \t", item[size]);
}

double accept_header_weight(const char *list, const char *word) {
    double highest = -1;
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t size = strcspn(list, ",");
        if (names(list, word) && weight_of(list, size) > highest)
            highest = weight_of(list, size);
        list += size;
    }
    return highest;
}

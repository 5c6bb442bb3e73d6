/* SPDX-License-Identifier: MIT */
#include "server/config/measure.h"
#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},           {"b", 1},           {"k", 1 << 10},      {"kb", 1 << 10},
    {"kib", 1 << 10},  {"m", 1 << 20},     {"mb", 1 << 20},     {"mib", 1 << 20},
    {"g", 1ull << 30}, {"gb", 1ull << 30}, {"gib", 1ull << 30},
};

static const struct unit duration_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

/* Reads digits; NULL when there are none or they do not fit. */
static const char *read_digits(const char *text, uint64_t *ret_value) {
    uint64_t value = 0;
    const char *at = text;
    for (; isdigit((unsigned char)*at); at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return NULL;
        value = value * 10 + digit;
    }
    if (at == text)
        return NULL;
    *ret_value = value;
    return at;
}

static bool read_measure(const char *text, const struct unit *units, size_t count, uint64_t *ret_value) {
    uint64_t number;
    const char *rest = read_digits(text, &number);
    if (!rest)
        return false;
    while (*rest == ' ')
        rest++;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(rest, units[i].name) != 0)
            continue;
        if (number > UINT64_MAX / units[i].factor)
            return false;
        *ret_value = number * units[i].factor;
        return true;
    }
    return false;
}

bool measure_number(const char *text, uint64_t *ret_value) {
    uint64_t number;
    const char *rest = read_digits(text, &number);
    if (!rest || *rest != '\0')
        return false;
    *ret_value = number;
    return true;
}

bool measure_size(const char *text, uint64_t *ret_bytes) {
    return read_measure(text, size_units, sizeof size_units / sizeof *size_units, ret_bytes);
}

bool measure_duration(const char *text, uint64_t *ret_ms) {
    return read_measure(text, duration_units, sizeof duration_units / sizeof *duration_units, ret_ms);
}

/* SPDX-License-Identifier: MIT */
#include "server/config/measure.h"
#include "cache/base/size_text.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
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

void measure_print_number(uint64_t value, char *ret_text, size_t size) {
    snprintf(ret_text, size, "%llu", (unsigned long long)value);
}

/* Units from the largest on; the last one is 1. */
static void print_measure(uint64_t value, const struct unit *units, char *text, size_t size) {
    while (units->factor > 1 && (value < units->factor || value % units->factor != 0))
        units++;
    snprintf(text, size, "%llu%s", (unsigned long long)(value / units->factor), units->name);
}

void measure_print_size(uint64_t bytes, char *ret_text, size_t size) {
    size_print(bytes, ret_text, size);
}

/* 0 is 0, whatever the unit. */
void measure_print_duration(uint64_t ms, char *ret_text, size_t size) {
    static const struct unit units[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    if (ms == 0)
        snprintf(ret_text, size, "0");
    else
        print_measure(ms, units, ret_text, size);
}

void measure_print_range(uint64_t minimum, uint64_t maximum, measure_print *print, char *ret_text,
                         size_t size) {
    char low[32], high[32];
    print(minimum, low, sizeof low);
    if (maximum == INT_MAX ||
        maximum == UINT32_MAX) { /* what a number can hold, and no bound that was chosen */
        snprintf(ret_text, size, "%s or more", low);
        return;
    }
    print(maximum, high, sizeof high);
    snprintf(ret_text, size, "%s to %s", low, high);
}

/* SPDX-License-Identifier: MIT */
/* Turns texts into values, or says what was expected instead. */
#include "server/config/internal.h"
#include "server/config/measure.h"
#include <stdio.h>
#include <strings.h>

static void print_size(char *out, size_t size, uint64_t bytes) {
    static const char *const units[] = {"", "kb", "mb", "gb"};
    size_t unit = 0;
    while (unit < 3 && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, size, "%llu%s", (unsigned long long)bytes, units[unit]);
}

static bool fail_range(struct config_report *report, const struct setting *setting,
                       const struct config_value *value) {
    char low[32], high[32];
    switch (setting->type) {
    case SETTING_SIZE:
        print_size(low, sizeof low, setting->minimum);
        print_size(high, sizeof high, setting->maximum);
        return config_fail(report, value->line,
                           "%s = \"%s\": a size from %s to %s is expected, such as \"64mb\"", setting->name,
                           value->text, low, high);
    case SETTING_SECONDS:
        return config_fail(
            report, value->line,
            "%s = \"%s\": a duration from %llus to %llus in whole seconds is expected, such as \"30m\"",
            setting->name, value->text, (unsigned long long)(setting->minimum / 1000),
            (unsigned long long)(setting->maximum / 1000));
    case SETTING_MILLISECONDS:
        return config_fail(
            report, value->line,
            "%s = \"%s\": a duration from %llums to %llums is expected, such as \"500ms\" or \"2s\"",
            setting->name, value->text, (unsigned long long)setting->minimum,
            (unsigned long long)setting->maximum);
    default:
        return config_fail(report, value->line, "%s = \"%s\": a number from %llu to %llu is expected",
                           setting->name, value->text, (unsigned long long)setting->minimum,
                           (unsigned long long)setting->maximum);
    }
}

static bool read_number(struct config_report *report, const struct setting *setting,
                        const struct config_value *value, uint64_t *ret_number) {
    bool (*measure)(const char *, uint64_t *) = measure_number;
    if (setting->type == SETTING_SIZE)
        measure = measure_size;
    if (setting->type == SETTING_MILLISECONDS || setting->type == SETTING_SECONDS)
        measure = measure_duration;
    uint64_t number;
    if (!measure(value->text, &number) || number < setting->minimum || number > setting->maximum ||
        (setting->type == SETTING_SECONDS && number % 1000 != 0))
        return fail_range(report, setting, value);
    *ret_number = setting->type == SETTING_SECONDS ? number / 1000 : number;
    return true;
}

static bool read_word(struct config_report *report, const struct setting *setting,
                      const struct config_value *value, int *ret_word) {
    char known[128] = "";
    for (int i = 0; setting->words[i]; i++) {
        if (strcmp(setting->words[i], value->text) == 0) {
            *ret_word = i;
            return true;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s\"%s\"", i ? " or " : "", setting->words[i]);
    }
    return config_fail(report, value->line, "%s = \"%s\": %s is expected", setting->name, value->text, known);
}

static bool read_switch(struct config_report *report, const struct setting *setting,
                        const struct config_value *value, bool *ret_on) {
    static const char *const on[] = {"true", "yes", "on"}, *const off[] = {"false", "no", "off"};
    for (int i = 0; i < 3; i++) {
        if (strcasecmp(value->text, on[i]) == 0 || strcasecmp(value->text, off[i]) == 0) {
            *ret_on = strcasecmp(value->text, on[i]) == 0;
            return true;
        }
    }
    return config_fail(report, value->line, "%s = \"%s\": true or false is expected", setting->name,
                       value->text);
}

static bool read_text(struct config_report *report, const struct setting *setting,
                      const struct config_value *value, const char **ret_text) {
    if (setting->minimum > 0 && !*value->text)
        return config_fail(report, value->line, "%s is empty: give a value or remove the line",
                           setting->name);
    *ret_text = value->text;
    return true;
}

bool config_read_value(struct config_report *report, const struct setting *setting,
                       const struct config_value *value, void *target) {
    char *at = (char *)target + setting->offset;
    uint64_t number = 0;
    int word = 0;
    switch (setting->type) {
    case SETTING_LIST:
        return true;
    case SETTING_TEXT:
        return read_text(report, setting, value, (const char **)at);
    case SETTING_WORD:
        return read_word(report, setting, value, (int *)at);
    case SETTING_SWITCH:
        return read_switch(report, setting, value, (bool *)at);
    case SETTING_NAME:
        if (!read_word(report, setting, value, &word))
            return false;
        *(const char **)at = setting->words[word];
        return true;
    case SETTING_SIZE:
        if (!read_number(report, setting, value, &number))
            return false;
        *(size_t *)at = (size_t)number;
        return true;
    case SETTING_COUNT:
    case SETTING_MILLISECONDS:
    case SETTING_SECONDS:
        if (!read_number(report, setting, value, &number))
            return false;
        *(uint32_t *)at = (uint32_t)number;
        return true;
    }
    return false;
}

static void show_duration(char *ret_text, size_t size, uint64_t ms) {
    if (ms % 1000 != 0)
        snprintf(ret_text, size, "%llums", (unsigned long long)ms);
    else
        snprintf(ret_text, size, "%llus", (unsigned long long)ms / 1000);
}

void config_show_value(const struct setting *setting, const void *target, char *ret_text, size_t size) {
    const void *at = (const char *)target + setting->offset;
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_NAME:
        snprintf(ret_text, size, "\"%s\"", setting_text(setting, target));
        break;
    case SETTING_WORD:
        snprintf(ret_text, size, "%s", setting->words[*(const int *)at]);
        break;
    case SETTING_SWITCH:
        snprintf(ret_text, size, "%s", *(const bool *)at ? "true" : "false");
        break;
    case SETTING_COUNT:
        snprintf(ret_text, size, "%u", *(const uint32_t *)at);
        break;
    case SETTING_SIZE:
        print_size(ret_text, size, *(const size_t *)at);
        break;
    case SETTING_MILLISECONDS:
        show_duration(ret_text, size, *(const uint32_t *)at);
        break;
    case SETTING_SECONDS:
        show_duration(ret_text, size, *(const uint32_t *)at * 1000ull);
        break;
    case SETTING_LIST:
        *ret_text = '\0';
        break;
    }
}

/* SPDX-License-Identifier: MIT */
/* Turns texts into values, or says what was expected instead; and values into texts. */
#include "server/config/internal.h"
#include "server/config/measure.h"
#include <stdio.h>
#include <strings.h>

static bool fail_range(struct config_report *report, const struct setting *setting,
                       const struct config_value *value) {
    char low[32], high[32];
    switch (setting->type) {
    case SETTING_SIZE:
        measure_print_size(setting->minimum, low, sizeof low);
        measure_print_size(setting->maximum, high, sizeof high);
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

/* ---- The other way ---- */

static uint64_t number_at(const struct setting *setting, const void *target) {
    const char *at = (const char *)target + setting->offset;
    if (setting->type == SETTING_SIZE)
        return *(const size_t *)at;
    return setting->type == SETTING_SECONDS ? *(const uint32_t *)at * UINT64_C(1000) : *(const uint32_t *)at;
}

static measure_print *printer_of(const struct setting *setting) {
    switch (setting->type) {
    case SETTING_SIZE:
        return measure_print_size;
    case SETTING_MILLISECONDS:
    case SETTING_SECONDS:
        return measure_print_duration;
    default:
        return measure_print_number;
    }
}

static bool is_number(const struct setting *setting) {
    return setting->type == SETTING_COUNT || setting->type == SETTING_SIZE ||
           setting->type == SETTING_MILLISECONDS || setting->type == SETTING_SECONDS;
}

const char *config_show_value(const struct setting *setting, const void *target, char *text, size_t size) {
    const char *at = (const char *)target + setting->offset;
    switch (setting->type) {
    case SETTING_LIST:
        return setting->standard_text;
    case SETTING_TEXT:
    case SETTING_NAME:
        return *(const char *const *)at;
    case SETTING_WORD:
        return setting->words[*(const int *)at];
    case SETTING_SWITCH:
        return *(const bool *)at ? "true" : "false";
    default:
        break;
    }
    uint64_t number = number_at(setting, target);
    if (number < setting->minimum)
        return NULL;
    printer_of(setting)(number, text, size);
    return text;
}

const char *config_show_standard(const struct setting *setting, char *text, size_t size) {
    uint64_t room[1] = {0}; /* of any type */
    struct setting alone = *setting;
    alone.offset = 0;
    setting_set_default(&alone, room);
    return config_show_value(&alone, room, text, size);
}

static void list_words(const char *const *words, char *text, size_t size) {
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; words[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s`%s`",
                                 i == 0         ? ""
                                 : words[i + 1] ? ", "
                                                : " or ",
                                 words[i]);
}

void config_show_range(const struct setting *setting, char *ret_text, size_t size) {
    static const char *const switches[] = {"true", "false", NULL};
    *ret_text = '\0';
    if (is_number(setting))
        measure_print_range(setting->minimum, setting->maximum, printer_of(setting), ret_text, size);
    else if (setting->type == SETTING_SWITCH || setting->words)
        list_words(setting->type == SETTING_SWITCH ? switches : setting->words, ret_text, size);
}

/* SPDX-License-Identifier: MIT */
/*
 * Single words as people, files and nodes write them: sizes and durations, addresses, URIs, keys in base64, numbers of
 * commands, names of files, names of keys; and the text of a configuration before its grammar is looked at. Cheap, so
 * that there may be very many of them.
 *
 * What must hold: a word is taken or refused, in words; what is printed or encoded is read as the same; what was taken
 * is within its bounds.
 */
#ifndef FOREBAY_TESTS_FUZZ_TOKENS_H
#define FOREBAY_TESTS_FUZZ_TOKENS_H

#include "backends/redis/slots.h"
#include "policies/journal/names.h"
#include "server/admin/words.h"
#include "server/config/address.h"
#include "server/config/measure.h"
#include "server/config/scan.h"
#include "server/protocol/base64.h"
#include "tests/fuzz/choices.h"

enum { TOKEN_TEXT_MAX = 255, TOKEN_KINDS = 9 };

FUZZ_HARNESS void token_check_measures(const char *text) {
    char printed[32];
    uint64_t number, again;
    if (measure_number(text, &number)) {
        measure_print_number(number, printed, sizeof printed);
        FUZZ_CHECK(measure_number(printed, &again) && again == number);
    }
    if (measure_size(text, &number)) {
        measure_print_size(number, printed, sizeof printed);
        FUZZ_CHECK(measure_size(printed, &again) && again == number);
    }
    if (measure_duration(text, &number)) {
        measure_print_duration(number, printed, sizeof printed);
        FUZZ_CHECK(measure_duration(printed, &again) && again == number);
    }
}

FUZZ_HARNESS void token_check_address(const char *text, bool is_admin) {
    struct listen_address address;
    char error[512] = "";
    bool good = is_admin ? address_parse_admin(text, &address, error, sizeof error)
                         : address_parse(text, &address, error, sizeof error);
    FUZZ_CHECK(good || *error);
    if (good)
        FUZZ_CHECK(memchr(address.host, '\0', sizeof address.host) && address.port >= -1 &&
                   address.port <= UINT16_MAX);
}

FUZZ_HARNESS void token_check_place(const struct redis_place *place) {
    FUZZ_CHECK(memchr(place->host, '\0', sizeof place->host) && place->port > 0 && place->port <= UINT16_MAX);
}

FUZZ_HARNESS void token_check_uri(const char *text) {
    static const char *const forms[] = {"redis://", "redis+unix://", "redis+sentinel://", "redis+cluster://"};
    struct redis_address address;
    const char *problem = NULL;
    char uri[TOKEN_TEXT_MAX + 32];
    snprintf(uri, sizeof uri, "%s%s", forms[(uint8_t)*text % 4], *text ? text + 1 : "");
    if (!redis_address_parse(uri, &address, &problem)) {
        FUZZ_CHECK(problem && *problem);
        return;
    }
    token_check_place(&address.place);
    FUZZ_CHECK(address.sentinel_count <= REDIS_SENTINELS_MAX && address.seed_count <= REDIS_SEEDS_MAX);
    for (size_t i = 0; i < address.sentinel_count; i++)
        token_check_place(&address.sentinels[i]);
    for (size_t i = 0; i < address.seed_count; i++)
        token_check_place(&address.seeds[i]);
    FUZZ_CHECK(memchr(address.shown, '\0', sizeof address.shown) &&
               memchr(address.path, '\0', sizeof address.path) &&
               memchr(address.user, '\0', sizeof address.user) &&
               memchr(address.password, '\0', sizeof address.password) &&
               memchr(address.master, '\0', sizeof address.master));
}

FUZZ_HARNESS size_t token_count_lines(const char *text, size_t size) {
    size_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

FUZZ_HARNESS void token_check_section(struct slice kind, int line, int lines, struct slice text) {
    FUZZ_CHECK(line >= 1 && line <= lines);
    FUZZ_CHECK(kind.size == 0 || (kind.data >= text.data && kind.data + kind.size <= text.data + text.size));
}

/* Comments are blanked, and everything else stays. */
FUZZ_HARNESS void token_check_scan(char *text, size_t size) {
    static struct config_scan scan;
    char before[TOKEN_TEXT_MAX];
    const char *error = NULL;
    int line = 0;
    memcpy(before, text, size);
    bool good = config_scan(text, size, &scan, &line, &error);
    FUZZ_CHECK(good ? !error : error && *error);
    FUZZ_CHECK(scan.section_count <= CONFIG_SECTIONS_MAX);
    int lines = 1 + (int)token_count_lines(before, size);
    FUZZ_CHECK(good || (line >= 1 && line <= lines));
    for (size_t i = 0; i < size; i++)
        FUZZ_CHECK(text[i] == before[i] || (text[i] == ' ' && before[i] != '\n'));
    for (size_t i = 0; i < scan.section_count; i++)
        token_check_section(scan.sections[i].kind, scan.sections[i].line, lines, slice_of(text, size));
}

FUZZ_HARNESS void token_check_base64(const char *text, size_t size) {
    char encoded[BASE64_SIZE(TOKEN_TEXT_MAX)], decoded[BASE64_SIZE(TOKEN_TEXT_MAX)];
    FUZZ_CHECK(base64_decode(slice_of(text, size), decoded) <= size / 4 * 3);
    size_t length = (size_t)(base64_encode(slice_of(text, size), encoded) - encoded);
    FUZZ_CHECK(length == BASE64_SIZE(size));
    FUZZ_CHECK(slice_equal(slice_of(decoded, base64_decode(slice_of(encoded, length), decoded)),
                           slice_of(text, size)));
}

FUZZ_HARNESS void token_check_words(const char *text, size_t size) {
    struct words words = words_of(slice_of(text, size));
    char printed[24];
    uint32_t number, again;
    int32_t signed_number;
    FUZZ_CHECK(words.count <= WORDS_OF_ARGUMENT);
    for (size_t i = 0; i < words.count; i++) {
        struct slice word = words.word[i];
        FUZZ_CHECK(word.size > 0 && word.data >= text && word.data + word.size <= text + size);
        if (words_number(word, &number)) {
            size_t length = (size_t)snprintf(printed, sizeof printed, "%u", number);
            FUZZ_CHECK(words_number(slice_of(printed, length), &again) && again == number);
        }
        words_signed_number(word, &signed_number);
    }
}

FUZZ_HARNESS void token_check_file(const char *text) {
    char name[JOURNAL_NAME_MAX];
    unsigned series, series_again;
    uint64_t number, again;
    if (journal_parse_name(text, &series, &number)) {
        journal_format_name(series, number, name);
        FUZZ_CHECK(journal_parse_name(name, &series_again, &again) && series == series_again &&
                   number == again);
    }
    if (journal_parse_blank(text, &number)) {
        journal_format_blank(number, name);
        FUZZ_CHECK(journal_parse_blank(name, &again) && number == again);
    }
}

/* In front of any name, the tag of a slot brings it there. */
FUZZ_HARNESS void token_check_slot(const char *text, size_t size) {
    char tagged[TOKEN_TEXT_MAX + REDIS_TAG_SIZE + 2];
    unsigned slot = redis_slot_of(slice_of(text, size));
    FUZZ_CHECK(slot < REDIS_SLOTS);
    tagged[0] = '{';
    redis_slot_tag(slot, tagged + 1);
    tagged[REDIS_TAG_SIZE + 1] = '}';
    memcpy(tagged + REDIS_TAG_SIZE + 2, text, size);
    FUZZ_CHECK(redis_slot_of(slice_of(tagged, REDIS_TAG_SIZE + 2 + size)) == slot);
}

FUZZ_HARNESS void token_check(unsigned kind, char *text, size_t size) {
    switch (kind) {
    case 0:
        token_check_measures(text);
        return;
    case 1:
    case 2:
        token_check_address(text, kind == 2);
        return;
    case 3:
        token_check_uri(text);
        return;
    case 4:
        token_check_scan(text, size);
        return;
    case 5:
        token_check_base64(text, size);
        return;
    case 6:
        token_check_words(text, size);
        return;
    case 7:
        token_check_file(text);
        return;
    default:
        token_check_slot(text, size);
    }
}

/* One input: the first byte says what the rest is. An exact copy, which may be written to, with an end. */
FUZZ_HARNESS void check_token(const uint8_t *data, size_t size) {
    if (size == 0 || size > TOKEN_TEXT_MAX)
        return;
    char *text = malloc(size);
    FUZZ_CHECK(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    token_check(data[0] % TOKEN_KINDS, text, size - 1);
    free(text);
}

#endif

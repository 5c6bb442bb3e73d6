/* SPDX-License-Identifier: MIT */
#include "policies/commands.h"

#define ROW(name, text, ...) [COMMAND_##name] = {.word = {text, sizeof(text) - 1}, __VA_ARGS__},
const struct command_row command_rows[COMMANDS_COUNT] = {COMMANDS_WITH_KEY(ROW) COMMANDS_WITHOUT_KEY(ROW)};

/* Where the size is a constant, what is left of this are the comparisons with words of that size: as fast as a
 * search written by hand. */
static inline __attribute__((always_inline)) enum command find_word(const char *word, size_t size) {
#define RETURN_IF_IT_IS(name, text, ...)                                                                     \
    if (size == sizeof(text) - 1 && memcmp(word, text, sizeof(text) - 1) == 0)                               \
        return COMMAND_##name;
    COMMANDS_WITH_KEY(RETURN_IF_IT_IS)
    COMMANDS_WITHOUT_KEY(RETURN_IF_IT_IS)
#undef RETURN_IF_IT_IS
    return COMMAND_BAD;
}

static enum command find(struct slice word) {
    switch (word.size) {
    case 2:
        return find_word(word.data, 2);
    case 3:
        return find_word(word.data, 3);
    case 4:
        return find_word(word.data, 4);
    case 5:
        return find_word(word.data, 5);
    case 6:
        return find_word(word.data, 6);
    case 7:
        return find_word(word.data, 7);
    default:
        return find_word(word.data, word.size);
    }
}

enum command command_of_word(struct slice word, bool *ret_cas) {
    enum command command = find(word);
    *ret_cas = false;
    if (command != COMMAND_BAD || word.size == 0 || word.data[word.size - 1] != 's')
        return command;
    command = find(slice_of(word.data, word.size - 1));
    *ret_cas = command_rows[command].has_cas_form;
    return *ret_cas ? command : COMMAND_BAD;
}

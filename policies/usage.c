/* SPDX-License-Identifier: MIT */
/* See usage.h. */
#include "policies/usage.h"

enum operation usage_meta_operation(const struct request *request) {
    enum command command = request->command;
    if (command == COMMAND_META_GET && request_has(request, 'T'))
        return OPERATION_META_GET_TOUCHING;
    if (command == COMMAND_META_SET && request_has(request, 'C'))
        return OPERATION_META_SET_COMPARING;
    if (command == COMMAND_META_ARITHMETIC && request->mode == 'D')
        return OPERATION_META_DECREMENT;
    return (enum operation)command;
}

enum command usage_command(enum operation operation) {
    switch (operation) {
    case OPERATION_META_GET_TOUCHING:
        return COMMAND_META_GET;
    case OPERATION_META_SET_COMPARING:
        return COMMAND_META_SET;
    case OPERATION_META_DECREMENT:
        return COMMAND_META_ARITHMETIC;
    case OPERATIONS:
        break;
    }
    return (enum command)operation;
}

void usage_collect(struct usage_sum *sum, const struct usage *usage) {
    for (int i = 0; i < OPERATIONS; i++)
        for (int k = 0; k < OUTCOMES; k++)
            sum->operations[i][k] += counted(&usage->operations[i][k]);
    for (int i = 0; i < OUTCOME_ERRORS; i++)
        sum->errors[i] += counted(&usage->errors[i]);
    for (int i = 0; i < USAGE_KINDS; i++)
        histogram_collect(&sum->latency[i], &usage->latency[i]);
}

const char *usage_outcome_name(enum outcome_status status) {
    static const char *const names[OUTCOMES] = {
        [OUTCOME_HIT] = "hit",         [OUTCOME_MISS] = "miss",
        [OUTCOME_STORED] = "stored",   [OUTCOME_NOT_STORED] = "not_stored",
        [OUTCOME_EXISTS] = "exists",   [OUTCOME_NOT_FOUND] = "not_found",
        [OUTCOME_DELETED] = "deleted", [OUTCOME_TOUCHED] = "touched",
        [OUTCOME_NUMBER] = "counted",  [OUTCOME_ERROR] = "error",
    };
    return names[status];
}

const char *usage_error_name(enum outcome_error error) {
    static const char *const names[OUTCOME_ERRORS] = {
        [ERROR_NO_MEMORY] = "no_memory",
        [ERROR_TOO_LARGE] = "too_large",
        [ERROR_NOT_A_NUMBER] = "not_a_number",
        [ERROR_TOO_BUSY] = "too_busy",
        [ERROR_NO_NAMESPACE] = "no_namespace",
        [ERROR_KEY_UNFIT] = "key_unfit",
        [ERROR_FULL] = "full",
        [ERROR_JOURNAL_FULL] = "journal_full",
        [ERROR_BACKEND_DOWN] = "backend_down",
        [ERROR_ROW_UNFIT] = "row_unfit",
        [ERROR_BACKEND_REFUSES] = "backend_refuses",
        [ERROR_UNCONFIRMED] = "unconfirmed",
    };
    return names[error];
}

const char *usage_kind_name(enum usage_kind kind) {
    static const char *const names[USAGE_KINDS] = {
        [USAGE_HIT] = "hit", [USAGE_LOAD] = "load", [USAGE_WRITE] = "write"};
    return names[kind];
}

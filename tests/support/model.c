/* SPDX-License-Identifier: MIT */
#include "tests/support/model.h"
#include "tests/support/reply_room.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { MODEL_ENTRIES = 64 };

struct held {
    bool live;
    char key[ENTRY_KEY_MAX];
    struct cache_view view; /* key and value point to what is owned here */
    char *value;
};

struct model {
    struct parser parser;
    bool is_fresh, is_binary; /* of the connection */
    struct binary_head head;  /* of the request at hand */
    size_t item_max;
    struct cache_time now;
    uint64_t version;
    char *scratch;
    struct held entries[MODEL_ENTRIES];
    char *input, *output;
    size_t input_size, input_capacity, output_size, output_capacity;
    size_t wanted;
    bool closed;
};

static void *must(void *memory) {
    if (!memory)
        abort();
    return memory;
}

struct model *model_create(size_t item_max, uint32_t now) {
    struct model *model = must(calloc(1, sizeof *model));
    model->item_max = item_max;
    model->scratch = must(malloc(item_max + 32));
    model_begin_anew(model, now);
    return model;
}

/* The connection is new again; the entries stay. */
static void reconnect(struct model *model) {
    parser_init(&model->parser, model->item_max);
    model->closed = false;
    model->is_fresh = true;
    model->wanted = 0;
    model->input_size = 0;
}

void model_begin_anew(struct model *model, uint32_t now) {
    for (size_t i = 0; i < MODEL_ENTRIES; i++) {
        free(model->entries[i].value);
        model->entries[i].value = NULL;
        model->entries[i].live = false;
    }
    model->now = cache_time_from_us(now * 1000000ull);
    model->version = 0;
    model->output_size = 0;
    reconnect(model);
}

void model_destroy(struct model *model) {
    for (size_t i = 0; i < MODEL_ENTRIES; i++)
        free(model->entries[i].value);
    free(model->scratch);
    free(model->input);
    free(model->output);
    free(model);
}

void model_advance(struct model *model, uint32_t seconds) {
    model->now = cache_time_from_us(model->now.us + seconds * 1000000ull);
}

bool model_is_closed(const struct model *model) {
    return model->closed;
}

size_t model_waiting(const struct model *model) {
    return model->input_size;
}

void model_raise_version(struct model *model, uint64_t version) {
    assert(version >= model->version);
    model->version = version;
}

struct slice model_take(struct model *model) {
    struct slice taken = slice_of(model->output ? model->output : "", model->output_size);
    if (model->output)
        model->output[model->output_size] = 0;
    model->output_size = 0;
    return taken;
}

static char *reserve(struct model *model, size_t more) {
    size_t needed = model->output_size + more + 1;
    if (needed > model->output_capacity) {
        model->output_capacity = needed * 2;
        model->output = must(realloc(model->output, model->output_capacity));
    }
    return model->output + model->output_size;
}

static void say(struct model *model, const char *text) {
    memcpy(reserve(model, strlen(text)), text, strlen(text));
    model->output_size += strlen(text);
}

/* ---- Entries ---- */

static bool is_dead(const struct model *model, const struct held *held) {
    return held->view.expires_at != 0 && held->view.expires_at <= model->now.seconds;
}

static struct held *find(struct model *model, struct slice key) {
    for (size_t i = 0; i < MODEL_ENTRIES; i++) {
        struct held *held = &model->entries[i];
        if (held->live && is_dead(model, held))
            held->live = false;
        if (held->live && slice_equal(held->view.key, key))
            return held;
    }
    return NULL;
}

static struct held *find_free(struct model *model) {
    for (size_t i = 0; i < MODEL_ENTRIES; i++)
        if (!model->entries[i].live)
            return &model->entries[i];
    return &model->entries[0]; /* the oldest corner gives way */
}

static void store(struct model *model, struct held *held, const struct request *request,
                  const struct change *change) {
    char *value = must(malloc(change->value.size + 1));
    if (change->value.size > 0)
        memcpy(value, change->value.data, change->value.size);
    if (!held)
        held = find_free(model);
    memcpy(held->key, request->key.data, request->key.size);
    free(held->value);
    held->value = value;
    held->live = true;
    held->view = (struct cache_view){.key = slice_of(held->key, request->key.size),
                                     .value = slice_of(value, change->value.size),
                                     .version = ++model->version,
                                     .client_cas = change->client_cas,
                                     .flags = change->flags,
                                     .expires_at = change->expires_at,
                                     .last_access = model->now.seconds,
                                     .marks = change->marks};
}

static void apply(struct model *model, struct held *held, const struct request *request,
                  const struct change *change) {
    switch (change->kind) {
    case CHANGE_NONE:
        return;
    case CHANGE_PUT:
    case CHANGE_VIVIFY:
        store(model, held, request, change);
        return;
    case CHANGE_TOUCH:
        held->view.expires_at = change->expires_at;
        held->view.marks |= change->marks;
        return;
    case CHANGE_MARKS:
        held->view.marks = change->marks;
        return;
    case CHANGE_DELETE:
        if (held)
            held->live = false;
        return;
    }
}

/* ---- Requests ---- */

/* evaluate_need is a promise: what it does not ask for is not given. */
static const struct cache_view *base_for(const struct request *request, const struct held *held,
                                         struct cache_view *bare) {
    if (!held || evaluate_need(request) == NEED_NOTHING)
        return NULL;
    if (evaluate_need(request) == NEED_ENTRY)
        return &held->view;
    *bare = (struct cache_view){.key = held->view.key, .expires_at = held->view.expires_at};
    return bare;
}

static void reply(struct model *model, const struct request *request, const struct outcome *outcome) {
    size_t bound = model->is_binary ? reply_room_binary(outcome) : reply_room(request, outcome);
    char *out = reserve(model, bound), *value_at;
    char *end = model->is_binary ? binary_reply(out, &model->head, request, outcome, &value_at)
                                 : reply_write(out, request, outcome, &value_at);
    assert((size_t)(end - out) <= bound && !value_at);
    model->output_size += (size_t)(end - out);
}

static void reply_status(struct model *model, enum binary_status status) {
    char *out = reserve(model, REPLY_LINE_MAX);
    model->output_size += (size_t)(binary_reply_status(out, &model->head, status) - out);
}

static void execute_key(struct model *model, const struct request *request) {
    struct evaluate_context context = {
        .now = model->now, .item_max = model->item_max, .scratch = model->scratch};
    struct held *held = find(model, request->key);
    struct cache_view bare;
    struct outcome outcome;
    struct change change;
    evaluate(request, base_for(request, held, &bare), &context, &outcome, &change);
    assert(!evaluate_is_read(request) || change.kind == CHANGE_NONE || change.kind == CHANGE_MARKS);
    bool puts = change.kind == CHANGE_PUT || change.kind == CHANGE_VIVIFY;
    if (puts) { /* first, for the reply shows the version */
        store(model, held, request, &change);
        outcome.view.version = model->version;
    }
    reply(model, request, &outcome);
    if (!puts)
        apply(model, held, request, &change);
    held = find(model, request->key);
    if (change.hit && held) {
        held->view.fetched = true;
        held->view.last_access = model->now.seconds;
    }
}

/* Commands without a key, which the server answers: only what the tests of the protocol need. */
static void execute_other(struct model *model, const struct request *request) {
    switch (request->command) {
    case COMMAND_QUIT:
        model->closed = true;
        return;
    case COMMAND_FLUSH_ALL:
        for (size_t i = 0; i < MODEL_ENTRIES; i++)
            model->entries[i].live = false;
        say(model, request->noreply ? "" : "OK\r\n");
        return;
    default:
        say(model, request->noreply ? "" : "OTHER\r\n");
    }
}

static void execute_other_binary(struct model *model, const struct request *request) {
    bool is_bad = request->command == COMMAND_BAD;
    if (is_bad || !model->head.quiet)
        reply_status(model, is_bad ? model->head.status : BINARY_SUCCESS);
    model->closed |= request->command == COMMAND_QUIT || (is_bad && model->head.closes);
    if (request->command == COMMAND_FLUSH_ALL)
        for (size_t i = 0; i < MODEL_ENTRIES; i++)
            model->entries[i].live = false;
}

static void execute(struct model *model, const struct request *request) {
    if (command_has_key(request->command))
        execute_key(model, request);
    else if (model->is_binary)
        execute_other_binary(model, request);
    else if (request->command == COMMAND_BAD || request->command == COMMAND_META_NOOP)
        reply(model, request, NULL);
    else
        execute_other(model, request);
}

static enum parse_status parse_next(struct model *model, const char *bytes, size_t size,
                                    char key_buffer[ENTRY_KEY_MAX + 2], struct request *ret_request,
                                    size_t *ret_consumed, size_t *ret_wanted) {
    return model->is_binary
               ? binary_parse(&model->parser, bytes, size, key_buffer, ret_request, &model->head,
                              ret_consumed, ret_wanted)
               : parse(&model->parser, bytes, size, key_buffer, ret_request, ret_consumed, ret_wanted);
}

void model_feed(struct model *model, const char *bytes, size_t size) {
    if (model->closed)
        return;
    if (model->is_fresh && size > 0) {
        model->is_fresh = false;
        model->is_binary = (uint8_t)bytes[0] == BINARY_REQUEST;
    }
    if (model->input_size + size > model->input_capacity) {
        model->input_capacity = 2 * (model->input_size + size);
        model->input = must(realloc(model->input, model->input_capacity));
    }
    if (size > 0)
        memcpy(model->input + model->input_size, bytes, size);
    model->input_size += size;
    size_t at = 0;
    while (!model->closed && model->input_size - at >= model->wanted) {
        /* A copy of exactly these bytes: the sanitizer finds whoever reads beyond them. */
        size_t there = model->input_size - at;
        char *exact = must(malloc(there + (there == 0)));
        if (there > 0)
            memcpy(exact, model->input + at, there);
        char key_buffer[ENTRY_KEY_MAX + 2];
        struct request request;
        size_t consumed = 0, wanted = 0;
        enum parse_status status = parse_next(model, exact, there, key_buffer, &request, &consumed, &wanted);
        assert(consumed <= there);
        at += consumed;
        model->wanted = status == PARSE_MORE ? wanted : 0;
        if (status == PARSE_MORE)
            assert(wanted > there - consumed);
        if (status == PARSE_CLOSE)
            model->closed = true;
        if (status == PARSE_OK)
            execute(model, &request);
        free(exact);
    }
    if (at > 0 && at < model->input_size)
        memmove(model->input, model->input + at, model->input_size - at);
    model->input_size -= at;
}

/* SPDX-License-Identifier: MIT */
/*
 * A packet says in its header how long its parts are, so there is nothing to search. One table below says of each
 * opcode what it means and which shape it has, another which parts a packet of that shape has; what does not add up is
 * answered as memcached answers it, and as nothing tells where the next packet begins then, the connection is closed.
 *
 * As in parser.c there is a lower storey for what nearly all traffic consists of: lookups, and stores without a CAS,
 * that are whole. It makes the same requests, and leaves alone whatever it does not recognise at once.
 *
 * Where the binary protocol has a CAS in every packet and the classic command has none, the request is that of the meta
 * command that means the same: append with a CAS is `ms` with the flags MA and C, incr with an initial value is `ma`
 * with N and J.
 *
 * Invariant: nothing is remembered between packets, except what of a refused body is still to be skipped.
 */
#include "server/protocol/binary.h"
#include <assert.h>
#include <endian.h>
#include <stdio.h>

enum {
    BODY_MAX = 1 << 30, /* a longer one is no packet: as in memcached */
    FLAGS_SIZE = 4,
    EXPTIME_SIZE = 4,
    LEVEL_SIZE = 4,
    STORE_EXTRAS = FLAGS_SIZE + EXPTIME_SIZE,
    COUNT_EXTRAS = 8 + 8 + EXPTIME_SIZE, /* delta, initial value, expiry of one that is made */
    NO_CREATION = -1,                    /* as expiry: a number that does not exist is not made */
};

enum shape {
    SHAPE_NONE, /* no such opcode */
    SHAPE_BARE, /* nothing but the header */
    SHAPE_FLUSH,
    SHAPE_VERBOSITY,
    SHAPE_STATS,
    SHAPE_KEY,
    SHAPE_TOUCH,
    SHAPE_COUNT,
    SHAPE_STORE,
    SHAPE_JOIN,
    SHAPE_SASL, /* the mechanism is its key, the message its value */
};

/* Which parts a packet of a shape has. A value may always be empty. */
struct shape_row {
    uint8_t extras; /* their size */
    bool may_lack_extras, has_key, may_lack_key, has_value;
};

static const struct shape_row shapes[] = {
    [SHAPE_BARE] = {0},
    [SHAPE_FLUSH] = {.extras = EXPTIME_SIZE, .may_lack_extras = true},
    [SHAPE_VERBOSITY] = {.extras = LEVEL_SIZE},
    [SHAPE_STATS] = {.has_key = true, .may_lack_key = true},
    [SHAPE_KEY] = {.has_key = true},
    [SHAPE_TOUCH] = {.extras = EXPTIME_SIZE, .has_key = true},
    [SHAPE_COUNT] = {.extras = COUNT_EXTRAS, .has_key = true},
    [SHAPE_STORE] = {.extras = STORE_EXTRAS, .has_key = true, .has_value = true},
    [SHAPE_JOIN] = {.has_key = true, .has_value = true},
    [SHAPE_SASL] = {.has_key = true, .has_value = true},
};

struct opcode_row {
    enum command command;
    enum shape shape;
    bool quiet, ret_key, counts_down;
};

static const struct opcode_row opcodes[256] = {
    [0x00] = {.command = COMMAND_GET, .shape = SHAPE_KEY},
    [0x01] = {.command = COMMAND_SET, .shape = SHAPE_STORE},
    [0x02] = {.command = COMMAND_ADD, .shape = SHAPE_STORE},
    [0x03] = {.command = COMMAND_REPLACE, .shape = SHAPE_STORE},
    [0x04] = {.command = COMMAND_DELETE, .shape = SHAPE_KEY},
    [0x05] = {.command = COMMAND_META_ARITHMETIC, .shape = SHAPE_COUNT},
    [0x06] = {.command = COMMAND_META_ARITHMETIC, .shape = SHAPE_COUNT, .counts_down = true},
    [0x07] = {.command = COMMAND_QUIT, .shape = SHAPE_BARE},
    [0x08] = {.command = COMMAND_FLUSH_ALL, .shape = SHAPE_FLUSH},
    [0x09] = {.command = COMMAND_GET, .shape = SHAPE_KEY, .quiet = true},
    [0x0a] = {.command = COMMAND_META_NOOP, .shape = SHAPE_BARE},
    [0x0b] = {.command = COMMAND_VERSION, .shape = SHAPE_BARE},
    [0x0c] = {.command = COMMAND_GET, .shape = SHAPE_KEY, .ret_key = true},
    [0x0d] = {.command = COMMAND_GET, .shape = SHAPE_KEY, .ret_key = true, .quiet = true},
    [0x0e] = {.command = COMMAND_APPEND, .shape = SHAPE_JOIN},
    [0x0f] = {.command = COMMAND_PREPEND, .shape = SHAPE_JOIN},
    [0x10] = {.command = COMMAND_STATS, .shape = SHAPE_STATS},
    [0x11] = {.command = COMMAND_SET, .shape = SHAPE_STORE, .quiet = true},
    [0x12] = {.command = COMMAND_ADD, .shape = SHAPE_STORE, .quiet = true},
    [0x13] = {.command = COMMAND_REPLACE, .shape = SHAPE_STORE, .quiet = true},
    [0x14] = {.command = COMMAND_DELETE, .shape = SHAPE_KEY, .quiet = true},
    [0x15] = {.command = COMMAND_META_ARITHMETIC, .shape = SHAPE_COUNT, .quiet = true},
    [0x16] = {.command = COMMAND_META_ARITHMETIC, .shape = SHAPE_COUNT, .counts_down = true, .quiet = true},
    [0x17] = {.command = COMMAND_QUIT, .shape = SHAPE_BARE, .quiet = true},
    [0x18] = {.command = COMMAND_FLUSH_ALL, .shape = SHAPE_FLUSH, .quiet = true},
    [0x19] = {.command = COMMAND_APPEND, .shape = SHAPE_JOIN, .quiet = true},
    [0x1a] = {.command = COMMAND_PREPEND, .shape = SHAPE_JOIN, .quiet = true},
    [0x1b] = {.command = COMMAND_VERBOSITY, .shape = SHAPE_VERBOSITY},
    [0x1c] = {.command = COMMAND_TOUCH, .shape = SHAPE_TOUCH},
    [0x1d] = {.command = COMMAND_GAT, .shape = SHAPE_TOUCH},
    [0x1e] = {.command = COMMAND_GAT, .shape = SHAPE_TOUCH, .quiet = true},
    [BINARY_SASL_LIST] = {.command = COMMAND_SASL, .shape = SHAPE_BARE},
    [BINARY_SASL_AUTH] = {.command = COMMAND_SASL, .shape = SHAPE_SASL},
    [BINARY_SASL_STEP] = {.command = COMMAND_SASL, .shape = SHAPE_SASL},
    [0x23] = {.command = COMMAND_GAT, .shape = SHAPE_TOUCH, .ret_key = true},
    [0x24] = {.command = COMMAND_GAT, .shape = SHAPE_TOUCH, .ret_key = true, .quiet = true},
};

/* A packet of which the header is there. */
struct packet {
    const struct opcode_row *row;
    const char *extras; /* the body begins with them */
    size_t extras_size, key_size, value_size, body_size;
    uint64_t cas;
};

/* What a call of binary_parse() works on. */
struct binary_call {
    struct parser *parser;
    const char *bytes, *end;
    char *key_buffer;
    struct request *request;
    struct binary_head *head;
    size_t *consumed, *wanted;
};

/* ---- Numbers ---- */

static inline uint16_t read_16(const char *at) {
    uint16_t number;
    memcpy(&number, at, sizeof number);
    return be16toh(number);
}

static inline uint32_t read_32(const char *at) {
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return be32toh(number);
}

static inline uint64_t read_64(const char *at) {
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return be64toh(number);
}

/* ---- Results ---- */

static enum parse_status need_more(struct binary_call *call, size_t wanted) {
    *call->wanted = wanted;
    return PARSE_MORE;
}

static inline enum parse_status done(struct binary_call *call, const struct packet *packet) {
    *call->consumed = BINARY_HEADER + packet->body_size;
    return PARSE_OK;
}

static inline void set_head(struct binary_head *head, const char *bytes, const struct opcode_row *row) {
    head->opcode = (uint8_t)bytes[1];
    head->quiet = row->quiet;
    head->ret_key = row->ret_key;
    head->closes = false;
    memcpy(&head->opaque, bytes + 12, sizeof head->opaque);
}

static void set_bad(struct binary_call *call, enum binary_status status) {
    request_begin(call->request, COMMAND_BAD);
    call->request->error = NULL;
    call->head->status = (uint16_t)status;
}

/* The body, of which some may have come, is skipped. */
static enum parse_status skip_body(struct binary_call *call, const struct packet *packet) {
    size_t there = (size_t)(call->end - call->bytes);
    *call->consumed = parser_refuse(call->parser, BINARY_HEADER + packet->body_size, there);
    return PARSE_OK;
}

static enum parse_status refuse(struct binary_call *call, const struct packet *packet,
                                enum binary_status status) {
    set_bad(call, status);
    return skip_body(call, packet);
}

/* Where the next packet begins is not known. */
static enum parse_status refuse_and_close(struct binary_call *call, enum binary_status status) {
    set_bad(call, status);
    call->head->closes = true;
    *call->consumed = (size_t)(call->end - call->bytes);
    return PARSE_OK;
}

/* ---- Requests ---- */

static inline struct slice key_of(const struct packet *packet) {
    return slice_of(packet->extras + packet->extras_size, packet->key_size);
}

static inline struct slice value_of(const struct packet *packet) {
    return slice_of(packet->extras + packet->extras_size + packet->key_size, packet->value_size);
}

/* The request becomes that of a meta command with these flags, and means what it would mean there. */
static void set_meta(struct request *request, enum command command, uint64_t flags,
                     const struct packet *packet) {
    request_begin_meta(request, command, key_of(packet));
    request->cas = packet->cas;
    request->meta = flags;
    request->meta_flags = slice_of("", 0);
}

static void take_key(struct binary_call *call, const struct packet *packet) {
    struct request *request = call->request;
    if (packet->row->command == COMMAND_DELETE && packet->cas != 0) {
        set_meta(request, COMMAND_META_DELETE, meta_bit('C'), packet);
        return;
    }
    request_begin(request, packet->row->command);
    request->ends_run = true;
    request->key = key_of(packet);
}

static void take_touch(struct binary_call *call, const struct packet *packet) {
    take_key(call, packet);
    call->request->has_exptime = true;
    call->request->exptime = read_32(packet->extras);
}

static void take_count(struct binary_call *call, const struct packet *packet) {
    struct request *request = call->request;
    uint32_t exptime = read_32(packet->extras + 16);
    bool creates = exptime != (uint32_t)NO_CREATION;
    uint64_t flags = (creates ? meta_bit('N') : 0) | (packet->cas ? meta_bit('C') : 0);
    set_meta(request, COMMAND_META_ARITHMETIC, meta_bit('M') | flags, packet); /* M: statistics go by it */
    request->mode = packet->row->counts_down ? 'D' : 'I';
    request->delta = read_64(packet->extras);
    request->initial = read_64(packet->extras + 8);
    request->vivify_ttl = exptime;
}

/* set, add and replace: with a CAS all of them are cas. */
static inline void take_store(struct request *request, const struct packet *packet) {
    request_begin(request, packet->cas ? COMMAND_CAS : packet->row->command);
    request->has_exptime = true;
    request->flags = read_32(packet->extras);
    request->exptime = read_32(packet->extras + FLAGS_SIZE);
    request->cas = packet->cas;
    request->key = key_of(packet);
    request->value = value_of(packet);
}

static void take_join(struct binary_call *call, const struct packet *packet) {
    struct request *request = call->request;
    if (packet->cas != 0) {
        set_meta(request, COMMAND_META_SET, meta_bit('C') | meta_bit('M'), packet);
        request->mode = packet->row->command == COMMAND_APPEND ? 'A' : 'P';
        return;
    }
    request_begin(request, packet->row->command);
    request->has_exptime = true;
    request->flags = 0;
    request->exptime = 0;
    request->key = key_of(packet);
}

/* A command without a key, whose argument is this number, if it was sent. */
static void take_number(struct binary_call *call, const struct packet *packet) {
    int size =
        packet->extras_size ? snprintf(call->key_buffer, ENTRY_KEY_MAX, "%u", read_32(packet->extras)) : 0;
    request_begin(call->request, packet->row->command);
    call->request->argument = slice_of(call->key_buffer, (size_t)size);
}

static void take_bare(struct binary_call *call, const struct packet *packet) {
    request_begin(call->request, packet->row->command);
    call->request->argument = call->request->key = key_of(packet);
}

/* Not on the path of a value that is there: noinline keeps that short. */
static __attribute__((noinline)) enum parse_status await_value(struct binary_call *call,
                                                               const struct packet *packet) {
    if (call->parser->starved)
        return refuse(call, packet, BINARY_NO_MEMORY);
    return need_more(call, BINARY_HEADER + packet->body_size);
}

/* What a set would have replaced must not live on, as in memcached. */
static enum parse_status refuse_too_large(struct binary_call *call, const struct packet *packet) {
    if (packet->row->command != COMMAND_SET)
        return refuse(call, packet, BINARY_TOO_LARGE);
    take_store(call->request, packet);
    call->request->command = COMMAND_SET;
    call->request->value = slice_of(NULL, 0);
    call->request->too_large = true;
    return skip_body(call, packet);
}

/* The packet's parts have come as far as they are needed. */
static inline void take(struct binary_call *call, const struct packet *packet) {
    switch (packet->row->shape) {
    case SHAPE_KEY:
        take_key(call, packet);
        return;
    case SHAPE_STORE:
        take_store(call->request, packet);
        return;
    case SHAPE_TOUCH:
        take_touch(call, packet);
        return;
    case SHAPE_COUNT:
        take_count(call, packet);
        return;
    case SHAPE_JOIN:
        take_join(call, packet);
        call->request->value = value_of(packet);
        return;
    case SHAPE_SASL:
        take_bare(call, packet);
        call->request->value = value_of(packet);
        return;
    case SHAPE_FLUSH:
    case SHAPE_VERBOSITY:
        take_number(call, packet);
        return;
    case SHAPE_BARE:
    case SHAPE_STATS:
        take_bare(call, packet);
        return;
    case SHAPE_NONE:
        break;
    }
    assert(false && "such a packet is refused");
}

/* A value near the limit or beyond: client flags other than 0 have a size as well. */
static __attribute__((noinline)) enum parse_status judge_size(struct binary_call *call,
                                                              const struct packet *packet) {
    size_t parts = packet->extras_size + packet->key_size, there = (size_t)(call->end - packet->extras);
    if (there < parts)
        return need_more(call, BINARY_HEADER + parts);
    uint32_t flags = packet->row->shape == SHAPE_STORE ? read_32(packet->extras) : 0;
    if (request_item_size(packet->key_size, flags, packet->value_size) > call->parser->item_max)
        return refuse_too_large(call, packet);
    if (there < packet->body_size)
        return await_value(call, packet);
    take(call, packet);
    return done(call, packet);
}

/* ---- Packets ---- */

/* Whether a packet has the parts that its opcode asks for, and no others. */
static inline bool adds_up(const struct packet *packet) {
    const struct shape_row *shape = &shapes[packet->row->shape];
    bool extras_fit =
        packet->extras_size == shape->extras || (packet->extras_size == 0 && shape->may_lack_extras);
    bool key_fits =
        (packet->key_size > 0) == shape->has_key || (packet->key_size == 0 && shape->may_lack_key);
    return extras_fit && key_fits && (packet->value_size == 0 || shape->has_value);
}

static inline enum parse_status parse_body(struct binary_call *call, const struct packet *packet) {
    if (packet->row->shape == SHAPE_NONE)
        return refuse(call, packet, BINARY_UNKNOWN_COMMAND);
    if (!adds_up(packet))
        return refuse_and_close(call, BINARY_INVALID);
    if (packet->value_size > 0 &&
        request_item_size(packet->key_size, 1, packet->value_size) > call->parser->item_max)
        return judge_size(call, packet);
    if ((size_t)(call->end - packet->extras) < packet->body_size)
        return await_value(call, packet);
    take(call, packet);
    return done(call, packet);
}

static inline enum parse_status parse_packet(struct binary_call *call) {
    const char *bytes = call->bytes;
    struct packet packet = {.row = &opcodes[(uint8_t)bytes[1]],
                            .extras = bytes + BINARY_HEADER,
                            .extras_size = (uint8_t)bytes[4],
                            .key_size = read_16(bytes + 2),
                            .body_size = read_32(bytes + 8),
                            .cas = read_64(bytes + 16)};
    size_t parts = packet.extras_size + packet.key_size;
    set_head(call->head, bytes, packet.row);
    if (parts > packet.body_size)
        return refuse_and_close(call, BINARY_UNKNOWN_COMMAND);
    if (packet.body_size > BODY_MAX || packet.key_size > ENTRY_KEY_MAX)
        return refuse_and_close(call, BINARY_INVALID);
    packet.value_size = packet.body_size - parts;
    return parse_body(call, &packet);
}

/* The first byte of what should be a packet is judged as soon as it is there. */
static inline enum parse_status parse_front(struct binary_call *call) {
    size_t there = (size_t)(call->end - call->bytes);
    if (there == 0)
        return need_more(call, 1);
    if ((uint8_t)call->bytes[0] != BINARY_REQUEST)
        return parser_close(call->parser, call->request, CLOSE_BAD_MAGIC);
    return there < BINARY_HEADER ? need_more(call, BINARY_HEADER) : parse_packet(call);
}

/* ---- The quick storey ---- */

/* A lookup that is whole and adds up, which most packets are: the request as below, in fewer steps. */
static inline bool quick_get(const char *bytes, size_t size, struct request *request,
                             struct binary_head *head, size_t *ret_consumed) {
    if (size < BINARY_HEADER || (uint8_t)bytes[0] != BINARY_REQUEST)
        return false;
    const struct opcode_row *row = &opcodes[(uint8_t)bytes[1]];
    size_t key_size = read_16(bytes + 2);
    bool adds_up = bytes[4] == 0 && read_32(bytes + 8) == key_size && key_size - 1 < ENTRY_KEY_MAX;
    if (row->shape != SHAPE_KEY || row->command != COMMAND_GET || !adds_up || size - BINARY_HEADER < key_size)
        return false;
    set_head(head, bytes, row);
    request_begin(request, COMMAND_GET);
    request->ends_run = true;
    request->key = slice_of(bytes + BINARY_HEADER, key_size);
    *ret_consumed = BINARY_HEADER + key_size;
    return true;
}

/* The same of a store without a CAS whose value is there and not too large. */
static inline bool quick_store(const struct parser *parser, const char *bytes, size_t size,
                               struct request *request, struct binary_head *head, size_t *ret_consumed) {
    if (size < BINARY_HEADER + STORE_EXTRAS || (uint8_t)bytes[0] != BINARY_REQUEST)
        return false;
    const struct opcode_row *row = &opcodes[(uint8_t)bytes[1]];
    size_t key_size = read_16(bytes + 2), body = read_32(bytes + 8), parts = STORE_EXTRAS + key_size;
    bool adds_up = bytes[4] == STORE_EXTRAS && key_size - 1 < ENTRY_KEY_MAX && body >= parts &&
                   size - BINARY_HEADER >= body;
    if (row->shape != SHAPE_STORE || !adds_up || read_64(bytes + 16) != 0 ||
        request_item_size(key_size, 1, body - parts) > parser->item_max)
        return false;
    struct packet packet = {.row = row,
                            .extras = bytes + BINARY_HEADER,
                            .extras_size = STORE_EXTRAS,
                            .key_size = key_size,
                            .value_size = body - parts};
    set_head(head, bytes, row);
    take_store(request, &packet);
    *ret_consumed = BINARY_HEADER + body;
    return true;
}

enum parse_status binary_parse(struct parser *parser, const char *bytes, size_t size,
                               char key_buffer[ENTRY_KEY_MAX + 2], struct request *ret_request,
                               struct binary_head *ret_head, size_t *ret_consumed, size_t *ret_wanted) {
    if (parser->swallow == 0 && (quick_get(bytes, size, ret_request, ret_head, ret_consumed) ||
                                 quick_store(parser, bytes, size, ret_request, ret_head, ret_consumed)))
        return PARSE_OK;
    struct binary_call call = {parser,      bytes,    bytes + size, key_buffer,
                               ret_request, ret_head, ret_consumed, ret_wanted};
    *ret_consumed = 0;
    if (__builtin_expect(parser->swallow == 0, 1))
        return parse_front(&call);
    call.bytes += parser_swallow(parser, bytes, size);
    enum parse_status status = parse_front(&call);
    *ret_consumed += (size_t)(call.bytes - bytes);
    return status;
}

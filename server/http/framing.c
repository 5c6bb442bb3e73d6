/* SPDX-License-Identifier: MIT */
/* RFC 9110 (5.1, 5.5, 7.2) and RFC 9112 (3.2, 5.1, 6.1 to 6.3), where they have a server refuse. */
#include "server/http/framing.h"
#include "cache/base/slice.h"
#include <microhttpd.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct framing {
    unsigned hosts, lengths, codings;
    bool is_chunked;
    const char *fault; /* of the headers seen so far */
};

static const char marks[] = "!#$%&'*+-.^_`|~";

static bool is_of_token(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr(marks, c));
}

static bool is_token(struct slice name) {
    for (size_t i = 0; i < name.size; i++)
        if (!is_of_token((unsigned char)name.data[i]))
            return false;
    return name.size > 0;
}

static bool has_control(struct slice value) {
    for (size_t i = 0; i < value.size; i++)
        if (((unsigned char)value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
            return true;
    return false;
}

static bool is_name(struct slice name, const char *other) {
    return name.size == strlen(other) && strncasecmp(name.data, other, name.size) == 0;
}

static enum MHD_Result note_header(void *context, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                   const char *data, size_t size) {
    struct framing *framing = context;
    struct slice name = slice_of(key, key_size), value = slice_of(data ? data : "", data ? size : 0);
    (void)kind;
    if (!is_token(name))
        framing->fault = "the name of a header has a space or another character that no name has";
    else if (has_control(value))
        framing->fault = "the value of a header has a control character";
    framing->hosts += is_name(name, MHD_HTTP_HEADER_HOST);
    framing->lengths += is_name(name, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (is_name(name, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        framing->codings++;
        framing->is_chunked = is_name(value, "chunked");
    }
    return framing->fault ? MHD_NO : MHD_YES;
}

const char *framing_fault(struct MHD_Connection *connection, const char *version) {
    struct framing framing = {0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, note_header, &framing);
    if (framing.fault)
        return framing.fault;
    if (!framing.hosts && strcmp(version, MHD_HTTP_VERSION_1_0) != 0)
        return "there is no Host";
    if (framing.hosts > 1)
        return "there is more than one Host";
    if (framing.lengths > 1)
        return "there is more than one Content-Length";
    if (framing.lengths && framing.codings)
        return "there is a Transfer-Encoding beside Content-Length";
    if (framing.codings > 1 || (framing.codings && !framing.is_chunked))
        return "Transfer-Encoding may be chunked, and nothing else";
    if (framing.codings && strcmp(version, MHD_HTTP_VERSION_1_1) != 0)
        return "HTTP before 1.1 has no Transfer-Encoding";
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * The token of the admin HTTP: who has it may change things. It lies in a file (admin_token_file), as one line of at
 * least TOKEN_LEAST visible characters, which nobody but its owner may write, and no other than its group may read.
 */
#ifndef FOREBAY_SERVER_HTTP_TOKEN_H
#define FOREBAY_SERVER_HTTP_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

enum { TOKEN_LEAST = 16, TOKEN_MOST = 512 }; /* characters */

struct token {
    size_t size;
    char text[TOKEN_MOST + 1];
};

/* False with a whole sentence that names the file and the remedy. */
bool token_load(const char *path, struct token *ret_token, char *ret_error, size_t error_size);

/* Is this the value of an Authorization header that holds the token ("Bearer TOKEN")? NULL: it is not there. Takes as
 * long whatever of it is right. */
bool token_fits(const struct token *token, const char *authorization);

#endif

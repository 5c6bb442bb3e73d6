/* SPDX-License-Identifier: MIT */
/* What a client says that it takes: the lists of Accept and Accept-Encoding, "text/plain;q=0.5, *" and "gzip, br". */
#ifndef FOREBAY_SERVER_ACCEPT_HEADER_H
#define FOREBAY_SERVER_ACCEPT_HEADER_H

/* The highest weight, 0 to 1, that the list gives to this word, in lower case; below 0: it does not name it, or there
 * is no list (NULL). What stands for several, as "*" does, is not looked for. */
double accept_header_weight(const char *list, const char *word);

#endif

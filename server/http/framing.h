/* SPDX-License-Identifier: MIT */
/*
 * Where a request ends, if whoever passes it on reads it in another way. libmicrohttpd takes the first of two lengths,
 * and a name with a space in it for another name; a proxy may not. Then what the one takes for a body is the next
 * request to the other (request smuggling), so such a request is refused, and its connection is closed. Here as well
 * where there is no Host: libmicrohttpd 0.9.75 would, were it told to be strict, but sends the head of that answer
 * twice. So it does at a length that is no number, which nobody can help.
 */
#ifndef FOREBAY_SERVER_HTTP_FRAMING_H
#define FOREBAY_SERVER_HTTP_FRAMING_H

struct MHD_Connection; /* <microhttpd.h> */

/* What is wrong with the headers, for people: a text that stays; NULL: nothing. version: of the request, "HTTP/1.1". */
const char *framing_fault(struct MHD_Connection *connection, const char *version);

#endif

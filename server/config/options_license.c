/* SPDX-License-Identifier: MIT */
#include "server/config/options.h"

static const char license[] =
    "forebay " FOREBAY_VERSION ", under the MIT licence (LICENSE).\n"
    "It is linked with libev (BSD-2-Clause or GPL-2.0), SQLite (public domain), hiredis (BSD-3-Clause),\n"
    "libconfuse (ISC), xxHash (BSD-2-Clause), zlib (Zlib), libmicrohttpd, libseccomp and libcrypt\n"
    "(LGPL-2.1-or-later or LGPL-2.1), liburing (LGPL-2.1 or MIT) and OpenSSL (Apache-2.0).\n";

void options_print_license(FILE *out) {
    fputs(license, out);
}

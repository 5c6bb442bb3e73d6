/* SPDX-License-Identifier: MIT */
/* The files of the page, as the build has put them into the program (page/embed.cmake). */
#ifndef FOREBAY_SERVER_HTTP_PAGE_FILES_H
#define FOREBAY_SERVER_HTTP_PAGE_FILES_H

#include <stddef.h>

struct page_bytes {
    const unsigned char *data;
    size_t size;
};

struct page_file {
    const char *name; /* below server/http/page: "index.html", "vendor/uPlot.min.css" */
    const char *content_type;
    const char *tag;                 /* an ETag: of what is in it */
    struct page_bytes plain, packed; /* packed by gzip */
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

#endif

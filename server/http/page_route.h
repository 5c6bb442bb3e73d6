/* SPDX-License-Identifier: MIT */
/* The page at "/", its files below "/page/", and the history that it draws. */
#ifndef FOREBAY_SERVER_HTTP_PAGE_ROUTE_H
#define FOREBAY_SERVER_HTTP_PAGE_ROUTE_H

#include "server/http/http.h"

http_handler page_answer, history_answer;

#endif

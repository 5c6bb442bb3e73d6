/* SPDX-License-Identifier: MIT */
/*
 * The terminal: what a view shows of a picture, drawn with curses, and the keys that are pressed there. Colours only
 * where the terminal has them and NO_COLOR is not set; what they say, words and figures say as well. All texts are
 * printable ASCII; a terminal that speaks UTF-8 gets arrows and a line besides. One thread, one screen at a time.
 */
#ifndef FOREBAY_TOOLS_TOP_SCREEN_H
#define FOREBAY_TOOLS_TOP_SCREEN_H

#include "tools/top/view.h"

struct screen;

/* What is to be shown. */
struct scene {
    struct view *view;             /* is arranged for the size of the screen */
    const struct picture *picture; /* NULL: there is none yet */
    const char *place;             /* the address as the user gave it */
    const char *trouble;           /* why figures are old, a sentence; NULL: they are not */
};

/* Takes the terminal over. NULL with a whole sentence: it cannot be drawn on. */
struct screen *screen_open(char *ret_error, size_t error_size);

/* Gives the terminal back as it was. NULL is allowed. */
void screen_close(struct screen *screen);

void screen_draw(struct screen *screen, const struct scene *scene);

/* The next key that was pressed; false: there is none. A new size of the terminal is such a key, without a meaning. */
bool screen_key(struct screen *screen, enum view_key *ret_key, bool *ret_resized);

/* How many namespaces there is room for. */
size_t screen_rows(const struct screen *screen, const struct picture *picture);

#endif

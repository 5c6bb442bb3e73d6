/* SPDX-License-Identifier: MIT */
/*
 * See screen.h. A terminal from top to bottom:
 *
 *     head    address, version, uptime, interval; what is wrong with them
 *     figures of the process and the journal: three lines
 *     a page  list, detail or help
 *     foot    the keys
 */
#include "tools/top/screen.h"
#include "tools/top/canvas.h"
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#undef lines /* term.h names capabilities as one would name variables */
#undef columns

enum { HEAD_LINES = 4, FOOT_LINES = 1, MIN_WIDTH = 30, MIN_HEIGHT = 8 };

struct screen {
    SCREEN *terminal;
    struct canvas canvas;
};

/* ---- Opening ---- */

/* Without moving its cursor there is nothing to draw on. */
static bool check_terminal(char *ret_error, size_t error_size) {
    const char *name = getenv("TERM");
    int found = 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        snprintf(ret_error, error_size, "this is no terminal: --once prints the figures without one");
        return false;
    }
    if (!name || !*name || setupterm(NULL, STDOUT_FILENO, &found) != OK || found != 1) {
        snprintf(ret_error, error_size,
                 "TERM=%.40s is not known on this machine: set TERM to what the terminal is (xterm, "
                 "linux, screen), or use --once",
                 name ? name : "");
        return false;
    }
    const char *move = tigetstr("cup");
    bool good = move && move != (const char *)-1;
    if (!good)
        snprintf(ret_error, error_size,
                 "TERM=%.40s is a terminal that cannot place its cursor: use another one, or --once", name);
    del_curterm(cur_term);
    return good;
}

static void open_colours(struct canvas *canvas) {
    static const short colours[LOOKS] = {
        [LOOK_FAINT] = COLOR_CYAN, [LOOK_HEADING] = -1,       [LOOK_SORTED] = COLOR_GREEN,
        [LOOK_BAR] = -1,           [LOOK_GOOD] = COLOR_GREEN, [LOOK_WARNING] = COLOR_YELLOW,
        [LOOK_ALARM] = COLOR_RED};
    const char *none = getenv("NO_COLOR");
    if ((none && *none) || !has_colors() || start_color() != OK || use_default_colors() != OK)
        return;
    canvas->colours = true;
    for (int look = LOOK_FAINT; look < LOOKS; look++)
        init_pair((short)look, colours[look], -1);
}

static void set_up(struct screen *screen) {
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50); /* a lone Esc is a key here */
    open_colours(&screen->canvas);
    screen->canvas.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    getmaxyx(stdscr, screen->canvas.height, screen->canvas.width);
}

struct screen *screen_open(char *ret_error, size_t error_size) {
    setlocale(LC_CTYPE, "");
    if (!check_terminal(ret_error, error_size))
        return NULL;
    struct screen *screen = calloc(1, sizeof *screen);
    if (screen)
        screen->terminal = newterm(NULL, stdout, stdin);
    if (!screen || !screen->terminal) {
        snprintf(ret_error, error_size, "the terminal cannot be drawn on: use another one, or --once");
        free(screen);
        return NULL;
    }
    set_up(screen);
    return screen;
}

void screen_close(struct screen *screen) {
    if (!screen)
        return;
    endwin();
    delscreen(screen->terminal);
    free(screen);
}

/* ---- Head and foot ---- */

static void draw_title(struct canvas *canvas, const struct scene *scene) {
    char text[FIGURE_MAX];
    const struct picture *picture = scene->picture;
    canvas_go(canvas, 0);
    canvas_print(canvas, LOOK_HEADING, "forebay-top");
    if (scene->view->paused)
        canvas_print(canvas, LOOK_WARNING, "  PAUSED");
    canvas_print(canvas, LOOK_HEADING, "  %s", scene->place);
    if (picture) {
        canvas_print(canvas, LOOK_PLAIN, "  version %s", picture->process.version);
        canvas_print(canvas, LOOK_PLAIN, "  up %s", figure(UNIT_MS, picture->process.uptime_s * 1000, text));
    }
    canvas_print(canvas, LOOK_PLAIN, "  every %g s", (double)scene->view->interval_ms / 1000);
    canvas_end_line(canvas);
}

static void draw_process(struct canvas *canvas, const struct process_figures *process) {
    bool tight = process->connections > 0.9 * process->connections_limit;
    canvas_figure(canvas, "gets/s", UNIT_RATE, process->gets, LOOK_PLAIN);
    canvas_figure(canvas, "sets/s", UNIT_RATE, process->sets, LOOK_PLAIN);
    canvas_figure(canvas, "hit%", UNIT_PERCENT, process->hit_ratio, LOOK_PLAIN);
    canvas_figure(canvas, "evict/s", UNIT_RATE, process->evictions, LOOK_PLAIN);
    canvas_figure(canvas, "in/s", UNIT_BYTES, process->bytes_in, LOOK_PLAIN);
    canvas_figure(canvas, "out/s", UNIT_BYTES, process->bytes_out, LOOK_PLAIN);
    canvas_end_line(canvas);
    canvas_figure(canvas, "CPU%", UNIT_PERCENT, process->cpu, LOOK_PLAIN);
    canvas_figure(canvas, "memory", UNIT_BYTES, process->memory, LOOK_PLAIN);
    canvas_figure(canvas, "of", UNIT_BYTES, process->memory_limit, LOOK_PLAIN);
    canvas_figure(canvas, "conns", UNIT_COUNT, process->connections, tight ? LOOK_ALARM : LOOK_PLAIN);
    canvas_figure(canvas, "turns/s", UNIT_RATE, process->turns, LOOK_PLAIN);
    canvas_figure(canvas, "turn p99", UNIT_US, process->turn_p99_us, LOOK_PLAIN);
    canvas_end_line(canvas);
}

static void draw_journal(struct canvas *canvas, const struct journal_figures *journal) {
    if (isnan(journal->files)) {
        canvas_print(canvas, LOOK_FAINT, "no journal");
        return;
    }
    canvas_figure(canvas, "journal", UNIT_BYTES, journal->bytes, LOOK_PLAIN);
    canvas_figure(canvas, "files", UNIT_COUNT, journal->files, LOOK_PLAIN);
    canvas_figure(canvas, "records/s", UNIT_RATE, journal->records, LOOK_PLAIN);
    canvas_figure(canvas, "bytes/s", UNIT_BYTES, journal->written_bytes, LOOK_PLAIN);
    canvas_figure(canvas, "fsyncs/s", UNIT_RATE, journal->fsyncs, LOOK_PLAIN);
    canvas_figure(canvas, "each", UNIT_US, journal->fsync_us, LOOK_PLAIN);
    if (journal->failures > 0)
        canvas_figure(canvas, "FAILURES", UNIT_COUNT, journal->failures, LOOK_ALARM);
}

/* Where the next line of a text begins that is broken between words. */
static const char *break_line(const char *text, int width, int *ret_length) {
    int length = (int)strlen(text);
    if (length > width) {
        length = width;
        while (length > 0 && text[length] != ' ')
            length--;
        length = length > 0 ? length : width;
    }
    *ret_length = length;
    text += length;
    return text + (*text == ' ');
}

/* As many of the last lines as it takes, so that a narrow terminal has all of it. */
static void draw_trouble(struct canvas *canvas, const char *text) {
    int length, count = 0;
    for (const char *at = text; *at; at = break_line(at, canvas->width, &length))
        count++;
    canvas_go(canvas, count < canvas->height ? canvas->height - count : 0);
    while (*text) {
        const char *next = break_line(text, canvas->width, &length);
        move(canvas->line, 0);
        clrtoeol();
        canvas_print(canvas, LOOK_ALARM, "%.*s", length, text);
        canvas_end_line(canvas);
        text = next;
    }
}

static void draw_foot(struct canvas *canvas, const struct scene *scene) {
    static const char *const keys[] = {
        [VIEW_LIST] = "Enter details  </> sort  r reverse  p pause  +/- interval  h help  q quit",
        [VIEW_DETAIL] = "Esc back  up/down another  p pause  +/- interval  h help  q quit",
        [VIEW_HELP] = "any key: back  q quit",
    };
    const char *all = keys[scene->view->page];
    canvas_go(canvas, canvas->height - 1); /* whatever a page had to say there */
    move(canvas->height - 1, 0);
    clrtoeol();
    if (scene->trouble)
        draw_trouble(canvas, scene->trouble);
    else
        canvas_print(canvas, LOOK_FAINT, "%s", (int)strlen(all) <= canvas->width ? all : "h help  q quit");
}

/* ---- All of it ---- */

static int page_lines(const struct canvas *canvas) {
    return canvas->height - HEAD_LINES - FOOT_LINES;
}

size_t screen_rows(const struct screen *screen, const struct picture *picture) {
    int lines = page_lines(&screen->canvas);
    return picture && lines > 0 ? (size_t)page_list_rows(picture, lines) : 0;
}

static void draw_page(struct canvas *canvas, const struct scene *scene) {
    const struct view *view = scene->view;
    if (view->page == VIEW_HELP)
        page_help(canvas, HEAD_LINES);
    else if (!scene->picture)
        return;
    else if (view->page == VIEW_DETAIL && view->count > 0)
        page_detail(canvas, scene->picture,
                    &scene->picture->namespaces[view->order[view_selected(view, scene->picture)]],
                    HEAD_LINES);
    else
        page_list(canvas, scene, HEAD_LINES, page_lines(canvas));
}

static void draw_all(struct canvas *canvas, const struct scene *scene) {
    draw_title(canvas, scene);
    if (scene->picture) {
        draw_process(canvas, &scene->picture->process);
        draw_journal(canvas, &scene->picture->journal);
    } else if (!scene->trouble) {
        canvas_print(canvas, LOOK_PLAIN, "connecting ...");
    }
    draw_page(canvas, scene);
    draw_foot(canvas, scene);
}

void screen_draw(struct screen *screen, const struct scene *scene) {
    struct canvas *canvas = &screen->canvas;
    getmaxyx(stdscr, canvas->height, canvas->width);
    if (scene->picture)
        view_arrange(scene->view, scene->picture, screen_rows(screen, scene->picture));
    erase();
    if (canvas->width < MIN_WIDTH || canvas->height < MIN_HEIGHT) {
        canvas_go(canvas, 0);
        canvas_print(canvas, LOOK_PLAIN, "%dx%d: too small", canvas->width, canvas->height);
    } else {
        draw_all(canvas, scene);
    }
    refresh();
}

/* ---- Keys ---- */

static enum view_key meaning(int key) {
    static const struct {
        int key;
        enum view_key means;
    } keys[] = {
        {KEY_UP, VIEW_KEY_UP},
        {'k', VIEW_KEY_UP},
        {KEY_DOWN, VIEW_KEY_DOWN},
        {'j', VIEW_KEY_DOWN},
        {KEY_PPAGE, VIEW_KEY_PAGE_UP},
        {KEY_NPAGE, VIEW_KEY_PAGE_DOWN},
        {KEY_HOME, VIEW_KEY_FIRST},
        {'g', VIEW_KEY_FIRST},
        {KEY_END, VIEW_KEY_LAST},
        {'G', VIEW_KEY_LAST},
        {'\r', VIEW_KEY_ENTER},
        {'\n', VIEW_KEY_ENTER},
        {KEY_ENTER, VIEW_KEY_ENTER},
        {27, VIEW_KEY_BACK},
        {KEY_BACKSPACE, VIEW_KEY_BACK},
        {'\b', VIEW_KEY_BACK},
        {127, VIEW_KEY_BACK},
        {'b', VIEW_KEY_BACK},
        {KEY_LEFT, VIEW_KEY_SORT_LEFT},
        {'<', VIEW_KEY_SORT_LEFT},
        {KEY_RIGHT, VIEW_KEY_SORT_RIGHT},
        {'>', VIEW_KEY_SORT_RIGHT},
        {'r', VIEW_KEY_REVERSE},
        {'p', VIEW_KEY_PAUSE},
        {' ', VIEW_KEY_PAUSE},
        {'+', VIEW_KEY_FASTER},
        {'-', VIEW_KEY_SLOWER},
        {'h', VIEW_KEY_HELP},
        {'?', VIEW_KEY_HELP},
        {'q', VIEW_KEY_QUIT},
        {'Q', VIEW_KEY_QUIT},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].key == key)
            return keys[i].means;
    return VIEW_KEY_NONE;
}

bool screen_key(struct screen *screen, enum view_key *ret_key, bool *ret_resized) {
    (void)screen;
    int key = getch();
    if (key == ERR)
        return false;
    *ret_resized = key == KEY_RESIZE;
    *ret_key = meaning(key);
    return true;
}

# SPDX-License-Identifier: MIT
"""SVG plots of figures, readable on white and on dark pages: nothing is drawn behind them, every colour stands out against both,
and letters follow the page where the reader's program says which one it is."""

import html
import math

LIGHT, DARK = "#ffffff", "#0d1117"  # the pages that this is made for
TEXT, TEXT_DARK, RULE = "#6e7781", "#9aa4ae", "#868e96"
COLOURS = ("#2f81f7", "#d0680c", "#2a9d4a", "#a371f7", "#e5534b", "#168aa0", "#b8860b", "#d2619b", "#7d8590", "#5a8f00", "#8f6bd6")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
WIDTH, LINE = 480, 20  # as wide as it is drawn where there is room; on a telephone the letters are still three quarters of their size
TITLE = 56  # letters that have room in its width
BAR = 9  # of bars, the height; their names stand above them


def colour(number):
    return COLOURS[number % len(COLOURS)]


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind and f" class={chr(34)}{kind}{chr(34)}"}>{html.escape(words)}</text>'


def rule(x1, y1, x2, y2, more=f'stroke="{RULE}" stroke-opacity="0.4"'):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def document(title, height, parts):
    """A whole SVG with a heading."""
    assert len(title) <= TITLE, title
    style = (f"text{{font:13px system-ui,sans-serif;fill:{TEXT}}}.title{{font-weight:600;font-size:14px}}.group{{font-weight:600}}"
             f"@media (prefers-color-scheme:dark){{text{{fill:{TEXT_DARK}}}}}")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img" aria-label="{html.escape(title, quote=True)}">'
    return "\n".join(["<!-- SPDX-License-Identifier: MIT -->", head, f"<style>{style}</style>", text(0, 15, title, kind="title"), *parts,
                      "</svg>", ""])


def bars(title, groups, show):
    """groups: [(name, [(label, figures.Spread), ...])]; the same label has the same colour everywhere. Bars begin at 0; a thin line
    goes from the lowest to the highest round. show(value) is what stands behind a bar."""
    known = {label: number for number, label in enumerate(dict.fromkeys(label for _, group in groups for label, _ in group))}
    scale = WIDTH / (max(found.highest for _, group in groups for _, found in group) or 1)
    parts, y = [], 26
    for name, group in groups:
        y += LINE
        parts.append(text(0, y, name, kind="group"))
        for label, found in group:
            parts += bar(y, label, found, scale, colour(known[label]), show)
            y += LINE + BAR + 4
        y += LINE // 2
    return document(title, y, parts)


def bar(y, label, found, scale, look, show):
    """Below y: its name, its figure, and the bar below both."""
    middle = y + LINE + BAR / 2
    return [text(0, y + LINE - 5, label), text(WIDTH, y + LINE - 5, show(found.median), "end"),
            f'<rect x="0" y="{y + LINE}" width="{max(1, found.median * scale):.1f}" height="{BAR}" fill="{look}"/>',
            rule(found.lowest * scale, middle, found.highest * scale, middle, f'stroke="{RULE}" stroke-width="2"')]


def place(percent):
    """From left to right: each step is a tenth of the requests that are left; the slowest of all has one of its own."""
    return 5.0 if percent >= 100 else min(4.5, -math.log10(1 - percent / 100))


def ticks(lowest, highest):
    """1, 2 and 5 times powers of ten that lie between."""
    found = [factor * 10.0 ** power for power in range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1) for factor in (1, 2, 5)]
    return [tick for tick in found if lowest <= tick <= highest]


def curves(title, series, unit="ms"):
    """series: [(label, [[percent, value], ...])]: how long the fastest so many percent took at most. Both axes are logarithmic."""
    values = [max(value, 1e-4) for _, curve in series for _, value in curve]
    lowest, highest = min(values) * 0.8, max(values) * 1.25
    left, right, top, bottom = 44, WIDTH - 16, 36, 340

    def x(percent):
        return left + (place(percent) - place(50)) / (5 - place(50)) * (right - left)

    def y(value):
        return bottom - math.log(max(value, 1e-4) / lowest) / math.log(highest / lowest) * (bottom - top)

    parts = [rule(left, y(tick), right, y(tick)) + text(left - 6, y(tick) + 4, f"{tick:g}", "end") for tick in ticks(lowest, highest)]
    parts += [rule(x(percent), top, x(percent), bottom) + text(x(percent), bottom + 18, name, "middle") for percent, name in
              ((50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"), (100, "all"))]
    parts.append(text(left, bottom + 38, f"{unit}, of the fastest so many requests"))
    for number, (label, curve) in enumerate(series):
        look = f'fill="none" stroke="{colour(number)}" stroke-width="2" stroke-dasharray="{DASHES[number // 3 % len(DASHES)]}"'
        points = " ".join(f"{x(percent):.1f},{y(value):.1f}" for percent, value in curve)
        below = bottom + 62 + number * LINE
        parts += [f'<polyline points="{points}" {look}/>', rule(left, below - 4, left + 34, below - 4, look), text(left + 42, below, label)]
    return document(title, bottom + 54 + len(series) * LINE, parts)


def contrast(one, other):
    """How much two colours differ, from 1 to 21, as the web's guidelines for accessibility (WCAG 2) count it."""

    def luminance(name):
        channels = [int(name[at:at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)

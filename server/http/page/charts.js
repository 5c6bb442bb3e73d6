// SPDX-License-Identifier: MIT
// One chart: a title, a legend that has the figures of the newest second or of the one under the cursor, and uPlot's picture.
// All charts share one cursor. Those that are out of sight have their figures, and get their pictures when they are scrolled to.
// Colours are variables of page.css; lines differ in their
// strokes as well.

import { clockMinute, clockSecond } from "./units.js";

const HEIGHT = 132;
const STROKES = ["solid", "dashed", "dotted", "thick"];
const DASHES = { solid: [], dashed: [6, 4], dotted: [1.5, 3], thick: [] };
const BINARY = Array.from({ length: 44 }, (_, i) => 2 ** i);
const MOMENTS = [5, 10, 15, 30, 60, 120, 300]; // seconds
const WHOLE = Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
const POWERS = Array.from({ length: 12 }, (_, i) => 10 ** (i - 2));
const DECIMAL = Array.from({ length: 45 }, (_, i) => [1, 2, 5][i % 3] * 10 ** (Math.floor(i / 3) - 2));

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // texts stay texts
  return made;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function fontOfAxes() {
  return `11px ${getComputedStyle(document.body).fontFamily}`;
}

// Points that have a gap on both sides, which no line would show.
function lonely(values) {
  const found = [];
  values.forEach((value, i) => {
    if (value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) found.push(i);
  });
  return found;
}

// The lines of a pile: the first is the sum of all, the last the lowest.
function pile(columns) {
  const sums = columns.map((values) => values.slice());
  for (let at = sums.length - 2; at >= 0; at--)
    for (let i = 0; i < sums[at].length; i++)
      if (sums[at + 1][i] !== null) sums[at][i] = (sums[at][i] ?? 0) + sums[at + 1][i];
  return sums;
}

// spec: title, note (a line below it), format (units.js), series [{label, key, tone}], scale ("binary" sizes, "whole" numbers,
// "log"), piled, top (the least that the axis shows), ceiling (the most), empty (what is said where nothing is to be drawn),
// zeroIsEmpty.
export class Chart {
  constructor(spec, reading) {
    this.spec = spec;
    this.reading = reading;
    this.columns = spec.series.map(() => []);
    this.drawn = this.columns;
    this.times = [];
    this.window = [0, 1];
    this.bands = [];
    this.inSight = false;
    this.build();
    this.sight = new IntersectionObserver((seen) => this.onSight(seen[seen.length - 1].isIntersecting), { rootMargin: "200px" });
    this.sizes = new ResizeObserver(() => this.resize());
    this.sight.observe(this.root);
    this.sizes.observe(this.canvas);
  }

  build() {
    this.legend = element("ul", { class: "legend" });
    this.values = this.spec.series.map((series, i) => {
      const value = element("b", { class: "value" });
      const swatch = element("i", { class: `swatch ${this.spec.piled ? "block" : STROKES[i % 4]}` });
      swatch.style.color = `var(${this.tone(i)})`;
      this.legend.append(element("li", {}, swatch, element("span", { class: "name" }, series.label), value));
      return value;
    });
    this.empty = element("p", { class: "empty" }, this.spec.empty || "Nothing to draw yet");
    this.canvas = element("div", { class: "canvas", tabindex: "0", role: "img" });
    const title = element("figcaption", {}, this.spec.title);
    if (this.spec.note) title.append(element("small", {}, this.spec.note));
    this.root = element("figure", { class: "chart" }, title, this.legend, this.canvas, this.empty);
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
    this.canvas.addEventListener("blur", () => this.dropCursor());
  }

  tone(i) {
    return this.spec.series[i].tone || `--tone-${(i % 8) + 1}`;
  }

  onSight(inSight) {
    this.inSight = inSight;
    if (inSight) this.draw();
  }

  resize() {
    const width = this.canvas.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  end() {
    this.sight.disconnect();
    this.sizes.disconnect();
    if (this.plot) this.plot.destroy();
    this.plot = null;
  }

  options() {
    const grid = { stroke: () => colour("--line"), width: 1 };
    const axis = { stroke: () => colour("--quiet"), font: fontOfAxes(), grid, ticks: { show: false } };
    return {
      width: this.canvas.clientWidth || 300, height: HEIGHT, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "forebay" } },
      scales: { x: { time: true, range: () => this.window }, y: this.scale() },
      axes: [
        { ...axis, size: 26, gap: 8, space: 84, incrs: MOMENTS,
          values: (_, splits, _axis, _space, step) => splits.map(step < 60 ? clockSecond : clockMinute) },
        { ...axis, size: 62, gap: 6, space: 30, ...this.marks(), values: (_, splits) => splits.map(this.spec.format) },
      ],
      series: [{}, ...this.spec.series.map((_, i) => this.line(i))],
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)], drawClear: [(plot) => this.drawBands(plot)] },
    };
  }

  line(i) {
    const stroke = STROKES[i % 4];
    const base = { spanGaps: false, points: { show: true, size: 3, filter: () => lonely(this.drawn[i]) } };
    if (this.spec.piled)
      return { ...base, stroke: () => colour("--ground"), fill: () => colour(this.tone(i)), width: 1 };
    return { ...base, stroke: () => colour(this.tone(i)), width: stroke === "thick" ? 2.5 : 1.5, dash: DASHES[stroke] };
  }

  scale() {
    return this.spec.scale === "log" ? { distr: 3, log: 10, range: (_, low, high) => this.decades(low, high) }
      : { range: (_, low, high) => this.range(high) };
  }

  // Where the upright axis has its marks.
  marks() {
    if (this.spec.scale !== "log") return { incrs: { binary: BINARY, whole: WHOLE }[this.spec.scale] || DECIMAL };
    return { splits: (_plot, _axis, low, high) => POWERS.filter((power) => power >= low * 0.99 && power <= high * 1.01),
      filter: (_, splits) => splits };
  }

  decades(low, high) {
    const from = Math.floor(Math.log10(low || 1));
    return [10 ** from, 10 ** Math.max(from + 1, Math.ceil(Math.log10(high || 1000)))];
  }

  range(high) {
    const least = this.spec.top || 1;
    return [0, this.spec.ceiling || Math.max(least, (high || 0) * 1.08)];
  }

  // bands: of each second, whether it is to stand out.
  set(times, window, columns, bands = []) {
    this.times = times;
    this.window = window;
    const nothing = new Array(times.length).fill(null);
    this.columns = columns.map((values) => (values && values.length === times.length ? values : nothing));
    this.bands = bands;
    this.drawn = this.spec.piled ? pile(this.columns) : this.columns;
    const counts = (value) => value !== null && (value !== 0 || !this.spec.zeroIsEmpty);
    this.root.classList.toggle("is-empty", !this.columns.some((values) => values.some(counts)));
    this.summarize();
    this.draw();
    this.tell(this.plot ? this.plot.cursor.idx : null);
  }

  draw() {
    if (!this.inSight || this.times.length === 0) return;
    const data = [this.times, ...this.drawn];
    if (this.plot) this.plot.setData(data);
    else this.plot = new uPlot(this.options(), data, this.canvas);
  }

  drawBands(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.fillStyle = colour("--band");
    this.bands.forEach((stands, i) => {
      if (!stands) return;
      const from = Math.max(left, plot.valToPos(this.times[i] - 0.5, "x", true));
      const to = Math.min(left + width, plot.valToPos(this.times[i] + 0.5, "x", true));
      plot.ctx.fillRect(from, top, Math.ceil(to - from), height);
    });
  }

  // The legend of a second; null: of the newest.
  tell(index) {
    const at = index ?? this.times.length - 1;
    this.values.forEach((value, i) => {
      const text = this.spec.format(this.columns[i][at]);
      if (value.textContent !== text) value.textContent = text;
    });
  }

  summarize() {
    const parts = this.spec.series.map((series, i) => {
      const { format } = this.spec;
      const values = this.columns[i].filter((value) => value !== null);
      if (values.length === 0) return `${series.label}: none`;
      return `${series.label}: now ${format(this.columns[i].at(-1))}, highest ${format(Math.max(...values))}`;
    });
    this.canvas.setAttribute("aria-label", `${this.spec.title}, the last ten minutes. ${parts.join("; ")}.`);
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.dropCursor();
    if (!(event.key in steps) || !this.plot) return;
    event.preventDefault();
    const newest = this.times.length - 1;
    const from = this.plot.cursor.idx ?? newest;
    const at = Math.min(newest, Math.max(0, from + steps[event.key]));
    this.plot.setCursor({ left: this.plot.valToPos(this.times[at], "x"), top: 10 }, true, true); // and that of the others
    const figures = this.spec.series.map((series, i) => `${series.label} ${this.spec.format(this.columns[i][at])}`);
    this.reading(`${clockSecond(this.times[at])}: ${figures.join(", ")}`);
  }

  dropCursor() {
    if (this.plot) this.plot.setCursor({ left: -10, top: -10 }, true, true);
  }

  redraw() {
    if (this.plot) this.plot.redraw(false);
  }
}

// SPDX-License-Identifier: MIT
// The sections of charts, and what each of them draws of a history. Those of a namespace show the one that is chosen, or all
// of them together; those of backends, the backend of the chosen one, or all.

import { Chart, element } from "./charts.js";
import { bytes, count, percent, rate, time, traffic } from "./units.js";
import { ratio } from "./history.js";

const PILE_MOST = 7; // namespaces that a pile tells apart; the others are one more

const lines = (...pairs) => pairs.map(([key, label, tone]) => ({ key, label, tone }));
const quantiles = (name) => lines([`${name}_p50`, "half take less than"], [`${name}_p99`, "99 % take less than"]);

const REQUESTS = [
  { title: "Requests", format: rate, zeroIsEmpty: true, empty: "No requests in these minutes",
    series: lines(["hits", "hits"], ["misses", "misses"], ["changes", "changes"], ["errors", "errors", "--bad"]) },
  { title: "Hit ratio", format: percent, ceiling: 100, empty: "No reads in these minutes",
    series: lines(["ratio", "of the reads"]) },
];

const LATENCY = [
  { title: "Reads from memory", format: time, scale: "log", empty: "No reads in these minutes", series: quantiles("hit") },
  { title: "Reads that waited for the backend", format: time, scale: "log", empty: "No read has waited for a backend",
    series: quantiles("load") },
  { title: "Changes", format: time, scale: "log", empty: "No changes in these minutes", series: quantiles("write") },
];

const MEMORY = [
  { title: "Memory", format: bytes, scale: "binary", top: 1024, series: lines(["memory", "taken"]) },
  { title: "Entries", format: count, scale: "whole", top: 4, series: lines(["entries", "live"]) },
  { title: "Dropped", format: rate, series: lines(["evictions", "evicted for room"], ["expirations", "life was over"]) },
];

const WRITES = [
  { title: "Dirty entries", note: "which the backend has yet to get", format: count, scale: "whole", top: 4,
    series: lines(["dirty", "entries"]) },
  { title: "Lag", note: "age of the oldest change that waits", format: time, top: 1e6, series: lines(["lag", "oldest"]) },
  { title: "Changes and rows", note: "changes of one entry become one row", format: rate,
    series: lines(["accepted", "changes"], ["rows", "rows written"], ["retries", "batches to repeat", "--bad"]) },
  { title: "Quarantine", note: "changes that the backend refuses for good", format: count, scale: "whole", top: 4,
    series: lines(["quarantine", "entries", "--bad"]) },
];

const BACKEND = [
  { title: "Calls", format: rate, series: lines(["calls", "all"], ["failures", "failed", "--bad"]) },
  { title: "Time of calls", note: "shaded: not asked, as it failed", format: time, scale: "log",
    empty: "Not called in these minutes",
    series: lines(["load_p50", "reads, half"], ["load_p99", "reads, 99 %"],
      ["apply_p50", "writes, half"], ["apply_p99", "writes, 99 %"]) },
  { title: "Waiting", format: count, scale: "whole", top: 4, series: lines(["waiting", "keys to be looked up"]) },
];

// Of a coherent backend, too.
const COHERENCE = [
  { title: "Changes in the store", note: "this server's own included", format: rate,
    series: lines(["heard", "heard of"], ["compared", "compared"], ["forgotten", "forgotten here"]) },
];

const SERVER = [
  { title: "CPU", note: "100 % is one core", format: percent, top: 10, series: lines(["percent", "of a core"]) },
  { title: "Resident memory", format: bytes, scale: "binary", top: 1024,
    series: lines(["resident", "process"], ["memory_used", "cache"]) },
  { title: "Connections", format: count, scale: "whole", top: 4, series: lines(["connections", "open"]) },
  { title: "Traffic", format: traffic, series: lines(["received", "received"], ["sent", "sent"]) },
  { title: "A worker's turn", format: time, scale: "log", empty: "No turns in these minutes", series: quantiles("turn") },
];

const JOURNAL = [
  { title: "Length", format: bytes, scale: "binary", top: 1024, series: lines(["journal_bytes", "files in use"]) },
  { title: "Syncs", format: time, scale: "log", empty: "No syncs in these minutes", series: quantiles("fsync") },
  { title: "Kept since", note: "all older changes are in the backends", format: time, top: 1e6,
    series: lines(["journal_lag", "oldest"]) },
];

const STATES = ["in use", "not asked, as it failed", "tried again"]; // by the state of its breaker

function stateOf({ read_breaker: reading, write_breaker: writing }) {
  if (reading === null || writing === null) return "of an unknown state";
  return reading === writing ? STATES[reading] : `reads: ${STATES[reading]}; writes: ${STATES[writing]}`;
}

// What more there is of a store that others write to, or that has several nodes.
function companyOf({ others, believes }, nodes) {
  const parts = [];
  if (others > 0) parts.push(others === 1 ? "one more server writes to it" : `${others} more servers write to it`);
  if (believes !== null) parts.push(believes ? "changes by others are heard" : "changes by others are not heard: memory is not believed");
  if (nodes.length) parts.push(`${nodes.filter((node) => node.up).length} of ${nodes.length} nodes serve`);
  return parts.map((part) => `; ${part}`).join("");
}

function nodeText({ name, up, slots, commands, errors, exchange }) {
  const trouble = errors > 0 ? `, ${rate(errors)} errors` : "";
  return `${name}${up ? "" : " does not serve"}: ${count(slots)} slots, ${rate(commands)}, ${time(exchange)} each${trouble}`;
}

const none = (values) => !values || values.every((value) => value === null);

// Figures that the page makes of others.
function derive(history) {
  const { hits, misses } = history.chosen;
  const chosen = { ...history.chosen, ratio: hits && hits.map((value, i) => ratio(value, misses[i])) };
  const cpu = history.server.cpu;
  return { chosen, server: { ...history.server, percent: cpu && cpu.map((value) => value === null ? null : 100 * value) } };
}

// The largest namespaces by what they take now, and the rest as one.
function pileOf(spaces) {
  const ordered = [...spaces].sort((a, b) => (b.now.memory ?? 0) - (a.now.memory ?? 0));
  const alone = ordered.length > PILE_MOST + 1 ? ordered.slice(0, PILE_MOST) : ordered;
  const others = ordered.slice(alone.length);
  const parts = alone.map((space) => ({ label: space.name, values: space.memory }));
  if (others.length) {
    const sum = others[0].memory.map((_, i) => others.reduce((total, space) => total + (space.memory[i] ?? 0), 0));
    parts.push({ label: `${others.length} others`, values: sum });
  }
  return parts;
}

// A section with a heading, and its charts in a grid.
class Section {
  constructor(place, id, title, reading) {
    this.reading = reading;
    this.charts = [];
    this.of = element("span", { class: "of" });
    this.heading = element("h2", { id }, title, this.of);
    this.about = element("p", { class: "about" });
    this.list = element("ul", { class: "nodes" });
    this.list.hidden = true;
    this.grid = element("div", { class: "grid" });
    this.root = element("section", { "aria-labelledby": id }, this.heading, this.about, this.list, this.grid);
    place.append(this.root);
  }

  // Whose figures these are; "": of all.
  name(space) {
    const text = space ? ` of ${space.name}` : "";
    if (this.of.textContent !== text) this.of.textContent = text;
  }

  // Says this in place of the charts, or shows them.
  say(text, instead = false) {
    if (this.about.textContent !== text) this.about.textContent = text;
    this.about.hidden = !text;
    this.grid.hidden = instead;
  }

  // Lines below that: [text, whether it is bad].
  tell(lines) {
    const wanted = JSON.stringify(lines);
    if (wanted === this.told) return;
    this.told = wanted;
    this.list.hidden = lines.length === 0;
    this.list.replaceChildren(...lines.map(([text, bad]) => element("li", { class: bad ? "bad" : "good" }, text)));
  }

  // The charts of these specs, made anew where they are others than before.
  show(specs) {
    const wanted = JSON.stringify(specs.map((spec) => [spec.title, spec.series.map((series) => series.label)]));
    if (wanted === this.shown) return;
    this.shown = wanted;
    this.end();
    this.charts = specs.map((spec) => new Chart(spec, this.reading));
    this.grid.append(...this.charts.map((chart) => chart.root));
  }

  set(history, series, bands) {
    for (const chart of this.charts)
      chart.set(history.times, history.window, chart.spec.series.map(({ key }) => series[key]), bands);
  }

  end() {
    this.charts.forEach((chart) => chart.end());
    this.charts = [];
    this.grid.replaceChildren();
  }
}

export class Sections {
  constructor(place, reading) {
    this.reading = reading;
    this.requests = new Section(place, "requests", "Requests", reading);
    this.latency = new Section(place, "latency", "Latency", reading);
    this.memory = new Section(place, "memory", "Memory", reading);
    this.writes = new Section(place, "write-behind", "Write-behind", reading);
    this.backendsPlace = element("div");
    place.append(this.backendsPlace);
    this.backends = [];
    this.server = new Section(place, "server", "The whole server", reading);
    this.journal = new Section(place, "journal", "Journal", reading);
  }

  // space: the chosen namespace as the history has it; null: all.
  draw(history, space) {
    const { chosen, server } = derive(history);
    this.drawSpace(history, chosen, space);
    this.drawBackends(history, space);
    this.server.show(SERVER);
    this.server.set(history, server);
    this.journal.show(JOURNAL);
    this.journal.say(none(server.journal_bytes) ? "There is no journal." : "", none(server.journal_bytes));
    this.journal.set(history, server);
  }

  drawSpace(history, chosen, space) {
    for (const section of [this.requests, this.latency, this.memory, this.writes]) section.name(space);
    for (const [section, specs] of [[this.requests, REQUESTS], [this.latency, LATENCY], [this.writes, WRITES]]) {
      section.show(specs);
      section.set(history, chosen);
    }
    const nothing = none(chosen.dirty);
    this.writes.say(!nothing ? "" : space ? `${space.name} is ${space.policy}: nothing is held back.`
      : "No namespace is write-behind: nothing is held back.", nothing);
    this.drawMemory(history, chosen, space);
  }

  drawMemory(history, chosen, space) {
    const parts = space || history.namespaces.length < 2 ? null : pileOf(history.namespaces);
    const keys = parts && parts.map(({ label }, i) => ({ key: `part ${i}`, label }));
    const piled = { ...MEMORY[0], title: "Memory by namespace", piled: true, series: keys };
    this.memory.show(parts ? [piled, ...MEMORY.slice(1)] : MEMORY);
    const series = { ...chosen };
    (parts || []).forEach((part, i) => { series[`part ${i}`] = part.values; });
    this.memory.set(history, series);
  }

  drawBackends(history, space) {
    const shown = history.backends.filter((backend) => !space || backend.name === space.backend);
    const titles = shown.length ? shown.map((backend) => `Backend ${backend.name}`) : ["Backends"];
    if (titles.join(" ") !== this.backends.map((section) => section.heading.textContent).join(" ")) {
      this.backends.forEach((section) => section.end());
      this.backendsPlace.replaceChildren();
      this.backends = titles.map((title, i) => new Section(this.backendsPlace, `backend-${i}`, title, this.reading));
    }
    if (shown.length) shown.forEach((backend, i) => this.drawBackend(history, backend, this.backends[i]));
    else this.backends[0].say(space ? `${space.name} has no backend: it lives in memory alone.`
      : "There is no backend: all is in memory alone.", true);
  }

  drawBackend(history, backend, section) {
    const now = history.latest(backend.series);
    const { read_breaker: reading, write_breaker: writing } = backend.series;
    const bands = reading.map((state, i) => state > 0 || writing[i] > 0);
    const nodes = backend.nodes.map((node) => ({ name: node.name, ...history.latest(node.now) }));
    const bad = now.read_breaker > 0 || now.write_breaker > 0 || now.believes === 0 || nodes.some((node) => !node.up);
    section.root.classList.toggle("is-bad", bad);
    section.say(`${backend.kind}, ${stateOf(now)}${companyOf(now, nodes)}`);
    section.tell(nodes.map((node) => [nodeText(node), !node.up]));
    section.show(none(backend.series.believes) ? BACKEND : [...BACKEND, ...COHERENCE]);
    section.set(history, backend.series, bands);
  }

  redraw() {
    for (const section of [this.requests, this.latency, this.memory, this.writes, ...this.backends, this.server, this.journal])
      section.charts.forEach((chart) => chart.redraw());
  }
}

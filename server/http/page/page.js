// SPDX-License-Identifier: MIT
// The page: asks the server each second for what is new, and shows it. Nothing is asked while nobody looks; what was missed is
// asked for at once when somebody does, since the server keeps it.

import { element } from "./charts.js";
import { clockSecond, bytes, count, percent, rate, time } from "./units.js";
import { History, ratio } from "./history.js";
import { Sections } from "./sections.js";

const TURN_MS = 1000;
const PATIENCE_MS = 5000;
const CALM_TURNS = 10; // with prefers-reduced-motion, charts move so seldom

const find = (id) => document.getElementById(id);
const history = new History();
const sections = new Sections(find("figures"), (text) => { find("reading").textContent = text; });
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const page = {
  space: addressed(),
  lostAt: null, // when the server had not answered for the first time
  timer: 0,
  asking: false,
  turns: 0,
};

// The namespace that the address names; "" is all of them.
function addressed() {
  return new URLSearchParams(location.hash.slice(1)).get("namespace") || "";
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// ---- Asking ----

// No answer, or none that helps.
class Lost extends Error {}

async function ask(path) {
  try {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    return { status: response.status, text: (await response.text()).trim() };
  } catch (error) {
    throw new Lost(error.name === "TimeoutError" ? "it takes too long" : "it cannot be reached");
  }
}

async function askHistory() {
  const since = history.next;
  const space = page.space;
  const query = new URLSearchParams();
  if (since) query.set("since", since);
  if (space) query.set("namespace", space);
  const { status, text } = await ask(`history.json?${query}`);
  if (space !== page.space) return askHistory(); // another one was chosen meanwhile
  if (status === 404 && space) {
    choose("");
    return askHistory();
  }
  if (status !== 200) throw new Lost(text);
  return history.take(JSON.parse(text), since) || askHistory();
}

async function askReadiness() {
  const { status, text } = await ask("readyz?verbose");
  return { ready: status === 200, lines: text.split("\n") };
}

// Each turn; never two at a time.
async function turn() {
  clearTimeout(page.timer);
  if (page.asking || document.hidden) return;
  page.asking = true;
  const began = performance.now();
  try {
    const [readiness] = await Promise.all([askReadiness(), askHistory()]);
    found();
    show(readiness);
  } catch (error) {
    if (!(error instanceof Lost)) throw error;
    lose(error.message);
  } finally {
    page.asking = false;
    page.timer = setTimeout(turn, Math.max(50, TURN_MS - (performance.now() - began)));
  }
}

// ---- The server is away ----

function lose(why) {
  page.lostAt = page.lostAt ?? Date.now() / 1000;
  const since = `No answer from the server since ${clockSecond(page.lostAt)}: ${why}.`;
  setText(find("lost"), `${since} What is below is older. It is asked again each second.`);
  find("lost").hidden = false;
  setText(find("state"), "Unknown");
  find("state").className = "unknown";
  document.body.classList.add("is-lost");
}

function found() {
  page.lostAt = null;
  find("lost").hidden = true;
  document.body.classList.remove("is-lost");
}

// ---- Showing ----

function show(readiness) {
  showState(readiness);
  showHeadline();
  showTable();
  if (!calm.matches || page.turns++ % CALM_TURNS === 0) drawCharts();
}

function drawCharts() {
  sections.draw(history, history.namespaces.find((space) => space.name === page.space) || null);
}

// "[-]backends failed: why", "[+]backends ok: worth knowing"
function reasonOf(line) {
  const parts = line.match(/^\[([-+])\]([\w-]+) (?:failed|ok): (.+)$/);
  return parts && { bad: parts[1] === "-", text: `${parts[2]}: ${parts[3]}` };
}

function showState({ ready, lines }) {
  setText(find("state"), ready ? "Ready" : "Not ready");
  find("state").className = ready ? "good" : "bad";
  document.title = ready ? "Forebay" : "Forebay – not ready";
  const reasons = lines.map(reasonOf).filter(Boolean);
  const list = find("reasons");
  const shown = JSON.stringify(reasons);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.hidden = reasons.length === 0;
  list.replaceChildren(...reasons.map(({ bad, text }) => element("li", { class: bad ? "bad" : "note" }, text)));
}

// What is wrong with backends, in a few words; "": nothing.
function backendTrouble() {
  const now = history.backends.map((backend) => history.latest(backend.series));
  const away = now.filter((one) => one.read_breaker > 0 || one.write_breaker > 0).length;
  const nodes = history.backends.flatMap((backend) => backend.nodes).map((node) => history.latest(node.now));
  const gone = nodes.filter((node) => node.up === 0).length;
  const unheard = now.filter((one) => one.believes === 0).length;
  const troubles = [[away, "not asked"], [gone, gone === 1 ? "node away" : "nodes away"], [unheard, "not heard"]];
  return troubles.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`).join(", ");
}

function headlines() {
  const server = history.latest(history.server);
  const trouble = backendTrouble();
  const { operations, hits, misses, errors, dirty, lag, quarantine } = history.all;
  return [
    { name: "Requests", text: rate(operations) },
    { name: "Hit ratio", text: percent(ratio(hits ?? null, misses ?? null)) },
    { name: "Errors", text: rate(errors), bad: errors > 0 },
    { name: "Cache", text: bytes(server.memory_used), more: `of ${bytes(server.memory_limit)}` },
    { name: "Dirty", text: count(dirty), more: dirty === null ? "no write-behind" : `oldest ${time(lag)}` },
    { name: "Quarantine", text: count(quarantine), bad: quarantine > 0 },
    { name: "Backends", text: count(history.backends.length), more: trouble, bad: trouble !== "" },
    { name: "Connections", text: count(server.connections) },
  ];
}

function makeHeadline({ name }) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, element("b"), element("small")));
}

function showHeadline() {
  const list = find("headline");
  const figures = headlines();
  if (list.children.length !== figures.length)
    list.replaceChildren(...figures.map(makeHeadline));
  figures.forEach(({ text, more, bad }, i) => {
    const [value, beside] = list.children[i].lastChild.children;
    setText(value, text);
    setText(beside, more || "");
    list.children[i].classList.toggle("is-bad", Boolean(bad));
  });
  const { version, running } = history.answer;
  setText(find("about"), `version ${version}, up ${time(running * 1e6)}`);
}

// ---- The table of namespaces ----

const COPY_STAGES = ["counting", "clearing", "copying", "complete", "halted"];

// Of copy_to.
function copyOf({ copy_stage: stage, copy_percent: done }) {
  if (stage === null || stage === undefined) return "";
  const some = COPY_STAGES[stage] === "copying" && done !== null ? ` ${percent(done)}` : "";
  return `, copy ${COPY_STAGES[stage]}${some}`;
}

const COLUMNS = [
  ["wide names", (space) => space.policy + (space.backend ? ` to ${space.backend}` : "") + copyOf(space.now)],
  ["number", ({ now }) => rate(now.operations)],
  ["number", ({ now }) => percent(ratio(now.hits ?? null, now.misses ?? null))],
  ["number wide", ({ now }) => time(now.hit_p99)],
  ["number wide", ({ now }) => time(now.write_p99)],
  ["number wide", ({ now }) => count(now.entries)],
  ["number middle", ({ now }) => bytes(now.memory)],
  ["number", ({ now }) => count(now.dirty)],
  ["number wide", ({ now }) => time(now.lag)],
  ["number wide", ({ now }) => count(now.quarantine)],
];

function makeRow(space) {
  const radio = element("input", { type: "radio", name: "namespace", value: space.name });
  radio.checked = space.name === page.space;
  radio.addEventListener("change", () => choose(space.name));
  const label = element("label", {}, radio, space.name || "all");
  const cells = COLUMNS.map(([name]) => element("td", { class: name }));
  return element("tr", {}, element("th", { scope: "row" }, label), ...cells);
}

function showTable() {
  const body = find("namespaces").tBodies[0];
  const spaces = [{ name: "", policy: "", backend: "", now: history.all }, ...history.namespaces];
  const names = JSON.stringify(spaces.map((space) => space.name));
  if (body.dataset.names !== names) {
    body.dataset.names = names;
    const focused = body.contains(document.activeElement);
    body.replaceChildren(...spaces.map(makeRow));
    if (focused) (body.querySelector("input:checked") || body.querySelector("input")).focus();
  }
  spaces.forEach((space, i) => {
    const row = body.rows[i];
    row.classList.toggle("is-chosen", space.name === page.space);
    COLUMNS.forEach(([, format], k) => setText(row.cells[k + 1], format(space)));
  });
}

function choose(name) {
  page.space = name;
  history.forget();
  const query = name ? `#${new URLSearchParams({ namespace: name })}` : location.pathname;
  window.history.replaceState(null, "", query);
  for (const radio of document.querySelectorAll("#namespaces input")) radio.checked = radio.value === name;
  page.turns = 0;
  turn();
}

// ---- Light and dark ----

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  sections.redraw();
}

// A browser that keeps nothing of a page has no store, and says so by an exception.
function keep(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // it lasts as long as the page
  }
}

function kept() {
  try {
    return localStorage.getItem("theme") || "";
  } catch {
    return "";
  }
}

function startTheme() {
  const choice = find("theme");
  choice.value = kept();
  choice.addEventListener("change", () => {
    keep(choice.value);
    setTheme(choice.value);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => sections.redraw());
  setTheme(choice.value);
}

startTheme();
document.addEventListener("visibilitychange", turn);
window.addEventListener("hashchange", () => choose(addressed()));
turn();

// SPDX-License-Identifier: MIT
// What /history.json has told: the last minutes, second by second, as the server keeps them. A figure that there is none of
// is null. Nothing here knows the document.

export const SECONDS = 600;
const LEAST_SECONDS = 120; // so much is shown, also of a server that has just started

// The object of series, each longer by what is new and no longer than the window.
function joinSeries(old, added, count) {
  const joined = {};
  for (const [name, values] of Object.entries(added)) joined[name] = join(old && old[name], values, count);
  return joined;
}

// What was not there before has a gap in place of it.
function join(old, added, count) {
  const before = old || new Array(count).fill(null);
  return before.concat(added).slice(-SECONDS);
}

const last = (values) => (values && values.length ? values[values.length - 1] : null);

export function ratio(hits, misses) {
  return hits === null || misses === null || hits + misses === 0 ? null : (100 * hits) / (hits + misses);
}

export class History {
  constructor() {
    this.forget();
  }

  forget() {
    this.life = null;
    this.first = 0;
    this.count = 0;
    this.epoch = 0;
    this.answer = null;
    this.chosen = {};
    this.all = {}; // of all namespaces together, the newest second alone
    this.server = {};
    this.backends = [];
    this.namespaces = [];
  }

  // The second to be asked for next; 0: all that there is.
  get next() {
    return this.life === null || this.count === 0 ? 0 : this.first + this.count;
  }

  // Takes an answer. False: it does not go on from what is here (the server was started anew, or this page has slept for
  // too long), and all has to be asked for.
  take(answer, since) {
    const goesOn = since > 0 && answer.life === this.life && answer.first === since;
    if (since > 0 && !goesOn) {
      this.forget();
      return false;
    }
    if (!goesOn) this.forget();
    const had = this.count;
    this.chosen = joinSeries(this.chosen, answer.chosen, had);
    this.all = this.latest(answer.all);
    this.server = joinSeries(this.server, answer.server, had);
    this.takeBackends(answer.backends, had);
    this.takeNamespaces(answer.namespaces, had);
    const all = had + answer.count;
    this.count = Math.min(all, SECONDS);
    this.first = answer.first - had + (all - this.count);
    this.life = answer.life;
    this.epoch = answer.epoch;
    this.answer = answer;
    return true;
  }

  takeBackends(added, had) {
    const old = new Map(this.backends.map((backend) => [backend.name, backend.series]));
    this.backends = added.map((one) => ({ ...one, series: joinSeries(old.get(one.name), one.series, had) }));
  }

  takeNamespaces(added, had) {
    const old = new Map(this.namespaces.map((space) => [space.name, space.memory]));
    this.namespaces = added.map((one) => {
      return { ...one, now: this.latest(one.now), memory: join(old.get(one.name), one.memory, had) };
    });
  }

  // Unix seconds of the figures; and the first and last that charts show.
  get times() {
    return Array.from({ length: this.count }, (_, i) => this.epoch + this.first + i);
  }

  get window() {
    const newest = this.epoch + this.first + this.count - 1;
    return [newest - Math.max(this.count, LEAST_SECONDS) + 1, newest];
  }

  latest(series) {
    return Object.fromEntries(Object.entries(series).map(([name, values]) => [name, last(values)]));
  }
}

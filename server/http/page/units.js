// SPDX-License-Identifier: MIT
// Numbers as people read them. null and NaN are a dash: there is no such figure.

const NONE = "–";
const SPACE = "\u202f"; // narrow, and never the end of a line

// Three digits that count: 1.23, 12.3, 123.
function digits(number) {
  const size = Math.abs(number);
  return number.toFixed(size >= 99.95 || size === Math.round(size) ? 0 : size >= 9.995 ? 1 : 2);
}

function scaled(number, step, units) {
  let at = 0;
  while (Math.abs(number) >= step * 0.9995 && at < units.length - 1) {
    number /= step;
    at++;
  }
  return digits(number) + (units[at] ? SPACE + units[at] : "");
}

const isNone = (number) => number === null || number === undefined || Number.isNaN(number);

// A number of things. Below 10 000 it is told in full.
export function count(number) {
  if (isNone(number)) return NONE;
  if (number >= 10000) return scaled(number, 1000, ["", "k", "M", "G", "T"]);
  return Math.round(number).toLocaleString("en").replace(",", SPACE);
}

export function rate(number) {
  return isNone(number) ? NONE : scaled(number, 1000, ["", "k", "M", "G"]) + "/s";
}

export function bytes(number) {
  return isNone(number) ? NONE : scaled(number, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

export function traffic(number) {
  return isNone(number) ? NONE : scaled(number, 1000, ["B", "kB", "MB", "GB"]) + "/s";
}

export function percent(number) {
  return isNone(number) ? NONE : digits(number) + SPACE + "%";
}

// Of microseconds.
export function time(us) {
  if (isNone(us)) return NONE;
  if (us < 60e6) return us === 0 ? "0" : scaled(us, 1000, ["µs", "ms", "s"]);
  const minutes = Math.floor(us / 60e6);
  if (minutes < 60) return `${minutes}${SPACE}min ${Math.floor(us / 1e6) % 60}${SPACE}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}${SPACE}h ${minutes % 60}${SPACE}min`;
  return `${Math.floor(hours / 24)}${SPACE}days ${hours % 24}${SPACE}h`;
}

const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// Of Unix seconds, in local time.
export const clockMinute = (seconds) => minute.format(seconds * 1000);
export const clockSecond = (seconds) => second.format(seconds * 1000);

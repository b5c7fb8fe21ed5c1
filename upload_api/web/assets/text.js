// The words of the page (one file: strings.json) and how numbers are said.
import strings from "./strings.js";

/** The string `key`, with `{name}` replaced by `values.name`. */
export function say(key, values = {}) {
  const found = strings[key];
  if (found === undefined) throw new Error(`no string ${key}`);
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export function percent(fraction) {
  return `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)} %`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A bit rate as people compare them. */
export function bitRate(bps) {
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

const languages = new Intl.DisplayNames(undefined, { type: "language" });

/** The name of a BCP 47 language; nothing where it is not known. */
export function language(tag) {
  return !tag || tag === "und" ? "" : languages.of(tag);
}

/** A length as a clock shows it: 1:02:03. */
export function clock(seconds) {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** How long something takes, roughly. */
export function span(seconds) {
  if (seconds < 60) return say("time.seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 3600) return say("time.minutes", { n: Math.round(seconds / 60) });
  return say("time.hours", { h: Math.floor(seconds / 3600), m: Math.round((seconds % 3600) / 60) });
}

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** When something was, seen from now. */
export function ago(moment) {
  const seconds = (Date.now() - new Date(moment).getTime()) / 1000;
  if (seconds < 60) return say("time.now");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86400), "day");
}

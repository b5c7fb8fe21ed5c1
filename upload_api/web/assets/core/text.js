// The words of the app (one file: strings.json) and how numbers are said.
import strings from "../strings.js";

/** The string `key`, with `{name}` replaced by `values.name`. */
export function say(key, values = {}) {
  const found = strings[key];
  if (found === undefined) throw new Error(`no string ${key}`);
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** The same for a number of things: `key.one` or `key`. */
export const count = (key, n, values = {}) => say(n === 1 ? `${key}.one` : key, { n, ...values });

export const percent = (share) => `${Math.floor(Math.min(1, Math.max(0, share)) * 100)} %`;

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const said = value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, "");
  return `${said} ${units[unit]}`;
}

/** A bit rate as people compare them. */
export function bitRate(bps) {
  if (bps >= 10_000_000) return `${Math.round(bps / 1_000_000)} Mbit/s`;
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

const languages = new Intl.DisplayNames(undefined, { type: "language" });

/** The name of a BCP 47 language; nothing where it is not known. */
export function language(tag) {
  if (!tag || tag === "und") return "";
  try {
    return languages.of(tag);
  } catch {
    return tag;
  }
}

/** A length as a clock shows it: 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-3));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** The length of a film on that clock: what lasts less than a second is not nothing. */
export const lasting = (seconds) => clock(seconds > 0 ? Math.max(1, seconds) : 0);

/** How long something takes, roughly. */
export function span(seconds) {
  if (seconds < 9.95) return say("time.seconds", { n: Math.max(0.1, seconds).toFixed(1) });
  if (seconds < 60) return say("time.seconds", { n: Math.round(seconds) });
  if (seconds < 3600) return say("time.minutes", { n: Math.round(seconds / 60) });
  return say("time.hours", { h: Math.floor(seconds / 3600), m: Math.floor((seconds % 3600) / 60) });
}

/** The same where tenths would flicker. */
export const roughly = (seconds) => (seconds < 8 ? say("time.few") : span(Math.max(10, seconds)));

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** When something was, seen from now. */
export function ago(moment) {
  const seconds = (Date.now() - new Date(moment).getTime()) / 1000;
  if (seconds < 60) return say("time.now");
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return relative.format(-Math.floor(seconds / 3600), "hour");
  return relative.format(-Math.floor(seconds / 86400), "day");
}

const CODECS = [
  [/^avc1/, "H.264"],
  [/^hvc1|^hev1/, "HEVC"],
  [/^av01/, "AV1"],
  [/^vp09/, "VP9"],
  [/^mp4a\.40\.2/, "AAC"],
  [/^mp4a\.40\.(5|29)/, "HE-AAC"],
  [/^ec-3/, "Dolby Digital Plus"],
  [/^ac-3/, "Dolby Digital"],
  [/^[Oo]pus/, "Opus"],
];

/** The name that people know an RFC 6381 codec by. */
export const codec = (said) => (said ? (CODECS.find(([form]) => form.test(said))?.[1] ?? said) : "");

/** Channels as people say them. */
export function channels(n) {
  const known = { 1: "audio.mono", 2: "audio.stereo", 6: "audio.five", 8: "audio.seven" };
  return known[n] ? say(known[n]) : say("audio.channels", { n });
}

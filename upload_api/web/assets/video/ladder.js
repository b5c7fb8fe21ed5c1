// The ladder: what each rung has come to, as a table and as a plot of bit rate against resolution.
import { draw, fill, make } from "../core/dom.js";
import { bitRate, bytes, channels, codec, say } from "../core/text.js";
import { shortName } from "./names.js";

const HEIGHT = 220;
const WIDTHS = [320, 760];
const PAD = { left: 44, right: 76, top: 22, bottom: 30 };
const MARKS = [100e3, 200e3, 500e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6];

export function showTable(root, details) {
  const head = ["ladder.name", "ladder.size", "ladder.codec", "ladder.mean", "ladder.peak", "ladder.cap", "ladder.bytes"];
  const numbers = new Set(["ladder.mean", "ladder.peak", "ladder.cap", "ladder.bytes"]);
  const rate = (bps) => make("td", { class: "number" }, bps ? bitRate(bps) : "–");
  const row = (each) =>
    make(
      "tr",
      {},
      make("td", {}, shortName(each)),
      make("td", {}, each.kind === "video" ? `${each.width} × ${each.height}` : channels(each.channels)),
      make("td", { title: each.codecs ?? "" }, codec(each.codecs) || "…"),
      rate(each.mean_rate_bps), rate(each.peak_rate_bps), rate(each.kind === "video" && each.max_rate_bps), // sound aims at its rate, and has no cap
      make("td", { class: "number" }, each.size_bytes ? bytes(each.size_bytes) : "–"),
    );
  const sorted = [...details.renditions].sort((a, b) => (b.height ?? 0) - (a.height ?? 0));
  fill(
    root,
    make("thead", {}, make("tr", {}, ...head.map((words) => make("th", { scope: "col", class: numbers.has(words) ? "number" : "" }, say(words))))),
    make("tbody", {}, ...sorted.map(row)),
  );
}

/** What a rung is called by: its lines, or of a portrait its columns. */
const size = (rung) => Math.min(rung.width, rung.height);

/** `root`: an svg. Rates go up in equal steps by factor, as eyes judge them. */
export function showPlot(root, details) {
  const rungs = details.renditions.filter((each) => each.kind === "video" && each.mean_rate_bps).sort((a, b) => a.height - b.height);
  root.parentElement.hidden = rungs.length < 2;
  if (rungs.length < 2) return;
  // Drawn for the width that it has, so that its letters stay as large as others.
  const width = Math.min(WIDTHS[1], Math.max(WIDTHS[0], root.clientWidth || 640));
  const rates = rungs.flatMap((each) => [each.mean_rate_bps, each.peak_rate_bps, each.max_rate_bps]).filter(Boolean);
  const [least, most] = [Math.log(Math.min(...rates) * 0.7), Math.log(Math.max(...rates) * 1.15)];
  const top = Math.max(...rungs.map(size)) * 1.08;
  const x = (bps) => PAD.left + ((Math.log(bps) - least) / (most - least)) * (width - PAD.left - PAD.right);
  const y = (lines) => HEIGHT - PAD.bottom - (lines / top) * (HEIGHT - PAD.top - PAD.bottom);
  const base = HEIGHT - PAD.bottom;
  const apart = width < 480 ? 2 : 1;
  const marks = MARKS.filter((bps) => Math.log(bps) > least && Math.log(bps) < most).filter((_, n) => n % apart === 0);
  const points = rungs.map((each) => [x(each.mean_rate_bps), y(size(each))]);
  const rise = points.map(([px, py], n) => `${n ? "L" : "M"}${px} ${py}`).join("");
  root.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  root.setAttribute("aria-label", say("ladder.plot", { list: rungs.map((each) => `${shortName(each)} ${bitRate(each.mean_rate_bps)}`).join(", ") }));
  fill(
    root,
    ...marks.flatMap((bps) => [
      draw("line", { class: "axis-line", x1: x(bps), x2: x(bps), y1: PAD.top - 8, y2: base }),
      draw("text", { x: x(bps), y: base + 18, "text-anchor": "middle" }, bitRate(bps)),
    ]),
    ...rungs.map((each) => draw("text", { x: PAD.left - 10, y: y(size(each)) + 4, "text-anchor": "end" }, String(size(each)))),
    draw("line", { class: "axis-line", x1: PAD.left, x2: width - PAD.right + 20, y1: base, y2: base }),
    draw("path", { class: "under-rise", d: `${rise}L${points.at(-1)[0]} ${base}L${points[0][0]} ${base}Z` }),
    draw("path", { class: "rise", d: rise }),
    ...rungs.flatMap((each) => mark(each, x, y)),
  );
}

function mark(rung, x, y) {
  const [mean, at] = [x(rung.mean_rate_bps), y(size(rung))];
  const cap = rung.max_rate_bps ? x(rung.max_rate_bps) : null;
  const reach = Math.max(x(rung.peak_rate_bps), cap ?? 0);
  return [
    draw("line", { class: "span", x1: mean, x2: x(rung.peak_rate_bps), y1: at, y2: at }),
    cap && draw("line", { class: "cap", x1: cap, x2: cap, y1: at - 6, y2: at + 6 }),
    draw("circle", { class: "mean", cx: mean, cy: at, r: 5.5 }, draw("title", {}, `${shortName(rung)}: ${bitRate(rung.mean_rate_bps)}`)),
    draw("text", { class: "rung-name", x: reach + 10, y: at + 4 }, shortName(rung)),
  ].filter(Boolean);
}

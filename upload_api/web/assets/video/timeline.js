// Becoming a stream: a lane for each rendition that fills as chunks land, and where workers are right now.
import { draw, fill, make } from "../core/dom.js";
import { clock, lasting, percent, say } from "../core/text.js";
import { shortName } from "./names.js";

const MOST_CHUNK_LINES = 160;

const overlaps = (task, rendition) => task.renditions.includes(rendition.name);

export class Timeline {
  constructor(root) {
    this.root = root;
    this.lanes = new Map();
    this.key = null;
  }

  /** Bring the lanes to `details`; runs that have come since are seen to land. */
  show(details) {
    const key = details.renditions.map((each) => each.name).join() + details.segment_count;
    if (key !== this.key) this.build(details, key);
    for (const rendition of details.renditions) this.lane(rendition, details);
  }

  build(details, key) {
    this.key = key;
    this.lanes.clear();
    const sorted = [...details.renditions].sort((a, b) => (b.height ?? 0) - (a.height ?? 0) || a.name.localeCompare(b.name));
    const rows = sorted.map((rendition) => {
      const words = make("span", { class: "lane-name" }, shortName(rendition));
      const share = make("span", { class: "lane-share" });
      const svg = draw("svg", {
        class: rendition.kind === "audio" ? "lane sound" : "lane", role: "img", preserveAspectRatio: "none",
        viewBox: `0 0 ${Math.max(1, details.segment_count)} 10`,
      });
      const landed = draw("g");
      const working = draw("g");
      svg.append(landed, working, ...this.chunkLines(details, rendition));
      this.lanes.set(rendition.name, { svg, share, landed, working, runs: null });
      return [words, svg, share];
    });
    const end = details.chunks.at(-1)?.end_seconds ?? 0;
    const axis = make("span", { class: "axis" }, make("span", {}, clock(0)), end >= 4 && make("span", {}, clock(end / 2)), make("span", {}, lasting(end)));
    fill(this.root, ...rows.flat(), axis);
  }

  chunkLines(details, rendition) {
    if (rendition.kind !== "video" || details.chunks.length > MOST_CHUNK_LINES) return [];
    return details.chunks.slice(1).map((chunk) => draw("line", { class: "chunk", x1: chunk.start, x2: chunk.start, y1: 0, y2: 10 }));
  }

  lane(rendition, details) {
    const lane = this.lanes.get(rendition.name);
    const runs = JSON.stringify(rendition.runs);
    if (runs !== lane.runs) {
      const known = new Set(JSON.parse(lane.runs ?? runs).flatMap(([start, stop]) => range(start, stop)));
      const rects = rendition.runs.flatMap(([start, stop]) => split(start, stop, known)).map(({ start, stop, isNew }) =>
        draw("rect", { class: isNew ? "landed new" : "landed", x: start, width: stop - start, y: 0, height: 10 }));
      fill(lane.landed, ...rects);
      lane.runs = runs;
    }
    const stored = rendition.runs.reduce((sum, [start, stop]) => sum + stop - start, 0);
    const share = details.segment_count ? stored / details.segment_count : 0;
    lane.share.textContent = percent(share);
    lane.svg.setAttribute("aria-label", say("climb.lane", { name: shortName(rendition), percent: percent(share) }));
    const at = (seconds) => seconds / details.segment_seconds;
    const tasks = details.running.filter((task) => task.start_seconds !== null && overlaps(task, rendition));
    fill(
      lane.working,
      ...tasks.map((task) => draw("rect", {
        class: "at-work", x: at(task.start_seconds), width: Math.max(0.2, at(task.end_seconds) - at(task.start_seconds)), y: 0, height: 10,
      })),
    );
  }
}

const range = (start, stop) => Array.from({ length: stop - start }, (_, n) => start + n);

/** A run as pieces that were known and pieces that are new. */
function split(start, stop, known) {
  const pieces = [];
  for (let n = start; n < stop; n += 1) {
    const isNew = !known.has(n);
    const last = pieces.at(-1);
    if (last?.isNew === isNew) last.stop = n + 1;
    else pieces.push({ start: n, stop: n + 1, isNew });
  }
  return pieces;
}

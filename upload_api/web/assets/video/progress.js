// Where a video is on its way, and what is happening now, in plain words.
import { fill, make } from "../core/dom.js";
import { clock, count, lasting, percent, roughly, say, span } from "../core/text.js";
import { shortName } from "./names.js";

const between = (from, to) => (new Date(to) - new Date(from)) / 1000;

/** The four steps: uploaded, looked at, plays, ready; with how long each took where that is known. */
export function showSteps(root, video) {
  const order = ["uploading", "inspecting", "encoding", "playable", "ready"];
  const ended = ["failed", "rejected"].includes(video.state);
  const reached = { uploading: video.uploaded_at, inspecting: video.duration_seconds, plays: video.playable_at, ready: video.ready_at };
  const now = { uploading: "uploading", inspecting: "inspecting", encoding: "plays", playable: "ready" }[video.state];
  const words = {
    uploading: () => (video.uploaded_at ? say("climb.took", { span: span(between(video.created_at, video.uploaded_at)) }) : percent(video.source_bytes ? video.received_bytes / video.source_bytes : 0)),
    inspecting: () => (video.duration_seconds ? say("climb.long", { length: lasting(video.duration_seconds) }) : ""),
    plays: () => (video.playable_at ? say("climb.after", { span: span(between(video.uploaded_at, video.playable_at)) }) : ""),
    ready: () => (video.ready_at ? say("climb.after", { span: span(between(video.uploaded_at, video.ready_at)) }) : video.uploaded_at ? percent(video.progress) : ""),
  };
  let broken = false;
  const steps = ["uploading", "inspecting", "plays", "ready"].map((step) => {
    const done = Boolean(reached[step]);
    const breaks = ended && !done && !broken;
    if (breaks) broken = true;
    const state = done ? "done" : breaks ? "broken" : step === now ? "now" : "";
    return make("li", { class: `climb-step ${state}`, "aria-current": state === "now" ? "step" : null }, make("b", {}, say(`step.${step}`)), make("span", {}, words[step]()));
  });
  fill(root, ...steps);
  return order.indexOf(video.state);
}

/** Remembers how fast it went, to say how long it will take. */
export class Pace {
  constructor() {
    this.samples = [];
  }

  left(progress) {
    const now = performance.now() / 1000;
    this.samples.push([now, progress]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 60) this.samples.shift();
    const [[at, had]] = this.samples;
    if (now - at < 4 || progress <= had) return null;
    return ((1 - progress) * (now - at)) / (progress - had);
  }
}

/** One or two sentences about now. */
export function nowWords(video, details, pace) {
  const words = [];
  if (video.state === "uploading") {
    words.push(say("now.uploading"));
  } else if (video.state === "inspecting") {
    words.push(say(details?.running.length ? "now.inspecting" : "now.waiting"));
  } else if (["encoding", "playable"].includes(video.state)) {
    if (video.state === "playable") words.push(say("now.plays"));
    words.push(...tasks(details));
    const left = pace.left(video.progress);
    if (left !== null) words.push(say("now.left", { left: roughly(left) }));
  } else if (video.state === "ready") {
    words.push(say("now.ready"));
  }
  return words.join(" "); // why it ended is said above
}

function tasks(details) {
  if (!details) return [];
  const names = new Map(details.renditions.map((each) => [each.name, shortName(each)]));
  const first = details.running.find((task) => task.kind === "encode") ?? details.running[0];
  if (!first) return [say(details.waiting ? "now.waiting" : "now.publishing")];
  const others = details.running.length - 1;
  const where = first.start_seconds === null ? {} : { from: clock(first.start_seconds), to: clock(first.end_seconds) };
  const renditions = list(first.renditions.map((name) => names.get(name) ?? name));
  const what = { encode: "now.encode", audio: "now.audio", thumbnails: "now.thumbnails", subtitles: "now.subtitles" }[first.kind] ?? "now.working";
  const said = [say(what, { ...where, renditions })];
  if (others > 0) said.push(count("now.others", others));
  return said;
}

const joined = new Intl.ListFormat("en", { type: "conjunction" });
const list = (names) => joined.format(names);

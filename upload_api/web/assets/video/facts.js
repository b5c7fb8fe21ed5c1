// What is known of a video: its source, tracks, files, notes, and links to hand out.
import { fill, make } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { copyButton } from "../core/talk.js";
import { bitRate, bytes, channels, count, language, lasting, say } from "../core/text.js";
import { audioTrack, codecName, container, shortName, videoTrack } from "./names.js";

const moment = (text) => new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));

export function showFacts(root, video, details) {
  const { source } = details ?? {};
  const picture = source?.video;
  const rows = [
    ["facts.file", video.filename],
    ["facts.size", video.source_bytes && bytes(video.source_bytes)],
    ["facts.length", video.duration_seconds && lasting(video.duration_seconds)],
    ["facts.container", source && container(source.container)],
    ["facts.picture", picture && `${picture.width} × ${picture.height}`],
    ["facts.codec", picture && codecName(picture.codec)],
    ["facts.rate", picture && say("fps", { n: picture.frame_rate })],
    ["facts.bitrate", picture?.bit_rate_bps && bitRate(picture.bit_rate_bps)],
    ["facts.colour", picture && (["smpte2084", "arib-std-b67"].includes(picture.transfer) ? say("facts.hdr") : say("facts.sdr", { n: picture.bit_depth }))],
    ["facts.made", moment(video.created_at)],
    ["facts.id", make("code", {}, video.id)],
  ].filter(([, value]) => value);
  fill(root, ...rows.flatMap(([words, value]) => [make("dt", {}, say(words)), make("dd", { title: typeof value === "string" ? value : null }, value)]));
}

/** `captions`: the tracks of text that the stream has. */
export function showTracks(root, details, captions) {
  const { source } = details;
  const item = (kind, words, more) => make("li", {}, icon(kind), make("span", {}, words), make("span", { class: "quiet small" }, more));
  const made = (kind) => details.renditions.filter((each) => each.kind === kind);
  const part = (words) => make("li", { class: "part" }, say(words));
  const rows = [part("tracks.source")];
  if (source?.video) rows.push(item("film", videoTrack(source.video), say("tracks.rungs", { list: made("video").map(shortName).join(", ") })));
  for (const track of source?.audio ?? []) rows.push(item("sound", [audioTrack(track), track.title].filter(Boolean).join(" · "), ""));
  for (const track of source?.others ?? []) {
    const kind = say({ subtitle: "tracks.subtitle", data: "tracks.data" }[track.kind] ?? "tracks.other");
    rows.push(item(track.kind === "subtitle" ? "words" : "list", [kind, codecName(track.codec), language(track.language)].filter(Boolean).join(" · "), ""));
  }
  const [heard, read] = [made("audio"), captions.filter((track) => track.ready)];
  if (heard.length + read.length) rows.push(part("tracks.stream"));
  for (const each of heard) rows.push(item("sound", [language(each.language) || say("audio"), channels(each.channels)].join(" · "), each.mean_rate_bps ? bitRate(each.mean_rate_bps) : ""));
  for (const track of read) rows.push(item("words", [say("tracks.subtitle"), language(track.language) || track.label].join(" · "), track.track));
  fill(root, ...rows);
}

export function showFiles(root, details) {
  root.closest(".panel").hidden = details.files.length === 0;
  const whole = details.files.reduce((sum, file) => sum + file.size_bytes, 0);
  const saved = ["source", "rendition"];
  const name = (file) => {
    if (!file.url) return file.name;
    if (!saved.includes(file.kind)) return make("a", { href: file.url, target: "_blank", rel: "noopener" }, file.name);
    const words = file.kind === "source" ? say("downloads.source") : say("downloads.mp4", { name: file.name });
    const link = make("a", { class: "button round slim plain", href: file.url, download: "", title: words, "aria-label": words }, icon("down"));
    return make("span", { class: "row" }, file.name, link);
  };
  const rows = details.files.map((file) =>
    make(
      "tr",
      {},
      make("td", { class: "wraps" }, name(file)),
      make("td", { class: "quiet" }, say(`files.${file.kind}`)),
      make("td", { class: "number quiet" }, file.files > 1 ? count("files.count", file.files) : ""),
      make("td", { class: "number" }, bytes(file.size_bytes)),
    ),
  );
  const total = make("tr", {}, make("td", {}, say("files.whole")), make("td"), make("td"), make("td", { class: "number" }, bytes(whole)));
  fill(root, make("tbody", {}, ...rows, total));
}

export function showNotes(root, video) {
  const known = JSON.stringify(video.notes) + video.state;
  if (root.dataset.known === known) return;
  root.dataset.known = known;
  const rows = video.notes.map((note) => make("li", {}, icon("note"), make("span", {}, note.sentence)));
  fill(root, ...(rows.length ? rows : [make("li", { class: "fine" }, icon("check"), make("span", { class: "quiet" }, say(video.state === "ready" ? "notes.none" : "notes.none.yet")))]));
}

export const embedCode = (video) =>
  `<iframe src="${video.embed_url}" width="640" height="360" style="border:0" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;

export function showLinks(root, video) {
  const links = [
    ["links.watch", video.watch_url],
    ["links.embed", video.embed_url && embedCode(video)],
    ["links.hls", video.hls_url],
    ["links.dash", video.dash_url],
  ].filter(([, value]) => value);
  const known = JSON.stringify(links);
  if (root.dataset.known === known) return;
  root.dataset.known = known;
  const link = ([words, value]) => {
    const id = words.replace(".", "-");
    const field = make("input", { class: "field", id, readOnly: true, value, onfocus: () => field.select() });
    const button = copyButton("", () => value, { kind: "button round" });
    button.setAttribute("aria-label", say("copy.this", { what: say(words) }));
    return make("div", { class: "link" }, make("label", { class: "label", for: id }, say(words)), make("div", { class: "copyable" }, field, button));
  };
  fill(root, ...links.map(link));
}

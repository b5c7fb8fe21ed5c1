// The owner's page of one video.
import { api } from "./core/api.js";
import { $, fill, make, seldom } from "./core/dom.js";
import { frame } from "./core/frame.js";
import { art, icon } from "./core/icons.js";
import { follow } from "./core/news.js";
import { copyButton, sure, toast, trying } from "./core/talk.js";
import { ago, say } from "./core/text.js";
import { Player } from "./player/player.js";
import { showFacts, showFiles, showLinks, showNotes, showTracks } from "./video/facts.js";
import { showPlot, showTable } from "./video/ladder.js";
import { posterChoice } from "./video/poster.js";
import { nowWords, Pace, showSteps } from "./video/progress.js";
import { captions, chapters, embedding, titleEditor, visibilityChoice } from "./video/settings.js";
import { Timeline } from "./video/timeline.js";

const ASK_AGAIN_MS = 1200;
const LOOK_MS = 4000;
const SETTLED = ["ready", "rejected", "failed", "deleted"];

const id = document.body.dataset.video;
for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));

let video = null;
let details = null;
let subtitles = [];
const player = new Player();
const timeline = new Timeline($("timeline"));
const pace = new Pace();
const copyLink = copyButton(say("links.copy"), () => video?.watch_url ?? "");
$("copy-place").replaceWith(copyLink);
const position = () => player.element.currentTime;

const settings = [
  visibilityChoice(() => video, show),
  embedding(() => video, show),
  chapters(() => video, show, position),
  posterChoice(() => video, show, position),
];
titleEditor(() => video, show);
const showCaptions = captions(() => video, () => refresh());

function show(now) {
  video = now;
  if (video.state === "deleted") {
    gone();
    return;
  }
  document.title = `${video.title} – ${say("product")}`;
  $("title").textContent = video.title;
  $("state").className = `badge ${video.state}`;
  $("state").textContent = say(`state.${video.state}`);
  $("when").textContent = ago(video.created_at);
  $("share").href = video.watch_url ?? "#";
  $("cancel").hidden = SETTLED.includes(video.state);
  $("retry").hidden = video.state !== "failed";
  $("share").hidden = copyLink.hidden = $("links").closest(".panel").hidden = ["failed", "rejected"].includes(video.state); // nobody could watch it
  // What never was a film has nothing to set; what failed may be made again.
  for (const place of document.querySelectorAll("[data-when=film]")) place.hidden = video.state === "rejected";
  $("problem").hidden = !video.reason;
  $("problem-words").textContent = video.reason ?? "";
  showSteps($("steps"), video);
  showNotes($("notes"), video);
  showLinks($("links"), video);
  showFacts($("facts"), video, details);
  for (const each of settings) each();
  for (const place of document.querySelectorAll("[data-when=plays]")) place.hidden = !video.hls_url;
  $("loading").hidden = $("instead").hidden = true;
  $("whole").hidden = false;
  tellNow();
  player.show({ ...video, ...size(video.renditions) });
}

function size(renditions) {
  const top = renditions.filter((each) => each.kind === "video").sort((a, b) => b.width - a.width)[0];
  return { width: top?.width, height: top?.height };
}

function tellNow() {
  $("now").textContent = nowWords(video, details, pace);
}

function showDetails(now) {
  details = now;
  for (const place of document.querySelectorAll("[data-when=planned]")) place.hidden = details.renditions.length === 0;
  if (details.renditions.length) {
    timeline.show(details);
    showTable($("ladder"), details);
    showPlot($("plot"), details);
    showTracks($("tracks"), details, subtitles);
  }
  showFiles($("files"), details);
  showFacts($("facts"), video, details);
  tellNow();
}

let asked = 0;
let answered = 0;

async function refresh() {
  const turn = ++asked;
  try {
    const now = await api.video(id);
    if (turn < answered) return; // what was asked for later is newer
    answered = turn;
    show(now);
    ({ subtitles } = await api.captions(id));
    showCaptions(subtitles);
    showDetails(await api.details(id));
  } catch (problem) {
    if (problem.status === 404) gone();
    else if (video === null) unreachable(problem);
  }
}

/** What stands where the video would. */
function instead(...said) {
  fill($("instead"), art(), ...said);
  $("instead").hidden = false;
  $("loading").hidden = $("whole").hidden = true;
}

function gone() {
  instead(
    make("h1", {}, say("missing.title")),
    make("p", {}, say("missing.body")),
    make("a", { class: "button", href: "/" }, say("missing.home")),
  );
}

function unreachable(problem) {
  instead(make("h1", {}, say("unreachable.title")), make("p", {}, problem.message));
  setTimeout(refresh, LOOK_MS);
}

/** What lands between two answers is shown at once; sizes and rates follow with the next. */
function landed(data) {
  for (const [name, start, stop] of data.landed ?? []) {
    const rendition = details?.renditions.find((each) => each.name === name);
    if (rendition) rendition.runs = joined([...rendition.runs, [start, stop]]);
  }
  if (details?.renditions.length) timeline.show(details);
}

/** Runs in order, touching ones as one. */
function joined(runs) {
  const sorted = [...runs].sort((a, b) => a[0] - b[0]);
  const out = [];
  for (const [start, stop] of sorted) {
    const last = out.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], stop);
    else out.push([start, stop]);
  }
  return out;
}

const soon = seldom(refresh, ASK_AGAIN_MS);

function happened(kind, data) {
  if (data.video_id !== id || video === null) return;
  if (kind === "uploaded_bytes") show({ ...video, received_bytes: data.received_bytes, source_bytes: data.source_bytes ?? video.source_bytes });
  else if (kind === "title") show({ ...video, title: data.title });
  else if (kind === "progress") {
    video = { ...video, progress: data.progress };
    landed(data);
    showSteps($("steps"), video);
    soon();
  } else if (kind === "state" && data.state === "playable") refresh(); // who waits for the film has waited long enough
  else soon();
}

// Jobs begin without an event: a look now and then says who works on what.
setInterval(async () => {
  if (video === null || SETTLED.includes(video.state) || document.hidden) return;
  const now = await api.details(id).catch(() => null);
  if (now) showDetails(now);
}, LOOK_MS);

$("cancel").addEventListener("click", () => trying(async () => show(await api.cancel(id))));
$("retry").addEventListener("click", () => trying(async () => show(await api.retry(id))));
$("delete").addEventListener("click", async () => {
  if (!(await sure(say("delete.ask", { title: video.title }), say("videos.delete")))) return;
  if (await trying(() => api.remove(id))) {
    toast(say("delete.done"));
    window.location.assign("/");
  }
});

refresh();
follow({ onEvent: happened, onAgain: refresh, onLive: frame() });

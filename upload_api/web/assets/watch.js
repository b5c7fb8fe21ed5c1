// The page of one video.
import { api, follow, frame } from "./api.js";
import { $, make } from "./dom.js";
import { Player } from "./player.js";
import { ago, bitRate, bytes, clock, language, percent, say } from "./text.js";

const id = document.body.dataset.video;
const player = new Player({ onQualities: showQualities, onTrouble: showTrouble });
let video = null;

function showTrouble(sentence) {
  $("trouble").hidden = !sentence;
  $("trouble").textContent = sentence ?? "";
}

function showQualities({ levels, chosen, playing }) {
  const menu = $("quality");
  const auto = playing && chosen === -1 ? say("watch.auto.now", { name: playing }) : say("watch.auto");
  const options = [[-1, auto], ...levels.map((level) => [level.index, level.name])];
  menu.replaceChildren(...options.map(([value, name]) => make("option", { value }, name)));
  menu.value = String(chosen);
  $("quality-label").hidden = levels.length < 2;
}

function show(now) {
  video = now;
  document.title = document.title.replace(/^.* – /, `${video.title} – `);
  $("title").textContent = video.title;
  const facts = [
    say(`state.${video.state}`),
    video.duration_seconds ? clock(video.duration_seconds) : null,
    video.source_bytes ? bytes(video.source_bytes) : null,
    ago(video.created_at),
  ];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  $("growing").hidden = video.state !== "playable";
  $("growing").textContent = say("watch.growing", { percent: percent(video.progress) });
  if (video.hls_url && video.reason) showTrouble(video.reason);
  showDetails();
  player.show(video);
}

function showDetails() {
  const links = [["watch.hls", video.hls_url], ["watch.dash", video.dash_url]].filter(([, url]) => url);
  const link = ([name, url]) => make("span", {}, `${say(name)}: `, make("a", { href: url }, url));
  $("links").replaceChildren(...links.map(link));
  const row = (rendition) =>
    make(
      "tr",
      {},
      make("td", {}, rendition.name),
      make("td", {}, rendition.kind === "video" ? `${rendition.width} × ${rendition.height}` : language(rendition.language)),
      make("td", { class: "codecs" }, rendition.codecs ?? "…"),
      make("td", {}, rendition.max_rate_bps ? bitRate(rendition.max_rate_bps) : ""),
    );
  $("renditions").replaceChildren(...video.renditions.map(row));
  const notes = video.notes.map((note) => make("li", {}, note.sentence));
  $("notes").replaceChildren(...(notes.length ? [make("p", {}, say("watch.notes")), make("ul", {}, ...notes)] : []));
  $("details").hidden = !links.length && !notes.length && !video.renditions.length;
}

async function refresh() {
  try {
    show(await api.video(id));
  } catch (problem) {
    if (problem.status === 404) window.location.reload();
    else showTrouble(problem.message);
  }
}

let waiting = null;

function soon() {
  waiting ??= setTimeout(() => {
    waiting = null;
    refresh();
  }, 200);
}

function happened(kind, data) {
  if (data.video_id !== id) return;
  if (kind === "uploaded_bytes" && video) show({ ...video, received_bytes: data.received_bytes });
  else soon();
}

function copies(button, value) {
  const words = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(value());
      button.textContent = say("watch.copied");
      setTimeout(() => {
        button.textContent = words;
      }, 1500);
    } catch {
      // No clipboard without HTTPS: show it instead, to be copied by hand.
      window.prompt(words, value());
    }
  });
}

function renames() {
  const [dialog, field] = [$("rename-dialog"), $("rename-title")];
  $("rename").addEventListener("click", () => {
    field.value = video?.title ?? "";
    dialog.returnValue = "";
    dialog.showModal();
    field.select();
  });
  dialog.addEventListener("close", async () => {
    if (dialog.returnValue !== "save") return;
    try {
      show(await api.rename(id, field.value));
    } catch (problem) {
      showTrouble(problem.message);
    }
  });
}

$("quality").addEventListener("change", (event) => player.choose(Number(event.target.value)));
copies($("copy"), () => video?.watch_url ?? window.location.href);
copies(
  $("copy-embed"),
  () => `<iframe src="${video?.embed_url ?? ""}" width="640" height="360" allow="fullscreen" frameborder="0"></iframe>`,
);
renames();
refresh();
follow({ onEvent: happened, onAgain: refresh, onLive: frame() });

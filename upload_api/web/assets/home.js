// The first page: the list of videos, kept true by the event stream.
import { api, follow, frame } from "./api.js";
import { $, make } from "./dom.js";
import { ago, bytes, clock, percent, say } from "./text.js";
import { activeVideos, takeUploads } from "./uploads.js";

const cards = new Map(); // id -> {video, element}
let cursor = null;
let wanted = { state: "", text: "" };
let asked = 0;

function card(video) {
  const playable = Boolean(video.hls_url);
  const share = video.state === "uploading" ? uploadedShare(video) : video.progress;
  const busy = ["uploading", "inspecting", "encoding", "playable"].includes(video.state);
  const title = make(
    "a",
    { class: "card-title", href: `/watch/${video.id}`, ariaLabel: say(playable ? "videos.play" : "videos.open", video) },
    video.title,
  );
  const meta = [
    make("span", { class: `badge ${video.state}` }, say(`state.${video.state}`)),
    make("span", {}, ago(video.created_at)),
    video.source_bytes ? make("span", {}, bytes(video.source_bytes)) : null,
  ];
  return make(
    "li",
    { class: "card" },
    make(
      "div",
      { class: "thumb" },
      video.poster_url ? make("img", { src: video.poster_url, alt: "", loading: "lazy" }) : null,
      !busy && !video.poster_url ? make("img", { class: "mark", src: "/assets/mark.svg", alt: "" }) : null,
      busy && !video.poster_url ? make("span", { class: "percent" }, percent(share)) : null,
      video.duration_seconds ? make("span", { class: "time" }, clock(video.duration_seconds)) : null,
      busy ? make("progress", { max: 1, value: share, ariaLabel: say(`state.${video.state}`) }) : null,
    ),
    make(
      "div",
      { class: "card-body" },
      title,
      make("div", { class: "card-meta" }, ...meta),
      video.reason ? make("p", { class: "card-reason" }, video.reason) : null,
      video.state === "uploading" ? make("p", { class: "quiet" }, say("videos.resumeHint")) : null,
      actions(video),
    ),
  );
}

function actions(video) {
  const button = (words, act, extra = "") =>
    make("button", { class: `button small ${extra}`, type: "button", onclick: () => attempt(act, video.id) }, say(words));
  const remove = async () => {
    if (window.confirm(say("videos.delete.ask", video))) await api.remove(video.id);
  };
  return make(
    "div",
    { class: "card-actions" },
    video.state === "failed" && video.uploaded_at ? button("videos.retry", () => api.retry(video.id)) : null,
    ["inspecting", "encoding"].includes(video.state) ? button("videos.cancel", () => api.cancel(video.id)) : null,
    button("videos.delete", remove, "ghost"),
  );
}

async function attempt(act, id) {
  try {
    await act();
    refresh(id);
  } catch (problem) {
    complain(problem.message);
  }
}

function uploadedShare(video) {
  return video.source_bytes ? video.received_bytes / video.source_bytes : 0;
}

function put(video) {
  const known = cards.get(video.id);
  if (video.state === "deleted" || activeVideos.has(video.id) || !matches(video)) {
    known?.element.remove();
    cards.delete(video.id);
  } else {
    const element = card(video);
    if (known) known.element.replaceWith(element);
    else $("videos").insertBefore(element, elementAfter(video));
    cards.set(video.id, { video, element });
  }
  told();
}

/** The card before which a new one belongs: the list is newest first. */
function elementAfter(video) {
  const older = [...cards.values()].filter((known) => known.video.created_at < video.created_at);
  older.sort((a, b) => (a.video.created_at < b.video.created_at ? 1 : -1));
  return older[0]?.element ?? null;
}

function matches(video) {
  const right = !wanted.state || video.state === wanted.state;
  return right && (!wanted.text || video.title.toLowerCase().includes(wanted.text.toLowerCase()));
}

function told() {
  const filtered = wanted.state || wanted.text;
  $("list-empty").hidden = cards.size > 0;
  if (!filtered) $("drop").classList.toggle("compact", cards.size > 0);
  $("list-empty").textContent = say(filtered ? "videos.empty.filtered" : "videos.empty");
}

function complain(sentence) {
  $("list-error").hidden = !sentence;
  $("list-error").textContent = sentence ?? "";
}

async function load(more = false) {
  const mine = (asked += 1);
  try {
    const page = await api.videos({ ...wanted, cursor: more ? cursor : null });
    if (mine !== asked) return; // a newer question is under way
    if (!more) {
      cards.clear();
      $("videos").replaceChildren();
    }
    complain(null);
    page.videos.forEach((video) => put(video));
    told();
    cursor = page.next_cursor;
    $("more").hidden = cursor === null;
  } catch (problem) {
    complain(say("videos.error", { reason: problem.message }));
    $("list-empty").hidden = true;
  }
  $("videos-section").setAttribute("aria-busy", "false");
}

const refreshing = new Map();

/** Ask for one video again, once for many events in a row. */
function refresh(id) {
  if (refreshing.has(id)) return;
  refreshing.set(
    id,
    setTimeout(async () => {
      refreshing.delete(id);
      try {
        put(await api.video(id));
      } catch (problem) {
        if (problem.status === 404) put({ id, state: "deleted" });
      }
    }, 150),
  );
}

function happened(kind, data) {
  const known = cards.get(data.video_id);
  if (kind === "state" || !known) {
    if (kind === "state" || kind === "title") refresh(data.video_id);
    return;
  }
  if (kind === "progress") {
    put({ ...known.video, progress: data.progress });
    if (!known.video.poster_url) refresh(data.video_id); // the poster comes without a change of state
  }
  if (kind === "uploaded_bytes") put({ ...known.video, ...pick(data, ["received_bytes", "source_bytes"]) });
  if (kind === "title") put({ ...known.video, title: data.title });
}

const pick = (data, names) => Object.fromEntries(names.filter((name) => name in data).map((name) => [name, data[name]]));

function search() {
  let pause;
  $("search").addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      wanted = { ...wanted, text: $("search").value.trim() };
      load();
    }, 250);
  });
  $("filter").addEventListener("change", () => {
    wanted = { ...wanted, state: $("filter").value };
    load();
  });
  $("more").addEventListener("click", () => load(true));
}

const before = new Set();

takeUploads(() => {
  for (const id of activeVideos) {
    cards.get(id)?.element.remove();
    cards.delete(id);
  }
  for (const id of before) if (!activeVideos.has(id)) refresh(id);
  before.clear();
  activeVideos.forEach((id) => before.add(id));
  told();
});
search();
load();
follow({ onEvent: happened, onAgain: () => load(), onLive: frame() });

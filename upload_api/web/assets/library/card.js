// A video in the library: what it looks like, and what can be done with it from here.
import { make } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { ago, bytes, lasting, percent, say } from "../core/text.js";
import { leafing } from "./preview.js";

const BUSY = ["uploading", "inspecting", "encoding", "playable"];

export function card(video, { selected, onPick, onRetry }) {
  const thumb = make("div", { class: "thumb" }, ...picture(video));
  const title = make("a", { class: "card-title", href: `/videos/${video.id}` }, video.title);
  const pick = make(
    "label",
    { class: "pick" },
    make("input", { type: "checkbox", checked: selected, "aria-label": say("videos.pick", { title: video.title }), onchange: (event) => onPick(event.target.checked) }),
  );
  const does = [];
  if (video.state === "failed") {
    does.push(make("button", { class: "button slim", type: "button", onclick: onRetry }, icon("again"), say("videos.retry")));
  }
  const element = make(
    "li",
    { class: `card${selected ? " selected" : ""}`, data: { video: video.id } },
    thumb,
    make(
      "div",
      { class: "card-body" },
      title,
      make("p", { class: "card-meta" }, badge(video), ...meta(video)),
      video.reason && make("p", { class: "card-reason" }, video.reason),
      does.length ? make("div", { class: "card-does" }, ...does) : null,
    ),
    pick,
  );
  leafing(thumb, video);
  return element;
}

const badge = (video) => make("span", { class: `badge ${video.state}` }, say(`state.${video.state}`));

function meta(video) {
  const said = [ago(video.created_at)];
  if (video.source_bytes) said.push(bytes(video.source_bytes));
  return said.map((words) => make("span", {}, words));
}

function picture(video) {
  const busy = BUSY.includes(video.state);
  const share = video.state === "uploading" ? (video.source_bytes ? video.received_bytes / video.source_bytes : 0) : video.progress;
  const parts = [];
  if (video.poster_url) {
    // The poster's name stays when it is chosen anew: the moment of the change tells browsers apart.
    parts.push(make("img", { src: `${video.poster_url}?at=${Date.parse(video.updated_at)}`, alt: "", loading: "lazy", decoding: "async" }));
  } else if (busy) {
    const shown = video.state !== "inspecting" && share > 0;
    const none = video.state === "uploading" ? "climb.coming" : "climb.waiting";
    const words = say(shown || video.state === "inspecting" ? `climb.${video.state}` : none);
    parts.push(make("span", { class: "climb" }, shown ? make("b", {}, percent(share)) : icon("film"), words));
  } else {
    parts.push(make("span", { class: "climb" }, icon(video.state === "ready" ? "sound" : "note")));
  }
  if (video.duration_seconds && (video.poster_url || !busy)) parts.push(make("span", { class: "time" }, lasting(video.duration_seconds)));
  if (busy) parts.push(make("progress", { max: 1, value: share, "aria-label": say(`climb.${video.state}`) }));
  if (video.visibility === "signed") parts.push(make("span", { class: "lock", title: say("visibility.signed") }, icon("lock")));
  return parts;
}

/** Cards as they look before anything is known. */
export function bones(n) {
  return Array.from({ length: n }, () =>
    make(
      "li",
      { class: "card bones", "aria-hidden": "true" },
      make("div", { class: "thumb bone" }),
      make("div", { class: "card-body stack" }, make("div", { class: "bone line" }), make("div", { class: "bone line" })),
    ),
  );
}

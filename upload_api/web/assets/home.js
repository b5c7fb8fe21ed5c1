// The first page: uploads and the library.
import { $, fill } from "./core/dom.js";
import { frame } from "./core/frame.js";
import { art, icon } from "./core/icons.js";
import { follow } from "./core/news.js";
import { say } from "./core/text.js";
import { Library, nothingFound } from "./library/library.js";
import { bringing } from "./upload/bringing.js";
import { Queue } from "./upload/queue.js";

for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
$("drop").prepend(art());
fill($("videos-empty"), nothingFound(() => library.wantAll()));

let library = null;
let loaded = false;
let before = new Set();

const queue = new Queue({
  chooseFiles: () => $("files").click(),
  onChange: () => {
    if (!library) return;
    const now = queue.videos;
    for (const id of now) library.drop(id);
    for (const id of before) if (!now.has(id)) library.refresh(id);
    before = now;
    first();
  },
});

/** With nothing here yet the place for files is all there is to see. */
function first() {
  const empty = loaded && library.cards.size === 0 && !library.filtered && queue.isEmpty && $("list-error").hidden;
  $("drop").classList.toggle("first", empty);
  $("videos-section").hidden = loaded && library.cards.size === 0 && !library.filtered && $("list-error").hidden;
  $("drop-hint").textContent = say(empty ? "home.hint.first" : "home.hint");
}

library = new Library({
  hidden: () => queue.videos,
  onCount: () => {
    loaded = library !== null && $("videos-section").getAttribute("aria-busy") === "false";
    if (library) first();
  },
});

const live = frame();
follow({
  onEvent: (kind, data) => {
    if (kind === "state") queue.hear(data.video_id, data);
    library.hear(kind, data);
  },
  onAgain: () => library.load(),
  onLive: (is) => {
    live(is);
    if (is && !$("list-error").hidden) library.load();
  },
});
$("list-retry").addEventListener("click", () => library.load());
$("pause-all").addEventListener("click", () => queue.pauseAll());
$("resume-all").addEventListener("click", () => queue.resumeAll());

if (window.tus) {
  bringing(queue, { onImport: () => library.load() });
  queue.lookForEarlier();
} else {
  $("no-tus").hidden = false;
  for (const id of ["choose", "choose-folder"]) $(id).disabled = true;
}

// The share page of one video.
import { $, fill, make } from "./core/dom.js";
import { frame } from "./core/frame.js";
import { icon } from "./core/icons.js";
import { keepShowing } from "./core/shown.js";
import { copyButton } from "./core/talk.js";
import { ago, clock, lasting, percent, say } from "./core/text.js";
import { Player } from "./player/player.js";
import { embedCode } from "./video/facts.js";

for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));

let current = null;
const player = new Player({ onTime: (_time, chapter) => markChapter(chapter) });

const shareLink = copyButton(say("links.copy"), () => current.watch_url);
const shareEmbed = copyButton(say("links.copy.embed"), () => embedCode(current));
$("share-link").replaceWith(shareLink);
$("share-embed").replaceWith(shareEmbed);

function showChapters(chapters) {
  $("chapter-list").hidden = chapters.length === 0;
  const entry = (chapter) =>
    make("li", {}, make("button", { type: "button", onclick: () => player.seek(chapter.start_seconds), data: { at: chapter.start_seconds } }, make("span", {}, clock(chapter.start_seconds)), chapter.title));
  fill($("chapter-list"), ...chapters.map(entry));
}

function markChapter(chapter) {
  for (const button of document.querySelectorAll("#chapter-list button")) {
    button.setAttribute("aria-current", String(Number(button.dataset.at) === chapter?.start_seconds));
  }
}

keepShowing((video) => {
  if (JSON.stringify(video.chapters) !== JSON.stringify(current?.chapters)) showChapters(video.chapters);
  current = video;
  document.title = `${video.title} – ${say("product")}`;
  $("title").textContent = video.title;
  $("facts-line").textContent = [video.duration_seconds && lasting(video.duration_seconds), ago(video.created_at_ms)].filter(Boolean).join(" · ");
  $("details").hidden = !video.details_url;
  if (video.details_url) $("details").href = video.details_url;
  shareLink.hidden = shareEmbed.hidden = ["failed", "rejected"].includes(video.state); // nobody could watch it
  $("growing").hidden = video.state !== "playable";
  $("growing").textContent = say("watch.growing", { percent: percent(video.progress) });
  player.show(video);
});

frame();

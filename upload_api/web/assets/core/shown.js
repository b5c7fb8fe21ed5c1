// What a share page knows of its video: told with the page, asked again while it becomes.
import { api } from "./api.js";
import { $ } from "./dom.js";

const LOOK_AGAIN_MS = 2500;
const LOOK_SOON_MS = 1000; // while there is nothing to play yet
const SETTLED = ["ready", "rejected", "failed", "deleted"];

/** `show(video)` now and whenever there is more to know, until it is settled. */
export async function keepShowing(show) {
  let video = JSON.parse($("facts").textContent);
  show(video);
  while (!SETTLED.includes(video.state) || !video.poster_url) {
    if (SETTLED.includes(video.state) && video.state !== "ready") break;
    await new Promise((resolve) => setTimeout(resolve, video.hls_url ? LOOK_AGAIN_MS : LOOK_SOON_MS));
    if (document.hidden && video.hls_url) continue;
    try {
      video = await api.shown(video.id);
      show(video);
      if (video.state === "ready") break;
    } catch (problem) {
      if (problem.status === 404) window.location.reload();
    }
  }
}

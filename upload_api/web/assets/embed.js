// The player alone, for other people's pages.
import { api, follow } from "./api.js";
import { Player } from "./player.js";
import { $ } from "./dom.js";

const id = document.body.dataset.video;
const player = new Player();
let settled = false;

async function refresh() {
  try {
    const video = await api.video(id);
    settled = ["ready", "rejected", "failed", "deleted"].includes(video.state);
    await player.show(video);
    return true;
  } catch (problem) {
    $("curtain-text").textContent = problem.message;
    return false;
  }
}

await refresh();
// A finished film needs no news, and its page none of the browser's few connections.
if (!settled) {
  follow({ onEvent: (_kind, data) => data.video_id === id && refresh(), onAgain: refresh });
}

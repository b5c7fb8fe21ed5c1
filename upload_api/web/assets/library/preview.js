// Moving over a card leafs through its film: the sprites of its storyboard, fetched when somebody first looks.
import { make } from "../core/dom.js";
import { readStoryboard, spriteOn } from "../player/storyboard.js";

export function leafing(thumb, video) {
  if (!video.storyboard_url || matchMedia("(hover: none)").matches) return;
  let board = null;
  const still = make("span", { class: "still" });
  const at = make("span", { class: "still-at", hidden: true });
  thumb.append(still, at);
  const show = (event) => {
    const box = thumb.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const tile = board?.at(share * video.duration_seconds);
    if (!tile) return;
    spriteOn(still, tile, { width: box.width, height: box.height, fit: "cover" });
    still.classList.add("on");
    at.hidden = false;
    at.style.width = `${share * 100}%`;
  };
  thumb.closest(".card").addEventListener("pointerenter", async () => {
    board ??= await readStoryboard(video.storyboard_url).catch(() => null);
  });
  thumb.closest(".card").addEventListener("pointermove", show);
  thumb.closest(".card").addEventListener("pointerleave", () => {
    still.classList.remove("on");
    at.hidden = true;
  });
}

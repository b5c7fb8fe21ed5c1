// A film that is played while it is made. hls.js reads the multivariant playlist once and never learns of renditions that
// come later: when there are more, it is given the playlist again at the same moment, behind a still of the picture.

import { resumeAt } from "./resuming.js";

const LOOK_AGAIN_MS = 4000;
const LIFT_AT_LAST_MS = 8000;
const AGAIN_MS = 3000;
const TRIES = 3;
// After the last news: caches on the way may hold the playlist of a moment ago.
const LAST_LOOKS_MS = [2000, 5000, 12000];

export function growing(player) {
  let variants = { rungs: 0, all: 0 };
  let tries = 0;
  let lookedAt = 0;

  const counted = async () => {
    try {
      const text = await (await fetch(player.url, { cache: "no-cache" })).text();
      const rungs = text.split("#EXT-X-STREAM-INF").length - 1;
      return { rungs, all: rungs + text.split("#EXT-X-MEDIA:").length - 1 };
    } catch {
      return variants;
    }
  };

  const changeOver = () => {
    const { element } = player;
    const [position, paused, rate] = [player.goesOnAt(), element.paused, element.playbackRate];
    const lift = player.freeze();
    player.load(position || -1);
    element.playbackRate = rate;
    player.resuming = resumeAt(element, position, { paused, lift });
    setTimeout(lift, LIFT_AT_LAST_MS);
  };

  let finishing = false;

  const growth = {
    async begin() {
      if (player.engine.name === "hls") variants = await counted();
    },
    /** Are there more variants now? `now`: do not wait for the next look. */
    async look(now) {
      if (player.engine.name !== "hls" || (!now && performance.now() - lookedAt < LOOK_AGAIN_MS)) return;
      lookedAt = performance.now();
      const found = await counted();
      if (player.growth !== growth) return; // another engine plays by now, or is fetched
      if (found.all > variants.all) {
        variants = found;
        tries = TRIES;
      } else if (tries === 0 || (player.engine.levelCount?.() ?? found.rungs) >= found.rungs) return;
      // hls.js may be handed the playlist of a moment ago, which the browser revalidates only then.
      tries -= 1;
      changeOver();
      setTimeout(() => player.growth === growth && growth.look(true), AGAIN_MS);
    },
    /** Nothing more will be told: look a few times more, and be done. */
    finish() {
      if (finishing) return;
      finishing = true;
      for (const wait of LAST_LOOKS_MS) setTimeout(() => player.growth === growth && growth.look(true), wait);
    },
  };
  return growth;
}

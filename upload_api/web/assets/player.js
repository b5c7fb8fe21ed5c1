// Plays one video: hls.js over Media Source Extensions first, the browser's own HLS only where that is missing
// (Chromium's own stops at the end of a growing playlist). Starts as soon as a prefix plays, and changes over to the full
// ladder in place: hls.js reads the multivariant playlist once, so it is given it again at the same moment of the film.
import { $ } from "./dom.js";
import { percent, say } from "./text.js";

const LOOK_AGAIN_MS = 4000;

export class Player {
  constructor({ onQualities = () => {}, onTrouble = () => {} } = {}) {
    this.element = $("video");
    this.onQualities = onQualities;
    this.onTrouble = onTrouble;
    this.url = null;
    this.variants = 0;
    this.hls = null;
    this.lookedAt = 0;
  }

  /** Bring the player to what `video` is now. */
  async show(video) {
    if (video.poster_url && this.element.poster !== video.poster_url) this.element.poster = video.poster_url;
    if (!video.hls_url) {
      this.curtain(video);
      return;
    }
    if (this.url === null) {
      this.url = video.hls_url;
      await this.begin();
    } else if (this.hls && !this.complete) {
      await this.lookForMore(video.state === "ready");
    }
    if (video.state === "ready") this.complete = true;
  }

  curtain(video) {
    const sentence = video.reason ?? (["uploading", "inspecting"].includes(video.state) ? say(`watch.${video.state}`) : say("watch.encoding"));
    $("curtain").hidden = false;
    $("curtain-text").textContent = sentence;
    const share = video.state === "uploading" && video.source_bytes ? video.received_bytes / video.source_bytes : 0;
    $("curtain-progress").hidden = video.state !== "uploading";
    $("curtain-progress").value = share;
    $("curtain-progress").ariaLabel = percent(share);
  }

  async begin() {
    let Hls;
    try {
      ({ default: Hls } = await import("./lib/hls.mjs"));
    } catch {
      return this.beginNatively(say("library.hls"));
    }
    this.Hls = Hls;
    if (!Hls.isSupported()) return this.beginNatively(say("watch.unsupported"));
    $("curtain").hidden = true;
    this.variants = await this.countVariants();
    this.load(-1);
  }

  beginNatively(sentence) {
    if (this.element.canPlayType("application/vnd.apple.mpegurl")) {
      $("curtain").hidden = true;
      this.element.src = this.url;
    } else {
      $("curtain").hidden = false;
      $("curtain-text").textContent = sentence;
    }
  }

  load(position) {
    const { Hls } = this;
    this.hls?.destroy();
    this.hls = new Hls({
      workerPath: "/assets/lib/hls.worker.js",
      startPosition: position,
      capLevelToPlayerSize: true,
      backBufferLength: 60,
      // A playlist that grows is a film that is being made, not a live one: nobody is to be dragged to its end.
      liveSyncMode: "buffered",
      maxLiveSyncPlaybackRate: 1,
    });
    this.hls.on(Hls.Events.MANIFEST_PARSED, () => this.tellQualities());
    this.hls.on(Hls.Events.LEVEL_SWITCHED, () => this.tellQualities());
    this.hls.on(Hls.Events.ERROR, (_event, data) => data.fatal && this.recover(data));
    this.hls.loadSource(this.url);
    this.hls.attachMedia(this.element);
  }

  recover(data) {
    const { ErrorTypes } = this.Hls;
    if (data.type === ErrorTypes.NETWORK_ERROR) {
      this.onTrouble(say("watch.trouble", { reason: say("watch.trouble.network") }));
      clearTimeout(this.again);
      this.again = setTimeout(() => {
        if (this.hls.levels.length) this.hls.startLoad();
        else this.load(this.element.currentTime || -1);
      }, 3000);
    } else if (data.type === ErrorTypes.MEDIA_ERROR && !this.recovered) {
      this.recovered = true;
      this.hls.recoverMediaError();
    } else {
      this.onTrouble(say("watch.trouble", { reason: say("watch.trouble.media") }));
    }
  }

  /** Has the multivariant playlist got more variants meanwhile? Then change over. */
  async lookForMore(now) {
    if (!now && performance.now() - this.lookedAt < LOOK_AGAIN_MS) return;
    this.lookedAt = performance.now();
    const count = await this.countVariants();
    if (count > this.variants) {
      this.variants = count;
      this.changeOver();
    }
  }

  async countVariants() {
    try {
      const text = await (await fetch(this.url, { cache: "no-cache" })).text();
      return text.split("#EXT-X-STREAM-INF").length - 1;
    } catch {
      return this.variants;
    }
  }

  /** Load the source again at the same moment, behind a still of the picture. */
  changeOver() {
    const { element } = this;
    const [position, paused, rate] = [element.currentTime, element.paused, element.playbackRate];
    const lift = this.freeze();
    this.load(position || -1);
    element.playbackRate = rate;
    element.addEventListener("loadeddata", () => {
      lift();
      if (!paused) element.play().catch(() => {});
    }, { once: true });
    setTimeout(lift, 8000);
  }

  freeze() {
    const still = $("still");
    const { videoWidth: width, videoHeight: height } = this.element;
    if (!width || this.element.readyState < 2) return () => {};
    [still.width, still.height] = [width, height];
    still.getContext("2d").drawImage(this.element, 0, 0);
    still.hidden = false;
    return () => {
      still.hidden = true;
    };
  }

  tellQualities() {
    this.onTrouble(null);
    const levels = this.hls.levels.map((level, index) => ({ index, name: levelName(level), height: level.height }));
    const current = this.hls.levels[this.hls.currentLevel];
    this.onQualities({
      levels: levels.sort((a, b) => b.height - a.height),
      chosen: this.hls.autoLevelEnabled ? -1 : this.hls.manualLevel,
      playing: current ? levelName(current) : null,
    });
  }

  /** Stay at level `index`, or choose by the network's speed (-1). */
  choose(index) {
    this.hls.nextLevel = index;
    this.tellQualities();
  }
}

function levelName(level) {
  return `${Math.min(level.height, level.width) || level.height}p`;
}

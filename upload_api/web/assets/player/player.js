// Plays one video: an engine, a line of time, buttons, a menu, keys, and words for what goes wrong. Starts as soon as a
// beginning plays, and changes over to the full ladder in place.
import { $, fill, make } from "../core/dom.js";
import { art, icon } from "../core/icons.js";
import { clock, lasting, percent, say } from "../core/text.js";
import { liftCaptions } from "./captions.js";
import { chooseEngine, fetchAhead, urlFor } from "./engines/choice.js";
import { growing } from "./growing.js";
import { keyHelp, listenToKeys } from "./keyboard.js";
import { like, likes, rememberedPosition, rememberPosition } from "./memory.js";
import { Menu } from "./menu.js";
import { resumeAt } from "./resuming.js";
import { Scrubber } from "./scrubber.js";

const IDLE_MS = 2600;
const RETRY_MS = 3000;
const REMEMBER_MS = 5000;
const LAST_START_S = 0.5; // before its end; a film that is loaded to begin later than that never comes to a picture

/** A name for this play in what is reported of it; `randomUUID` is for HTTPS alone. */
function sessionName() {
  const digits = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-a${digits.slice(17, 20)}-${digits.slice(20)}`;
}

function key(name, words, act, extra = {}) {
  return make("button", { class: "key", type: "button", "aria-label": words, title: words, onclick: act, ...extra }, icon(name));
}

export class Player {
  /** `title`: shown over the film, as a link to `href`: for pages of others. */
  constructor({ title = null, href = null, onTime = () => {} } = {}) {
    this.root = $("stage");
    this.onTime = onTime;
    this.video = null;
    this.engine = null;
    this.session = sessionName();
    this.resuming = null; // how it goes on after it was loaded anew
    this.wishedHeight = null; // of the quality that was chosen, for when the film is loaded again; null: by itself
    this.build(title, href);
    this.listen();
    liftCaptions(this.root, this.element, this.scrubber.root);
    listenToKeys(this);
  }

  // --- what it looks like ---

  build(title, href) {
    this.element = make("video", { id: "video", playsInline: true, preload: "auto", crossOrigin: "anonymous" });
    this.frozen = make("canvas", { class: "frozen", hidden: true });
    this.heard = make("div", { class: "heard" }, icon("sound"));
    this.go = make("button", { class: "go", type: "button", "aria-label": say("player.play"), hidden: true, onclick: () => this.toggle() }, icon("play"));
    this.spins = make("div", { class: "spins", hidden: true });
    this.flash = make("div", { class: "flash", role: "status", hidden: true });
    this.scrubber = new Scrubber({ element: this.element, length: () => this.length(), onSeek: (to) => this.seek(to) });
    this.menu = new Menu(this);
    this.play = key("play", say("player.play"), () => this.toggle());
    this.loud = key("sound", say("player.mute"), () => this.mute());
    this.volume = make("input", { type: "range", min: 0, max: 1, step: 0.05, "aria-label": say("player.volume"), oninput: () => this.setVolume(Number(this.volume.value)) });
    this.clock = make("span", { class: "clock" });
    this.chapterNow = make("span", { class: "chapter-now" });
    this.words = key("words", say("player.text"), () => this.toggleText(), { hidden: true });
    this.gear = key("gear", say("player.settings"), () => (this.menu.isOpen ? this.menu.close() : this.engine && this.menu.open(this.gear)), { "aria-haspopup": "menu", "aria-expanded": "false" });
    this.insetKey = key("inset", say("player.inset"), () => this.inset(), { class: "key wide-only", "aria-pressed": "false", hidden: !document.pictureInPictureEnabled });
    this.fullKey = key("full", say("player.full"), () => this.fullscreen());
    this.controls = make(
      "div",
      { class: "controls", hidden: true },
      this.scrubber.root,
      make(
        "div",
        { class: "keys" },
        this.play, make("span", { class: "loud" }, this.loud, this.volume), this.clock, this.chapterNow, make("span", { class: "gap" }),
        this.words, this.gear, this.insetKey, this.fullKey,
      ),
    );
    this.curtain = make("div", { class: "curtain", role: "status" });
    const link = title && make("div", { class: "titled" }, make("a", { href, target: "_blank", rel: "noopener" }, title));
    fill(this.root, this.element, this.heard, this.frozen, this.spins, this.go, this.flash, link, this.controls, this.menu.root, this.curtain);
    this.root.setAttribute("role", "region");
    this.root.setAttribute("aria-label", say("player.label"));
  }

  listen() {
    const { element } = this;
    element.addEventListener("play", () => this.drawState());
    element.addEventListener("pause", () => this.drawState());
    element.addEventListener("ended", () => this.drawState());
    element.addEventListener("playing", () => this.plays());
    element.addEventListener("waiting", () => this.waits());
    element.addEventListener("seeking", () => this.waits());
    element.addEventListener("seeked", () => {
      this.settled();
      this.drawState(); // what had ended may not be at its end any more
    });
    element.addEventListener("canplay", () => this.settled());
    element.addEventListener("loadeddata", () => this.drawState());
    for (const event of ["loadedmetadata", "resize"]) element.addEventListener(event, () => this.drawPicture());
    for (const event of ["timeupdate", "progress", "durationchange"]) element.addEventListener(event, () => this.drawTime());
    element.addEventListener("volumechange", () => this.drawVolume());
    for (const event of ["enterpictureinpicture", "leavepictureinpicture"]) element.addEventListener(event, () => this.drawInset());
    element.addEventListener("click", () => (this.menu.isOpen ? this.menu.close() : this.toggle()));
    element.addEventListener("dblclick", () => this.fullscreen());
    this.root.addEventListener("pointermove", () => this.wake());
    this.root.addEventListener("focusin", () => this.wake());
    document.addEventListener("fullscreenchange", () => {
      const full = document.fullscreenElement === this.root;
      fill(this.fullKey, icon(full ? "small" : "full"));
      this.fullKey.setAttribute("aria-label", say(full ? "player.full.off" : "player.full"));
    });
    window.addEventListener("online", () => this.trouble && this.goOn());
    window.addEventListener("pagehide", () => this.remember());
    setInterval(() => !element.paused && this.remember(), REMEMBER_MS);
    const liked = likes();
    element.volume = liked.volume ?? 1;
    element.muted = liked.muted ?? false;
    this.drawVolume();
  }

  // --- from facts to a film ---

  /** Bring the player to what `video` is now. */
  async show(video) {
    this.video = video;
    if (video.poster_url && this.poster !== video.poster_url) {
      this.poster = video.poster_url;
      if (!this.element.currentTime) this.element.poster = video.poster_url;
      this.drawPicture();
    }
    this.root.style.aspectRatio = video.width && video.height ? `${Math.max(video.width, video.height * 0.8)} / ${video.height}` : "";
    this.scrubber.setStoryboard(video.storyboard_url);
    this.setChapters(video.chapters ?? []);
    if (!video.hls_url && !video.dash_url) {
      this.lower(video);
      return;
    }
    if (this.starting) return;
    if (this.engine === null) {
      this.starting = true;
      await this.begin(likes().engine ?? "hls");
      this.starting = false;
    } else if (this.isElsewhere(video)) {
      this.url = urlFor(this.engine.name, video);
      this.load(this.element.currentTime || -1);
    } else if (!this.complete) {
      await this.growth.look(video.state === "ready");
    }
    this.complete = this.video.state === "ready";  // it may have become so while the player began
    if (this.complete) this.growth?.finish();
    this.drawTime();
  }

  /** Whether the film has become signed, or is no more: then what was asked for so far is refused. */
  isElsewhere(video) {
    const isSigned = (url) => new URL(url).pathname.startsWith("/t/");
    const url = urlFor(this.engine.name, video);
    return Boolean(url) && isSigned(url) !== isSigned(this.url);
  }

  setChapters(chapters) {
    const said = JSON.stringify(chapters);
    if (said === this.chaptersSaid) return;
    this.chaptersSaid = said;
    this.scrubber.setChapters(chapters);
  }

  async begin(wished) {
    const callbacks = {
      onTracks: () => this.drawTracks(),
      onTrouble: (kind, detail) => this.broke(kind, detail),
    };
    const { engine, url, problem } = await chooseEngine(this.video, wished, this.element, callbacks);
    if (!engine) {
      this.curtainSays({ words: say(`trouble.${problem}`), ends: true });
      return;
    }
    this.engine = engine;
    this.url = url;
    const at = this.startAt ?? this.linkedPosition() ?? rememberedPosition(this.video.id);
    this.growth = growing(this);
    await this.growth.begin();
    this.load(at ?? -1);
    if (at && this.startAt === undefined) this.offerStart(at);
    this.curtain.hidden = true;
    this.controls.hidden = false;
    this.drawState();
  }

  load(position) {
    this.engine.load(this.url, { position: Math.min(position, this.lastStart()), height: this.wishedHeight, cmcd: { session: this.session, content: this.video.id } });
    if (likes().rate) this.element.playbackRate = likes().rate;
  }

  /** The latest moment that a film which is loaded anew may begin at. */
  lastStart() {
    return this.length() > 0 ? Math.max(0, this.length() - LAST_START_S) : Infinity;
  }

  /** Where it goes on when it is loaded anew: what has ended is at its beginning again. */
  goesOnAt() {
    return this.element.ended ? 0 : Math.min(this.element.currentTime, this.lastStart());
  }

  /** Seconds of an address that ends in `#t=90`. */
  linkedPosition() {
    const at = Number(new URLSearchParams(window.location.hash.slice(1)).get("t"));
    return at > 0 ? at : null;
  }

  offerStart(at) {
    this.passing(say("player.goes.on", { at: clock(at) }));
  }

  /** Play on with another engine from the same moment. */
  async useEngine(name) {
    like({ engine: name });
    const lift = this.freeze();
    const [at, paused] = [this.goesOnAt(), this.element.paused];
    clearTimeout(this.retry);
    this.engine.destroy();
    this.engine = this.growth = null; // until the other is fetched nobody is to be asked
    this.startAt = at;
    this.resuming = resumeAt(this.element, at, { paused, lift });
    this.starting = true;
    await this.begin(name);
    this.starting = false;
    setTimeout(lift, 6000);
  }

  /** A still of the picture over the film, while it is loaded anew. What comes back takes it away. */
  freeze() {
    const { videoWidth: width, videoHeight: height } = this.element;
    if (!width || this.element.readyState < 2) return () => {};
    [this.frozen.width, this.frozen.height] = [width, height];
    try {
      this.frozen.getContext("2d").drawImage(this.element, 0, 0);
    } catch {
      return () => {};
    }
    this.frozen.hidden = false;
    return () => (this.frozen.hidden = true);
  }

  // --- what people do ---

  length() {
    const { duration } = this.element;
    const made = Number.isFinite(duration) ? duration : 0;
    return Math.max(this.video?.duration_seconds ?? 0, made);
  }

  ahead() {
    const { buffered, currentTime } = this.element;
    for (let n = 0; n < buffered.length; n += 1) {
      if (buffered.start(n) <= currentTime && currentTime <= buffered.end(n)) return buffered.end(n) - currentTime;
    }
    return 0;
  }

  toggle() {
    if (this.element.paused) this.element.play().catch(() => {});
    else this.element.pause();
  }

  seek(to) {
    const { seekable } = this.element;
    const last = seekable.length ? seekable.end(seekable.length - 1) : this.length();
    if (to > last + 1) this.passing(say("player.unmade", { at: clock(last) }));
    const at = Math.min(Math.max(0, to), Math.max(0, last - 0.05));
    this.element.currentTime = at;
    this.resuming?.goTo(at);
    this.drawTime();
  }

  nudge(by) {
    this.seek(this.element.currentTime + by);
    this.passing(`${by > 0 ? "+" : "−"}${Math.abs(by)} s`);
  }

  setVolume(volume) {
    this.element.muted = false;
    this.element.volume = Math.min(1, Math.max(0, volume));
    like({ volume: this.element.volume, muted: false });
  }

  mute() {
    this.element.muted = !this.element.muted;
    like({ muted: this.element.muted });
  }

  setRate(rate) {
    this.element.playbackRate = rate;
    like({ rate });
    this.passing(`${rate}×`);
  }

  /** `level`: one of the engine's qualities; null for what it thinks best. */
  setQuality(level) {
    this.wishedHeight = this.engine.wished = level?.height ?? null;
    this.engine.chooseQuality(level?.id ?? "auto");
  }

  setText(id) {
    this.engine.chooseText(id);
    like({ text: id === null ? null : this.engine.texts().all.find((track) => track.id === id)?.language });
    this.drawTracks();
  }

  toggleText() {
    if (!this.engine) return undefined;
    const { all, chosen } = this.engine.texts();
    if (!all.length) return this.passing(say("player.text.none"));
    const liked = all.find((track) => track.language === likes().text) ?? all[0];
    return this.setText(chosen === null ? liked.id : null);
  }

  async inset() {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await this.element.requestPictureInPicture?.().catch(() => this.passing(say("player.inset.no")));
  }

  async fullscreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    // A phone's films have a full screen of their own.
    else if (this.root.requestFullscreen) await this.root.requestFullscreen().catch(() => {});
    else this.element.webkitEnterFullscreen?.();
  }

  help() {
    const open = this.root.querySelector(".helps");
    if (open) open.remove();
    else this.root.append(keyHelp(() => this.help()));
  }

  remember() {
    if (this.engine && this.element.currentTime > 0) rememberPosition(this.video.id, this.element.currentTime, this.length());
  }

  // --- what is shown of it ---

  wake() {
    this.root.classList.remove("idle");
    clearTimeout(this.sleep);
    this.sleep = setTimeout(() => !this.menu.isOpen && this.root.classList.add("idle"), IDLE_MS);
  }

  plays() {
    this.settled();
    this.mended();
    this.drawState();
    this.wake();
  }

  waits() {
    clearTimeout(this.waitShown);
    this.waitShown = setTimeout(() => (this.spins.hidden = this.element.paused && !this.element.seeking), 350);
  }

  settled() {
    clearTimeout(this.waitShown);
    this.spins.hidden = true;
  }

  drawState() {
    const { paused, ended, currentTime } = this.element;
    this.root.classList.toggle("plays", !paused);
    fill(this.play, icon(ended ? "again" : paused ? "play" : "pause"));
    this.play.setAttribute("aria-label", say(paused ? "player.play" : "player.pause"));
    this.go.hidden = !(paused && (currentTime < 0.1 || ended)) || !this.engine;
    this.drawTime();
  }

  /** Sound alone has something to look at too, unless it has a poster. */
  drawPicture() {
    const isHeard = this.element.readyState > 0 && this.element.videoWidth === 0;
    this.root.classList.toggle("sound", isHeard && !this.element.poster);
  }

  drawTime() {
    if (!this.engine) return;
    const { currentTime } = this.element;
    fill(this.clock, clock(currentTime), make("span", {}, ` / ${lasting(this.length())}`));
    const chapter = this.scrubber.chapterAt(currentTime);
    this.chapterNow.textContent = chapter?.title ? `· ${chapter.title}` : "";
    this.scrubber.draw();
    this.onTime(currentTime, chapter);
  }

  drawVolume() {
    const { muted, volume } = this.element;
    fill(this.loud, icon(muted || volume === 0 ? "mute" : "sound"));
    this.loud.setAttribute("aria-label", say(muted ? "player.unmute" : "player.mute"));
    this.volume.value = muted ? 0 : volume;
  }

  drawInset() {
    this.insetKey.setAttribute("aria-pressed", String(document.pictureInPictureElement === this.element));
  }

  drawTracks() {
    if (!this.engine) return;
    const { all, chosen } = this.engine.texts();
    this.words.hidden = all.length === 0;
    this.words.setAttribute("aria-pressed", String(chosen !== null));
    const liked = likes().text;
    if (liked && chosen === null && !this.likedText) {
      const track = all.find((each) => each.language === liked);
      if (track) {
        this.likedText = true;
        this.engine.chooseText(track.id);
      }
    }
    this.root.dataset.quality = this.engine.qualities().playing ?? "";
    this.menu.refresh();
  }

  /** A word or two in passing. */
  passing(words) {
    this.flash.textContent = words;
    this.flash.hidden = false;
    clearTimeout(this.flashing);
    this.flashing = setTimeout(() => (this.flash.hidden = true), 1400);
  }

  // --- what is in the way ---

  /** There is nothing to play yet, or never will be. */
  lower(video) {
    const ends = ["rejected", "failed", "deleted"].includes(video.state);
    if (!ends) fetchAhead(likes().engine ?? "hls");
    const share = video.uploaded ?? (video.source_bytes && video.state === "uploading" ? video.received_bytes / video.source_bytes : null);
    this.curtainSays({
      title: say(ends ? "curtain.never" : `curtain.${video.state}`),
      words: video.reason ?? say(ends ? "curtain.never.words" : "curtain.soon"),
      share,
      ends,
    });
  }

  curtainSays({ title = null, words, share = null, ends = false, act = null }) {
    this.curtain.hidden = false;
    this.controls.hidden = this.engine === null || act !== null;
    this.curtain.classList.toggle("ends", ends);
    const said = [title, words, act?.words].join("|");
    if (said !== this.curtainSaid) {
      this.curtainSaid = said;
      this.curtainBar = make("progress", { max: 1, "aria-label": say("curtain.uploading") });
      fill(
        this.curtain,
        art(),
        title && make("strong", {}, title),
        make("p", {}, words),
        this.curtainBar,
        act && make("button", { class: "button", type: "button", onclick: act.does }, act.words),
      );
    }
    this.curtainBar.hidden = share === null;
    if (share !== null) {
      this.curtainBar.value = share;
      this.curtainBar.title = percent(share);
    }
  }

  broke(kind, detail) {
    if (kind === "text") {
      this.passing(say("trouble.text"));
      return;
    }
    this.trouble = kind;
    console.warn("player", kind, detail);
    const waits = kind === "network";
    const offline = waits && !navigator.onLine;
    this.settled();
    this.curtainSays({
      title: say("trouble.title"),
      words: say(offline ? "trouble.offline" : `trouble.${kind}`),
      ends: !waits,
      act: { words: say("trouble.again"), does: () => this.goOn() },
    });
    clearTimeout(this.retry);
    if (waits) this.retry = setTimeout(() => this.goOn(), RETRY_MS);
  }

  mended() {
    this.trouble = null;
    this.curtain.hidden = true;
    this.controls.hidden = false;
  }

  goOn() {
    clearTimeout(this.retry);
    if (this.trouble === "network" && this.engine.again()) {
      this.retry = setTimeout(() => this.trouble && this.load(this.element.currentTime || -1), RETRY_MS * 3);
      if (this.ahead() > 0) this.mended();
    } else {
      const playing = !this.element.paused;
      this.load(this.element.currentTime || -1);
      this.element.addEventListener("loadeddata", () => {
        this.mended();
        if (playing) this.element.play().catch(() => {});
      }, { once: true });
    }
  }
}

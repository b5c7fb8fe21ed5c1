// The menu of settings: quality, speed, sound, subtitles, chapters, and what is going on underneath.
import { fill, make } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { bitRate, clock, language, say } from "../core/text.js";
import { choosable } from "./engines/choice.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const CLICK_MS = 100; // from a finger that is lifted to the click that this makes

/** How `track` of `all` is called: by its language, or by its own name where others speak that too. */
function trackName(track, all) {
  const spoken = language(track.language);
  const isAlone = all.every((other) => other === track || other.language !== track.language);
  return (isAlone && spoken) || track.name || spoken || say("player.track", { n: track.id + 1 });
}

export class Menu {
  constructor(player) {
    this.player = player;
    this.page = null;
    this.isPressed = this.isStale = false;
    this.root = make("div", { class: "menu", role: "menu", "aria-label": say("player.settings"), hidden: true });
    this.root.addEventListener("keydown", (event) => this.keyed(event));
    this.root.addEventListener("pointerdown", () => (this.isPressed = true));
    for (const event of ["pointerup", "pointercancel"]) window.addEventListener(event, () => this.isPressed && this.released());
  }

  get isOpen() {
    return !this.root.hidden;
  }

  open(opener) {
    this.opener = opener;
    this.root.hidden = false;
    this.opener.setAttribute("aria-expanded", "true");
    this.show(null);
  }

  close({ refocus = false } = {}) {
    if (!this.isOpen) return;
    this.root.hidden = true;
    this.opener.setAttribute("aria-expanded", "false");
    if (refocus) this.opener.focus();
  }

  /** Those that are to be seen. */
  get buttons() {
    return [...this.root.querySelectorAll("button")].filter((button) => button.offsetParent !== null);
  }

  /** What is pressed right now is not replaced: its click would be lost. */
  refresh() {
    this.isStale = this.isPressed;
    if (this.isOpen && !this.isPressed) this.show(this.page, { keep: true });
  }

  released() {
    setTimeout(() => {
      this.isPressed = false;
      if (this.isStale) this.refresh();
    }, CLICK_MS);
  }

  show(page, { keep = false } = {}) {
    const had = keep && this.root.contains(document.activeElement) ? this.buttons.indexOf(document.activeElement) : 0;
    this.page = page;
    const pages = {
      quality: () => this.qualities(),
      speed: () => this.speeds(),
      audio: () => this.audios(),
      text: () => this.texts(),
      chapters: () => this.chapters(),
      stream: () => this.streams(),
      facts: () => this.facts(),
    };
    fill(this.root, page === null ? this.first() : [this.up(page), ...pages[page]()]);
    const { buttons } = this;
    (buttons[had] ?? buttons[0])?.focus();
  }

  up(page) {
    return make("button", { class: "up", type: "button", role: "menuitem", onclick: () => this.show(null) }, icon("back"), say(`player.${page}`));
  }

  first() {
    const { engine, video, element } = this.player;
    const quality = engine.qualities();
    const [audio, text] = [engine.audios(), engine.texts()];
    const entry = (page, value) =>
      make("button", { type: "button", role: "menuitem", "aria-haspopup": "true", onclick: () => this.show(page) }, say(`player.${page}`), make("span", { class: "value" }, value), icon("forth"));
    const playing = quality.playing ? say("player.auto.now", { name: quality.playing }) : say("player.auto");
    const chosen = quality.all.find((level) => level.id === quality.chosen)?.name ?? playing;
    return [
      quality.all.length > 0 && entry("quality", quality.chosen === "auto" ? playing : chosen),
      entry("speed", element.playbackRate === 1 ? say("player.speed.normal") : `${element.playbackRate}×`),
      audio.all.length > 1 && entry("audio", audio.all[audio.chosen] ? trackName(audio.all[audio.chosen], audio.all) : ""),
      text.all.length > 0 && entry("text", text.chosen === null ? say("player.text.off") : trackName(text.all[text.chosen], text.all)),
      this.player.scrubber.chapters.length > 0 && entry("chapters", String(this.player.video.chapters.length)),
      document.pictureInPictureEnabled && this.inset(),
      choosable(video).length > 1 && engine.name !== "native" && entry("stream", engine.name.toUpperCase()),
      entry("facts", ""),
    ];
  }

  /** For where its own key has no room. */
  inset() {
    const act = () => this.chose(() => this.player.inset());
    return make("button", { class: "narrow-only", type: "button", role: "menuitem", onclick: act }, say("player.inset"));
  }

  item(words, isChosen, act, value = "") {
    return make(
      "button",
      { type: "button", role: "menuitemradio", "aria-checked": String(isChosen), onclick: act },
      make("span", { class: "tick" }, isChosen ? icon("check") : ""),
      words,
      make("span", { class: "value" }, value),
    );
  }

  chose(act) {
    act();
    this.close({ refocus: true });
  }

  qualities() {
    const { all, chosen, playing } = this.player.engine.qualities();
    const choose = (level) => this.chose(() => this.player.setQuality(level));
    const auto = playing && chosen === "auto" ? say("player.auto.now", { name: playing }) : say("player.auto");
    return [
      this.item(auto, chosen === "auto", () => choose(null)),
      ...all.map((level) => this.item(level.name, chosen === level.id, () => choose(level), bitRate(level.rate))),
    ];
  }

  speeds() {
    const { element } = this.player;
    return SPEEDS.map((rate) =>
      this.item(rate === 1 ? say("player.speed.normal") : `${rate}×`, element.playbackRate === rate, () => this.chose(() => this.player.setRate(rate))),
    );
  }

  audios() {
    const { all, chosen } = this.player.engine.audios();
    return all.map((track) => this.item(trackName(track, all), track.id === chosen, () => this.chose(() => this.player.engine.chooseAudio(track.id))));
  }

  texts() {
    const { all, chosen } = this.player.engine.texts();
    const choose = (id) => this.chose(() => this.player.setText(id));
    return [
      this.item(say("player.text.off"), chosen === null, () => choose(null)),
      ...all.map((track) => this.item(trackName(track, all), track.id === chosen, () => choose(track.id))),
    ];
  }

  chapters() {
    const now = this.player.scrubber.chapterAt(this.player.element.currentTime);
    return this.player.video.chapters.map((chapter) =>
      this.item(chapter.title, chapter.title === now?.title, () => this.chose(() => this.player.seek(chapter.start_seconds)), clock(chapter.start_seconds)),
    );
  }

  streams() {
    const { engine, video } = this.player;
    return choosable(video).map((key) =>
      this.item(say(`player.stream.${key}`), engine.name === key, () => this.chose(() => this.player.useEngine(key))),
    );
  }

  facts() {
    const { element, engine } = this.player;
    const seen = element.getVideoPlaybackQuality?.() ?? {};
    const rows = [
      ["player.facts.size", `${element.videoWidth} × ${element.videoHeight}`],
      ["player.facts.frames", say("player.facts.frames.value", { seen: seen.totalVideoFrames ?? 0, lost: seen.droppedVideoFrames ?? 0 })],
      ["player.facts.ahead", say("time.seconds", { n: this.player.ahead().toFixed(1) })],
      ["player.facts.bandwidth", engine.bandwidth() ? bitRate(engine.bandwidth()) : "–"],
      ["player.facts.engine", say(`player.engine.${engine.name}`)],
    ];
    return [make("dl", {}, ...rows.flatMap(([words, value]) => [make("dt", {}, say(words)), make("dd", {}, value)]))];
  }

  keyed(event) {
    const { buttons } = this;
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to !== undefined) buttons[(to + buttons.length) % buttons.length]?.focus();
    else if (event.key === "Escape") this.close({ refocus: true });
    else if (event.key === "ArrowLeft" && this.page !== null) this.show(null);
    else if (!["Enter", " ", "Tab"].includes(event.key)) return;
    if (!["Enter", " ", "Tab"].includes(event.key)) event.preventDefault();
    event.stopPropagation();
  }
}

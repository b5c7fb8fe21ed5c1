// The line of time: chapters as legs, what is buffered, what is not made yet, sprites under the pointer.
import { make } from "../core/dom.js";
import { clock, lasting, say } from "../core/text.js";
import { readStoryboard, spriteOn } from "./storyboard.js";

const PEEK_WIDTH = 176;
const STEP_S = 5;

export class Scrubber {
  /** `length()`: how long the film will be, which is more than the element knows while it grows. */
  constructor({ element, length, onSeek }) {
    this.video = element;
    this.length = length;
    this.onSeek = onSeek;
    this.legs = [];
    this.chapters = [];
    this.board = null;
    this.boardUrl = null;
    this.rail = make("div", { class: "rail" });
    this.unmade = make("div", { class: "unmade", hidden: true });
    this.knob = make("div", { class: "knob" });
    this.sprite = make("div", { class: "sprite" });
    this.peekWords = make("b");
    this.peek = make("div", { class: "peek", hidden: true }, this.sprite, this.peekWords);
    this.root = make(
      "div",
      { class: "scrub", role: "slider", tabIndex: 0, "aria-label": say("player.seek"), "aria-valuemin": "0" },
      this.rail, this.unmade, this.knob, this.peek,
    );
    this.root.addEventListener("pointermove", (event) => this.moved(event));
    this.root.addEventListener("pointerdown", (event) => this.begin(event));
    this.root.addEventListener("pointerleave", () => !this.dragging && this.hidePeek());
    this.root.addEventListener("keydown", (event) => this.keyed(event));
    this.setChapters([]);
  }

  setChapters(chapters) {
    this.chapters = chapters.length && chapters[0].start_seconds > 0 ? [{ start_seconds: 0, title: "" }, ...chapters] : chapters;
    const leg = () => {
      const [ahead, past] = [make("i", { class: "ahead" }), make("i", { class: "past" })];
      return { element: make("div", { class: "leg" }, ahead, past), ahead, past };
    };
    this.legs = (this.chapters.length ? this.chapters : [{ start_seconds: 0 }]).map(leg);
    this.rail.replaceChildren(...this.legs.map((each) => each.element));
    this.draw();
  }

  async setStoryboard(url) {
    if (!url || url === this.boardUrl) return;
    this.boardUrl = url;
    this.board = await readStoryboard(url).catch(() => null);
  }

  chapterAt(time) {
    return this.chapters.findLast((chapter) => chapter.start_seconds <= time) ?? null;
  }

  draw() {
    const length = this.length();
    if (!(length > 0)) return;
    const now = this.dragging ?? this.video.currentTime;
    const { buffered } = this.video;
    let ahead = now;
    for (let n = 0; n < buffered.length; n += 1) {
      if (buffered.start(n) <= now + 0.2 && buffered.end(n) > ahead) ahead = buffered.end(n);
    }
    const starts = this.chapters.length ? this.chapters.map((chapter) => Math.min(chapter.start_seconds, length)) : [0];
    this.legs.forEach((leg, n) => {
      const [from, to] = [starts[n], starts[n + 1] ?? length];
      const share = (time) => (to > from ? Math.min(1, Math.max(0, (time - from) / (to - from))) : 0);
      leg.element.style.flexGrow = String(Math.max((100 * (to - from)) / length, 0.001)); // below one in all they would leave room
      leg.past.style.transform = `scaleX(${share(now)})`;
      leg.ahead.style.transform = `scaleX(${share(ahead)})`;
    });
    this.knob.style.left = `${(100 * now) / length}%`;
    const made = Number.isFinite(this.video.duration) && this.video.duration > 0 ? this.video.duration : length;
    this.unmade.hidden = made >= length - 1;
    this.unmade.style.width = `${Math.max(0, 100 * (1 - made / length))}%`;
    this.root.setAttribute("aria-valuemax", String(Math.round(length)));
    this.root.setAttribute("aria-valuenow", String(Math.round(now)));
    const chapter = this.chapterAt(now)?.title;
    this.root.setAttribute("aria-valuetext", say("player.seek.value", { at: clock(now), of: lasting(length) }) + (chapter ? `, ${chapter}` : ""));
  }

  timeAt(event) {
    const box = this.root.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.length();
  }

  moved(event) {
    const time = this.timeAt(event);
    if (this.dragging !== undefined) {
      this.dragging = time;
      this.draw();
    }
    this.showPeek(time);
  }

  showPeek(time) {
    const box = this.root.getBoundingClientRect();
    const tile = this.board?.at(time);
    this.peek.hidden = false;
    this.sprite.hidden = !tile;
    let half = 40;
    if (tile) {
      const width = Math.min(PEEK_WIDTH, box.width * 0.4);
      const height = (width * tile.height) / tile.width;
      this.sprite.style.width = `${width}px`;
      this.sprite.style.height = `${height}px`;
      spriteOn(this.sprite, tile, { width, height });
      half = width / 2;
    }
    const chapter = this.chapterAt(time)?.title;
    this.peekWords.textContent = chapter ? `${chapter} · ${clock(time)}` : clock(time);
    const x = (time / this.length()) * box.width;
    this.peek.style.left = `${Math.min(box.width - half, Math.max(half, x))}px`;
    const under = this.chapters.length ? this.chapters.indexOf(this.chapterAt(time)) : 0;
    this.legs.forEach((leg, n) => leg.element.classList.toggle("under", n === under));
  }

  hidePeek() {
    this.peek.hidden = true;
    this.legs.forEach((leg) => leg.element.classList.remove("under"));
  }

  begin(event) {
    if (event.button !== 0) return;
    this.dragging = this.timeAt(event);
    this.root.classList.add("drags");
    this.root.setPointerCapture(event.pointerId);
    const end = () => {
      this.root.removeEventListener("pointerup", end);
      this.root.removeEventListener("pointercancel", end);
      this.root.classList.remove("drags");
      const time = this.dragging;
      this.dragging = undefined;
      this.onSeek(time);
      this.hidePeek();
      this.draw();
    };
    this.root.addEventListener("pointerup", end);
    this.root.addEventListener("pointercancel", end);
    this.draw();
  }

  keyed(event) {
    const now = this.video.currentTime;
    const to = {
      ArrowLeft: now - STEP_S, ArrowDown: now - STEP_S, ArrowRight: now + STEP_S, ArrowUp: now + STEP_S,
      PageUp: now + 60, PageDown: now - 60, Home: 0, End: this.length(),
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.onSeek(to);
  }
}

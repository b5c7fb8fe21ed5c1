// The library: a list that follows the event stream, searched, filtered, sorted, and worked on in bulk.
import { api } from "../core/api.js";
import { $, fill, make } from "../core/dom.js";
import { art } from "../core/icons.js";
import { sure, toast, trying } from "../core/talk.js";
import { count, say } from "../core/text.js";
import { bones, card } from "./card.js";

const FILTERS = {
  all: [],
  busy: ["uploading", "inspecting", "encoding", "playable"],
  ready: ["ready"],
  wrong: ["failed", "rejected"],
};
const LOOK_AGAIN_MS = 150;

export class Library {
  /** `hidden()`: ids of videos that are shown elsewhere; `onCount(n, filtered)` when the number of cards changed. */
  constructor({ hidden, onCount }) {
    this.hidden = hidden;
    this.onCount = onCount;
    this.cards = new Map();
    this.picked = new Set();
    this.wanted = { filter: "all", text: "", sort: "newest" };
    this.cursor = null;
    this.asked = 0;
    this.asking = new Map();
    this.tools();
    this.bulk();
    fill($("videos"), bones(8));
    this.load();
  }

  get filtered() {
    return this.wanted.filter !== "all" || this.wanted.text !== "";
  }

  tools() {
    let pause;
    $("search").addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => this.want({ text: $("search").value.trim() }), 220);
    });
    $("sort").addEventListener("change", () => this.want({ sort: $("sort").value }));
    for (const chip of document.querySelectorAll(".chip")) {
      chip.addEventListener("click", () => {
        for (const other of document.querySelectorAll(".chip")) other.setAttribute("aria-pressed", String(other === chip));
        this.want({ filter: chip.value });
      });
    }
    $("more").addEventListener("click", () => this.load({ more: true }));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
      event.preventDefault();
      $("search").focus();
    });
  }

  /** Nothing searched for, nothing left out. */
  wantAll() {
    $("search").value = "";
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chip.value === "all"));
    this.want({ text: "", filter: "all" });
    $("search").focus();
  }

  want(change) {
    this.wanted = { ...this.wanted, ...change };
    this.load();
  }

  async load({ more = false } = {}) {
    const mine = (this.asked += 1);
    $("more").disabled = true;
    try {
      const { filter, text, sort } = this.wanted;
      const page = await api.videos({ states: FILTERS[filter], text, sort, cursor: more ? this.cursor : null });
      if (mine !== this.asked) return; // a newer question is under way
      if (!more) {
        this.cards.clear();
        $("videos").replaceChildren();
      }
      page.videos.forEach((video) => this.put(video, { last: true }));
      this.cursor = page.next_cursor;
      this.problem(null);
    } catch (problem) {
      if (mine === this.asked) this.problem(problem);
    }
    $("more").disabled = false;
    $("more").hidden = this.cursor === null;
    $("videos-section").setAttribute("aria-busy", "false");
    this.counted();
  }

  problem(problem) {
    $("list-error").hidden = problem === null;
    if (problem === null) return;
    for (const bone of document.querySelectorAll(".card.bones")) bone.remove();
    $("list-error-words").textContent = say(problem.status === 0 ? "videos.error.network" : "videos.error", { reason: problem.message });
  }

  /** Show `video` as it is now: in place of its card, or as a new one where the order wants it. */
  put(video, { last = false } = {}) {
    const known = this.cards.get(video.id);
    if (video.state === "deleted" || this.hidden().has(video.id) || (!known && !last && !this.matches(video))) {
      this.drop(video.id);
      return;
    }
    const element = card(video, {
      selected: this.picked.has(video.id),
      onPick: (is) => this.pick(video.id, is),
      onRetry: () => trying(async () => this.put(await api.retry(video.id))),
    });
    const had = known?.element.contains(document.activeElement) ? document.activeElement.className : null;
    if (known) known.element.replaceWith(element);
    else if (last || this.wanted.sort !== "newest") $("videos").append(element);
    else $("videos").insertBefore(element, this.olderThan(video));
    if (had) element.querySelector(`[class="${had}"]`)?.focus();
    this.cards.set(video.id, { video, element });
    this.counted();
  }

  olderThan(video) {
    const older = [...this.cards.values()].filter((known) => known.video.created_at < video.created_at);
    older.sort((a, b) => (a.video.created_at < b.video.created_at ? 1 : -1));
    return older[0]?.element ?? null;
  }

  matches(video) {
    const states = FILTERS[this.wanted.filter];
    const right = !states.length || states.includes(video.state);
    return right && video.title.toLowerCase().includes(this.wanted.text.toLowerCase());
  }

  drop(id) {
    this.cards.get(id)?.element.remove();
    this.cards.delete(id);
    if (this.picked.delete(id)) this.picking();
    this.counted();
  }

  counted() {
    const n = this.cards.size;
    $("videos-empty").hidden = n > 0 || !this.filtered || !$("list-error").hidden;
    this.onCount(n, this.filtered);
  }

  /** Ask for one video again, once for many events in a row. */
  refresh(id) {
    if (this.asking.has(id)) return;
    const look = async () => {
      this.asking.delete(id);
      try {
        this.put(await api.video(id));
      } catch (problem) {
        if (problem.status === 404) this.drop(id);
      }
    };
    this.asking.set(id, setTimeout(look, LOOK_AGAIN_MS));
  }

  /** What the event stream says. */
  hear(kind, data) {
    const known = this.cards.get(data.video_id);
    if (!known || kind === "state" || kind === "showing" || kind === "visibility") {
      if (kind !== "progress" && kind !== "uploaded_bytes") this.refresh(data.video_id);
    } else if (kind === "progress") {
      this.put({ ...known.video, progress: data.progress });
      if (!known.video.poster_url) this.refresh(data.video_id); // the poster comes without a change of state
    } else if (kind === "uploaded_bytes") {
      const { received_bytes, source_bytes = known.video.source_bytes } = data;
      this.put({ ...known.video, received_bytes, source_bytes });
    } else if (kind === "title") {
      this.put({ ...known.video, title: data.title });
    }
  }

  // --- many at once ---

  bulk() {
    $("picked-none").addEventListener("click", () => {
      this.picked.clear();
      for (const { video } of [...this.cards.values()]) this.put(video);
      this.picking();
    });
    $("picked-all").addEventListener("click", () => {
      for (const { video } of [...this.cards.values()]) {
        this.picked.add(video.id);
        this.put(video);
      }
      this.picking();
    });
    $("picked-delete").addEventListener("click", () => this.doToPicked("delete"));
    $("picked-retry").addEventListener("click", () => this.doToPicked("retry"));
  }

  pick(id, is) {
    if (is) this.picked.add(id);
    else this.picked.delete(id);
    this.cards.get(id)?.element.classList.toggle("selected", is);
    this.picking();
  }

  picking() {
    const n = this.picked.size;
    $("picked").hidden = n === 0;
    $("videos-section").classList.toggle("selecting", n > 0);
    $("picked-count").textContent = count("picked.count", n);
    const retry = [...this.picked].some((id) => this.cards.get(id)?.video.state === "failed");
    $("picked-retry").hidden = !retry;
  }

  async doToPicked(action) {
    let ids = [...this.picked];
    if (action === "retry") ids = ids.filter((id) => this.cards.get(id)?.video.state === "failed");
    if (action === "delete" && !(await sure(count("picked.delete.ask", ids.length), say("videos.delete")))) return;
    await trying(async () => {
      const { results } = await api.many(action, ids);
      const wrong = results.filter((one) => one.code !== null);
      this.picked.clear();
      this.picking();
      for (const { id } of results) this.refresh(id);
      if (wrong.length) toast(say("picked.wrong", { n: wrong.length, reason: wrong[0].detail }), { bad: true });
      else toast(count(`picked.${action}.done`, results.length));
    });
  }
}

/** What stands where nothing was found. */
export function nothingFound(showAll) {
  return [
    art(),
    make("h3", {}, say("videos.empty.filtered")),
    make("p", {}, say("videos.empty.filtered.hint")),
    make("button", { class: "button", type: "button", onclick: showAll }, say("videos.empty.all")),
  ];
}

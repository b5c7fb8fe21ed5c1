// All uploads of this page: two at a time, the rest in line; nothing runs while there is no network.
import { $ } from "../core/dom.js";
import { sure } from "../core/talk.js";
import { count, say } from "../core/text.js";
import { earlierUploads, forget } from "./earlier.js";
import { earlierRow, sendingRow } from "./rows.js";
import { Sending } from "./sending.js";

const AT_ONCE = 2;
const SHOWN_WHEN_DONE_MS = 7000;

export class Queue {
  /** `onChange()` whenever the set of videos under way may have changed; `chooseFiles()` opens the file picker. */
  constructor({ onChange, chooseFiles }) {
    this.onChange = onChange;
    this.chooseFiles = chooseFiles;
    this.all = [];
    this.earlier = [];
    window.addEventListener("offline", () => this.all.forEach((each) => each.sending.networkLost()));
    window.addEventListener("online", () => this.all.forEach((each) => each.sending.networkBack()));
    window.addEventListener("beforeunload", (event) => this.isSending && event.preventDefault());
  }

  get isSending() {
    return this.all.some(({ sending }) => sending.state === "running");
  }

  get isEmpty() {
    return this.all.length === 0 && this.earlier.length === 0;
  }

  /** Videos that this page sends right now: they have a line here, and need no card. */
  get videos() {
    const open = this.all.filter(({ sending }) => sending.videoId && !["done", "failed"].includes(sending.state));
    return new Set([...open.map(({ sending }) => sending.videoId), ...this.earlier.map((each) => each.videoId)]);
  }

  /** `refuses(file)`: why it is not even tried; nothing where it is. */
  add(files, refuses = () => null) {
    for (const file of files) {
      const sending = new Sending(file, {
        onChange: () => this.changed(each),
        isTaken: (url) => this.all.some((other) => other !== each && other.sending.upload?.url === url),
      });
      const each = { sending, row: sendingRow(sending, { onRemove: () => this.remove(each) }) };
      this.all.push(each);
      this.forgetEarlier((kept) => kept.name === file.name && kept.size === file.size);
      $("uploads").append(each.row.element);
      const reason = refuses(file);
      if (reason) sending.refused(reason);
    }
    this.next();
  }

  changed(each) {
    each.row.show();
    if (each.shownState !== each.sending.state) {
      each.shownState = each.sending.state;
      if (each.sending.state === "done") setTimeout(() => each.sending.state === "done" && this.remove(each), SHOWN_WHEN_DONE_MS);
      this.next();
    }
    if (each.shownVideo !== each.sending.videoId) {
      each.shownVideo = each.sending.videoId;
      this.onChange();
    }
  }

  async remove(each) {
    const begun = each.sending.sent > 0 && !["done", "failed"].includes(each.sending.state);
    if (begun && !(await sure(say("uploads.cancel.ask", { name: each.sending.name }), say("uploads.cancel")))) return;
    each.row.element.remove();
    this.all = this.all.filter((other) => other !== each);
    each.sending.remove().then(() => this.onChange());
    this.next();
  }

  next() {
    const running = () => this.all.filter(({ sending }) => sending.state === "running").length;
    for (const { sending } of this.all) {
      // Counted anew each time: one that starts tells so at once, and the next may have been started by that.
      if (!navigator.onLine || running() >= AT_ONCE) break;
      if (sending.state === "waiting") sending.start();
    }
    this.frame();
    this.onChange();
  }

  frame() {
    $("uploads-section").hidden = this.isEmpty;
    const open = this.all.filter(({ sending }) => !["done", "failed"].includes(sending.state)).length + this.earlier.length;
    const failed = this.all.filter(({ sending }) => sending.state === "failed").length;
    const said = [open && count("uploads.open.count", open), failed && count("uploads.failed.count", failed)].filter(Boolean);
    $("uploads-count").textContent = said.join(", ") || say("uploads.all.done");
    const running = this.all.some(({ sending }) => ["running", "waiting"].includes(sending.state));
    const paused = this.all.some(({ sending }) => sending.state === "paused");
    $("pause-all").hidden = this.all.length < 2 || !running;
    $("resume-all").hidden = this.all.length < 2 || !paused || running;
  }

  pauseAll() {
    this.all.forEach(({ sending }) => sending.pause());
  }

  resumeAll() {
    this.all.forEach(({ sending }) => sending.state === "paused" && sending.resume());
  }

  /** What the event stream says of a video that may be on its way up here. */
  hear(videoId, { state, reason }) {
    const each = this.all.find(({ sending }) => sending.videoId === videoId);
    if (!each) return;
    if (state === "rejected") each.sending.refused(reason);
    else if (["playable", "ready"].includes(state)) each.sending.plays();
  }

  async lookForEarlier() {
    for (const kept of await earlierUploads()) {
      if (this.all.some(({ sending }) => sending.name === kept.name && sending.size === kept.size)) continue;
      const drop = async () => {
        if (!(await sure(say("uploads.cancel.ask", { name: kept.name }), say("uploads.cancel")))) return;
        this.forgetEarlier((each) => each === kept);
        await forget(kept);
        this.onChange();
      };
      kept.row = earlierRow(kept, { onChoose: this.chooseFiles, onForget: drop });
      this.earlier.push(kept);
      $("uploads").append(kept.row.element);
    }
    this.frame();
    this.onChange();
  }

  forgetEarlier(which) {
    this.earlier.filter(which).forEach((kept) => kept.row.element.remove());
    this.earlier = this.earlier.filter((kept) => !which(kept));
  }
}

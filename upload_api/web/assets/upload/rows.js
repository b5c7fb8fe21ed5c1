// How uploads look: a line each, with what is going on in words.
import { fill, make } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { bytes, percent, roughly, say } from "../core/text.js";

const MARKS = { done: "check", failed: "note", offline: "away", paused: "pause" };

function button(name, words, act, kind = "") {
  return make("button", { class: `button round slim plain ${kind}`, type: "button", title: words, "aria-label": words, onclick: act }, icon(name));
}

function line(name, size) {
  const row = {
    mark: make("span", { class: "mark" }),
    does: make("span", { class: "does" }),
    say: make("span", { class: "say" }),
    bar: make("progress", { max: 1, value: 0, "aria-label": name }),
  };
  row.element = make("li", { class: "upload" }, row.mark, make("span", { class: "name", title: name }, name), row.does, row.say, row.bar);
  row.size = size;
  return row;
}

function words(sending) {
  const [sent, total] = [bytes(sending.sent), bytes(sending.size)];
  switch (sending.state) {
    case "waiting":
      return say("uploads.waiting", { total });
    case "paused":
      return say("uploads.paused", { percent: percent(sending.sent / sending.size), total });
    case "offline":
      return say("uploads.offline", { percent: percent(sending.sent / sending.size) });
    case "done":
      return say(sending.isPlaying ? "uploads.plays" : "uploads.done", { total });
    case "failed":
      return sending.reason;
    default:
      if (sending.hiccup) return say("uploads.retrying", { percent: percent(sending.sent / sending.size) });
      if (!sending.samples.length) return say("uploads.starting");
      if (sending.left === null) return say("uploads.sending.first", { sent, total });
      return say("uploads.sending", { sent, total, speed: `${bytes(sending.speed)}/s`, left: roughly(sending.left) });
  }
}

/** The line of a `sending`; `show()` brings it to what that is now. */
export function sendingRow(sending, { onRemove }) {
  const row = line(sending.name, sending.size);
  let shown = null;
  row.show = () => {
    row.bar.value = sending.size ? sending.sent / sending.size : 0;
    const said = words(sending);
    if (row.say.textContent !== said) row.say.textContent = said;
    const now = `${sending.state} ${sending.videoId}`;
    if (now === shown) return;
    shown = now;
    row.element.className = `upload ${sending.state}`;
    fill(row.mark, icon(MARKS[sending.state] ?? "up"));
    const runs = ["running", "waiting", "offline"].includes(sending.state);
    const stopped = sending.isRefused ? null : { paused: "uploads.resume", failed: "uploads.retry" }[sending.state];
    fill(
      row.does,
      runs && button("pause", say("uploads.pause"), () => sending.pause()),
      stopped && button(sending.state === "failed" ? "again" : "play", say(stopped), () => sending.resume()),
      sending.state === "done" && sending.videoId && make("a", { class: "button slim", href: `/videos/${sending.videoId}` }, say("uploads.open")),
      button("close", say(sending.state === "done" || sending.isRefused ? "uploads.dismiss" : "uploads.cancel"), onRemove),
    );
  };
  row.show();
  return row;
}

/** The line of an upload that an earlier visit left. */
export function earlierRow(earlier, { onChoose, onForget }) {
  const row = line(earlier.name, earlier.size);
  row.element.className = "upload earlier";
  row.bar.value = earlier.size ? earlier.sent / earlier.size : 0;
  row.say.textContent = say("uploads.earlier", { percent: percent(row.bar.value), total: bytes(earlier.size ?? 0) });
  fill(row.mark, icon("pause"));
  fill(
    row.does,
    make("button", { class: "button slim", type: "button", onclick: onChoose }, say("uploads.earlier.choose")),
    button("close", say("uploads.cancel"), onForget),
  );
  return row;
}

// Keys of the player, wherever on the page somebody presses them but in a field.
import { make } from "../core/dom.js";
import { say } from "../core/text.js";

const PLAIN = "input, textarea, select, [contenteditable], .menu, dialog";

/** What a key does: by `event.key`. */
function deeds(player) {
  const { element } = player;
  const jump = (by) => () => player.nudge(by);
  const louder = (by) => () => player.setVolume(element.volume + by);
  const keys = {
    " ": () => player.toggle(),
    k: () => player.toggle(),
    ArrowLeft: jump(-5),
    ArrowRight: jump(5),
    j: jump(-10),
    l: jump(10),
    ArrowUp: louder(0.05),
    ArrowDown: louder(-0.05),
    m: () => player.mute(),
    f: () => player.fullscreen(),
    i: () => player.inset(),
    c: () => player.toggleText(),
    "<": () => player.setRate(Math.max(0.25, element.playbackRate - 0.25)),
    ">": () => player.setRate(Math.min(3, element.playbackRate + 0.25)),
    ",": () => element.paused && player.seek(element.currentTime - 1 / 25),
    ".": () => element.paused && player.seek(element.currentTime + 1 / 25),
    Home: () => player.seek(0),
    End: () => player.seek(player.length()),
    "?": () => player.help(),
  };
  for (let n = 0; n <= 9; n += 1) keys[n] = () => player.seek((player.length() * n) / 10);
  return keys;
}

export function listenToKeys(player) {
  const keys = deeds(player);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !player.engine) return;
    if (event.target.closest(PLAIN)) return;
    const onButton = event.target.closest("button, a, summary, [role=slider]");
    if (onButton && [" ", "Enter"].includes(event.key)) return;
    // Arrows scroll the page, unless the player is what somebody is at.
    if (["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key) && !player.root.contains(event.target)) return;
    const deed = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
    player.wake();
  });
}

/** The table of keys. */
export function keyHelp(onClose) {
  const rows = [
    ["space k", "keys.play"], ["← →", "keys.five"], ["j l", "keys.ten"], ["0 … 9", "keys.tenth"], ["↑ ↓", "keys.volume"],
    ["m", "keys.mute"], ["f", "keys.full"], ["i", "keys.inset"], ["c", "keys.text"], ["< >", "keys.speed"], [", .", "keys.frame"],
  ];
  const cells = rows.flatMap(([keys, words]) => [
    make("dt", {}, ...keys.split(" ").map((key) => make("kbd", {}, key))),
    make("dd", {}, say(words)),
  ]);
  return make("div", { class: "helps", onclick: onClose }, make("dl", {}, ...cells));
}

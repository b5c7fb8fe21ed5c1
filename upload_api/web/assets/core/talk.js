// Short things said to people: toasts, questions, copied links.
import { fill, make } from "./dom.js";
import { icon } from "./icons.js";
import { say } from "./text.js";

const SHOWN_MS = 4200;

function tray() {
  const known = document.querySelector(".toasts");
  if (known) return known;
  const made = make("div", { class: "toasts", role: "status", "aria-live": "polite" });
  document.body.append(made);
  return made;
}

export function toast(sentence, { bad = false } = {}) {
  const shown = make("div", { class: bad ? "toast bad" : "toast" }, sentence);
  tray().append(shown);
  setTimeout(() => shown.remove(), bad ? SHOWN_MS * 2 : SHOWN_MS);
}

/** Run `act`; its problem, if it has one, is said. Whether it went well. */
export async function trying(act) {
  try {
    await act();
    return true;
  } catch (problem) {
    toast(problem.message, { bad: true });
    return false;
  }
}

/** Ask before something that cannot be taken back. */
export function sure(question, does) {
  return new Promise((answer) => {
    const dialog = make(
      "dialog",
      { "aria-label": question },
      make(
        "form",
        { method: "dialog" },
        make("p", {}, question),
        make(
          "div",
          { class: "ends" },
          make("button", { class: "button", value: "" }, say("ask.keep")),
          make("button", { class: "button danger", value: "yes" }, does),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Copy `text`; without a clipboard (no HTTPS) the old way. Whether it went well. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", { value: text, class: "out-of-sight", readOnly: true });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** A button that copies what `value()` is then. */
export function copyButton(words, value, { kind = "button" } = {}) {
  const button = make("button", { class: kind, type: "button" });
  const rest = () => fill(button, icon("copy"), make("span", {}, words));
  button.addEventListener("click", async () => {
    const done = await copy(value());
    fill(button, icon(done ? "check" : "note"), make("span", {}, say(done ? "copy.done" : "copy.failed")));
    setTimeout(rest, 1600);
  });
  rest();
  return button;
}

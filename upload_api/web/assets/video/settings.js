// What an owner changes: the title, who may see it, who may embed it, chapters, captions.
import { api } from "../core/api.js";
import { $, fill, make } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { sure, toast, trying } from "../core/talk.js";
import { clock, language, lasting, say } from "../core/text.js";

/** The heading that becomes a field when it is clicked. `current()` is the video, `onChange(video)` what became of it. */
export function titleEditor(current, onChange) {
  const [place, heading, button] = [$("title-place"), $("title"), $("title-edit")];
  fill(button, icon("edit"));
  const edit = () => {
    const field = make("input", { class: "field", value: current().title, maxLength: 200, required: true, "aria-label": say("rename.label") });
    const end = (focus) => {
      form.remove();
      heading.hidden = button.hidden = false;
      if (focus) button.focus();
    };
    const form = make(
      "form",
      {
        onsubmit: async (event) => {
          event.preventDefault();
          if (await trying(async () => onChange(await api.change(current().id, { title: field.value })))) end(true);
        },
        onkeydown: (event) => {
          event.stopPropagation();
          if (event.key === "Escape") end(true);
        },
      },
      field,
      make("button", { class: "button primary", type: "submit" }, say("rename.save")),
      make("button", { class: "button plain", type: "button", onclick: () => end(true) }, say("rename.keep")),
    );
    heading.hidden = button.hidden = true;
    place.prepend(form);
    field.select();
  };
  button.addEventListener("click", edit);
}

export function visibilityChoice(current, onChange) {
  const root = $("visibility");
  let asking = 0; // what is being changed shows what was chosen, whatever else is told of the video meanwhile
  const radios = ["public", "unlisted", "signed"].map((value) => {
    const input = make("input", {
      type: "radio", name: "visibility", value,
      onchange: async () => {
        asking += 1;
        const done = await trying(async () => onChange(await api.change(current().id, { visibility: value })));
        asking -= 1;
        show();
        if (done) toast(say("visibility.done"));
      },
    });
    return make("label", { class: "choice" }, input, make("span", {}, say(`visibility.${value}`)), make("span", {}, say(`visibility.${value}.words`)));
  });
  fill(root, ...radios);
  const show = () => {
    if (asking) return;
    for (const input of root.querySelectorAll("input")) input.checked = input.value === current().visibility;
  };
  return show;
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

export function embedding(current, onChange) {
  const [form, field] = [$("embedding"), $("embed-origins")];
  const some = () => form.elements.embedding.value === "some";
  form.addEventListener("change", () => ($("embed-some").hidden = !some()));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const kind = form.elements.embedding.value;
    const embed_origins = kind === "any" ? null : kind === "none" ? [] : lines(field.value);
    if (await trying(async () => onChange(await api.change(current().id, { embed_origins })))) toast(say("embedding.done"));
  });
  let known;
  return () => {
    const origins = current().embed_origins ?? null;
    if (JSON.stringify(origins) === known) return;
    known = JSON.stringify(origins);
    form.elements.embedding.value = origins === null ? "any" : origins.length ? "some" : "none";
    field.value = (origins ?? []).join("\n");
    $("embed-some").hidden = !some();
  };
}

/** «1:30 The rapids», a line each, in a film of `length` seconds. */
function parseChapters(text, length) {
  return lines(text).map((line) => {
    const match = /^(?:(\d+):)?(\d{1,3}):(\d{2})(?:\.(\d+))?\s+(.+)$/.exec(line);
    if (!match) throw new Error(say("chapters.wrong", { line }));
    const [, h, m, s, part, title] = match;
    const start = Number(h ?? 0) * 3600 + Number(m) * 60 + Number(s) + Number(`0.${part ?? 0}`);
    if (length && start >= length) throw new Error(say("chapters.late", { line, end: lasting(length) }));
    return { start_seconds: start, title };
  });
}

export function chapters(current, onChange, position) {
  const [form, field] = [$("chapters"), $("chapters-field")];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await trying(async () => onChange(await api.change(current().id, { chapters: parseChapters(field.value, current().duration_seconds) })))) toast(say("chapters.done"));
  });
  $("chapter-here").addEventListener("click", () => {
    const before = field.value.trim();
    field.value = `${before}${before ? "\n" : ""}${clock(position())} `;
    field.focus();
  });
  let known;
  return () => {
    const said = (current().chapters ?? []).map((chapter) => `${clock(chapter.start_seconds)} ${chapter.title}`).join("\n");
    if (said === known) return;
    known = said;
    field.value = said;
  };
}

export function captions(current, onAgain) {
  const [form, input] = [$("captions"), $("captions-file")];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = input.files;
    const track = $("captions-language").value.trim().toLowerCase();
    if (!file || !track) return;
    if (await trying(async () => api.subtitles(current().id, track, new Blob([await file.text()], { type: file.name.endsWith(".srt") ? "application/x-subrip" : "text/vtt" })))) {
      toast(say("captions.done", { language: language(track) || track }));
      form.reset();
      onAgain();
    }
  });
  return (tracks) => {
    const row = (track) =>
      make(
        "li",
        {},
        icon("words"),
        make("span", {}, language(track.language) || track.label || track.track),
        make("span", { class: "quiet small" }, track.uploaded ? track.track : say("captions.inside", { track: track.track })),
        make(
          "button",
          {
            class: "button round slim plain", type: "button", title: say("captions.drop"), "aria-label": `${say("captions.drop")}: ${track.track}`,
            onclick: async () => {
              if (!(await sure(say("captions.drop.ask", { language: language(track.language) || track.track }), say("captions.drop")))) return;
              if (await trying(() => api.dropSubtitles(current().id, track.track))) onAgain();
            },
          },
          icon("bin"),
        ),
      );
    fill($("captions-list"), ...(tracks ?? []).map(row));
  };
}

// Where files come from: a picker, a folder, a drop anywhere on the page, a pasted file or link.
import { $ } from "../core/dom.js";
import { toast, trying } from "../core/talk.js";
import { api } from "../core/api.js";
import { bytes, count, say } from "../core/text.js";

const LIKE_VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|wmv|flv|mts|m2ts|ts|mxf|mpg|mpeg|3gp|ogv|vob|dv|y4m|m4a|mp3|wav|flac|aac|ogg|opus)$/i;

/** Of a folder only what may be video or sound: it holds much else. */
const fromFolder = (files) => files.filter((file) => /^(video|audio)\//.test(file.type) || LIKE_VIDEO.test(file.name));

/** Everything below a dropped entry, as files. */
async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  // It tells a hundred at a time, and nothing when it is through.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    for (const each of some) found.push(...(await filesBelow(each)));
  }
  return found;
}

async function dropped(transfer) {
  // Entries have to be asked for before the event is over.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return { files: [...transfer.files], folder: false };
  const files = (await Promise.all(entries.map(filesBelow))).flat();
  return { files, folder: true };
}

let largest = Infinity;
const touch = matchMedia("(pointer: coarse)");

/** The server says in its first answer how much it takes: what is larger is refused before a byte is sent. */
async function learnLimit() {
  const reply = await fetch("/files", { method: "OPTIONS" }).catch(() => null);
  largest = Number(reply?.headers.get("Tus-Max-Size")) || Infinity;
}

export function bringing(queue, { onImport }) {
  const take = (files, { folder = false } = {}) => {
    const wanted = folder ? fromFolder(files) : files;
    if (folder && wanted.length < files.length) toast(count("refused.others", files.length - wanted.length));
    queue.add(wanted, (file) => file.size > largest && say("refused.large", { limit: bytes(largest) }));
  };
  pickers(take);
  drops(take);
  links(onImport);
  learnLimit();
}

function pickers(take) {
  for (const [button, input, folder] of [
    ["choose", "files", false],
    ["choose-folder", "folder", true],
  ]) {
    $(button).addEventListener("click", () => $(input).click());
    $(input).addEventListener("change", () => {
      take([...$(input).files], { folder });
      $(input).value = "";
    });
  }
  // A phone has no folders to choose.
  if (!("webkitdirectory" in $("folder")) || touch.matches) $("choose-folder").hidden = true;
  if (touch.matches) $("drop-title").textContent = say("home.drop.touch");
}

function drops(take) {
  let inside = 0;
  const over = (is) => {
    document.body.classList.toggle("over", is);
    $("drop-title").textContent = say(is ? "home.drop.over" : touch.matches ? "home.drop.touch" : "home.drop");
  };
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    inside += 1;
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside = Math.max(0, inside - 1);
    if (!inside) over(false);
  });
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    over(false);
    await trying(async () => {
      const { files, folder } = await dropped(event.dataTransfer);
      take(files, { folder });
    });
  });
  document.addEventListener("paste", (event) => {
    if (event.target.closest("input, textarea")) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
    const text = event.clipboardData?.getData("text/plain").trim() ?? "";
    if (/^https?:\/\/\S+$/.test(text)) askForLink(text);
  });
}

function askForLink(address) {
  $("link-form").hidden = false;
  $("choose-link").setAttribute("aria-expanded", "true");
  $("link-field").value = address;
  $("link-field").focus();
}

function links(onImport) {
  $("choose-link").addEventListener("click", () => {
    if ($("link-form").hidden) askForLink("");
    else $("link-form").hidden = true;
    $("choose-link").setAttribute("aria-expanded", String(!$("link-form").hidden));
  });
  $("link-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const address = $("link-field").value.trim();
    $("link-send").disabled = true;
    const done = await trying(async () => {
      await api.fetch(address);
      toast(say("link.begun"));
      onImport();
    });
    $("link-send").disabled = false;
    if (done) {
      $("link-field").value = "";
      $("link-form").hidden = true;
      $("choose-link").setAttribute("aria-expanded", "false");
    }
  });
}

// A poster chosen from the film's own frames: sprites to choose by, then the frame itself in its full size.
import { api } from "../core/api.js";
import { $, fill, make } from "../core/dom.js";
import { toast, trying } from "../core/talk.js";
import { clock, say } from "../core/text.js";
import { HlsEngine, ready } from "../player/engines/hls.js";
import { readStoryboard, spriteOn } from "../player/storyboard.js";

const SHOWN = 24;
const WAIT_MS = 20000;
const LOOK_MS = 50;

const once = (target, event) =>
  new Promise((resolve, reject) => {
    target.addEventListener(event, resolve, { once: true });
    setTimeout(() => reject(new Error(say("poster.late"))), WAIT_MS);
  });

/** What `film` shows now. A browser that is busy says that the data is there before the picture is: then nothing is drawn,
 *  which a JPEG would keep as black. */
async function painted(film) {
  const [width, height] = [film.videoWidth, film.videoHeight];
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (const last = performance.now() + WAIT_MS; performance.now() < last; ) {
    context.drawImage(film, 0, 0);
    if (context.getImageData(width >> 1, height >> 1, 1, 1).data[3] > 0) return canvas;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(say("poster.late"));
}

/** The frame at `seconds` in the largest rendition, as a JPEG. */
async function takeFrame(video, seconds) {
  if (!(await ready())) throw new Error(say("poster.unsupported"));
  const film = make("video", { muted: true, playsInline: true, crossOrigin: "anonymous" });
  let problem = null;
  const engine = new HlsEngine(film, { onTracks: () => {}, onTrouble: (kind) => (problem = kind) });
  try {
    engine.load(video.hls_url, { position: seconds, quality: "top" });
    await once(film, "loadeddata");
    if (Math.abs(film.currentTime - seconds) > 0.05) {
      film.currentTime = seconds;
      await once(film, "seeked");
    }
    const canvas = await painted(film);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.88));
  } catch (error) {
    throw problem ? new Error(say(`trouble.${problem}`)) : error;
  } finally {
    engine.destroy();
  }
}

/** Whether there are no frames to choose from, and never will be. */
const isSound = ({ state, renditions }) => state === "ready" && renditions.every((each) => each.kind !== "video");

export function posterChoice(current, onChange, position) {
  const dialog = $("poster-dialog");
  let picture = null;

  const take = async (seconds, button = null) => {
    for (const frame of dialog.querySelectorAll(".frame")) frame.setAttribute("aria-pressed", String(frame === button));
    $("poster-save").disabled = true;
    $("poster-words").textContent = say("poster.taking", { at: clock(seconds) });
    await trying(async () => {
      picture = await takeFrame(current(), seconds);
      $("poster-preview").src = URL.createObjectURL(picture);
      $("poster-preview").hidden = false;
      $("poster-words").textContent = say("poster.taken", { at: clock(seconds) });
      $("poster-save").disabled = false;
    });
  };

  const open = async () => {
    picture = null;
    $("poster-save").disabled = true;
    $("poster-preview").hidden = true;
    const video = current();
    $("poster-words").textContent = say(isSound(video) ? "poster.hint.sound" : "poster.hint");
    $("poster-here").hidden = isSound(video);
    dialog.showModal();
    if (!video.storyboard_url) return;
    const { cues } = await readStoryboard(video.storyboard_url).catch(() => ({ cues: [] }));
    const step = Math.max(1, Math.floor(cues.length / SHOWN));
    const frames = cues.filter((_, n) => n % step === 0).map((cue) => {
      const at = Math.min((cue.start + cue.end) / 2, video.duration_seconds - 0.1);
      const frame = make("button", { class: "frame", type: "button", "aria-pressed": "false", "aria-label": say("poster.frame", { at: clock(at) }) }, make("span", {}, clock(at)));
      frame.addEventListener("click", () => take(at, frame));
      return [frame, cue];
    });
    fill($("poster-frames"), ...frames.map(([frame]) => frame));
    for (const [frame, cue] of frames) spriteOn(frame, cue, { width: frame.clientWidth, height: frame.clientHeight, fit: "cover" });
  };

  $("poster-choose").addEventListener("click", open);
  $("poster-here").addEventListener("click", () => take(position()));
  $("poster-file").addEventListener("change", async () => {
    const [file] = $("poster-file").files;
    if (!file) return;
    picture = file;
    $("poster-preview").src = URL.createObjectURL(file);
    $("poster-preview").hidden = false;
    $("poster-save").disabled = false;
  });
  $("poster-save").addEventListener("click", async () => {
    if (await trying(async () => onChange(await api.poster(current().id, new Blob([picture], { type: "image/jpeg" }))))) {
      dialog.close();
      toast(say("poster.done"));
    }
  });
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());

  return () => {
    const { poster_url: url, updated_at: at } = current();
    const sound = isSound(current());
    $("poster-now").hidden = !url;
    $("poster-choose").disabled = !url && !sound;
    $("poster-choose").lastChild.textContent = $("poster-title").textContent = say(sound ? "poster.choose.sound" : "poster.choose");
    const source = url && `${url}?at=${Date.parse(at)}`;
    if (source && $("poster-now").dataset.of !== url + (current().state === "ready" ? at : "")) {
      $("poster-now").dataset.of = url + (current().state === "ready" ? at : "");
      $("poster-now").src = source;
    }
  };
}

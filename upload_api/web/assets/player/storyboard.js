// Sprites for scrubbing: a WebVTT file whose cues name a part of a picture each.

const CUE = /^(?:(\d+):)?(\d+):(\d+)\.(\d+) --> (?:(\d+):)?(\d+):(\d+)\.(\d+)/;
const PART = /#xywh=(\d+),(\d+),(\d+),(\d+)$/;

const seconds = (h, m, s, ms) => Number(h ?? 0) * 3600 + Number(m) * 60 + Number(s) + Number(`0.${ms}`);

/** Cues of the text of a storyboard: `{start, end, url, x, y, width, height}`, in order. */
export function parseStoryboard(text, base) {
  const cues = [];
  const lines = text.split(/\r?\n/);
  lines.forEach((line, index) => {
    const time = CUE.exec(line);
    const part = time && PART.exec(lines[index + 1] ?? "");
    if (!part) return;
    const [x, y, width, height] = part.slice(1).map(Number);
    const url = new URL(lines[index + 1].replace(PART, ""), base).href;
    cues.push({ start: seconds(...time.slice(1, 5)), end: seconds(...time.slice(5, 9)), url, x, y, width, height });
  });
  return cues;
}

/** The storyboard at `url`; `at(seconds)` is the cue of a moment, if there is one. */
export async function readStoryboard(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`${reply.status}`);
  const cues = parseStoryboard(await reply.text(), url);
  const at = (time) => {
    let [low, high] = [0, cues.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (cues[middle].start <= time) low = middle;
      else high = middle - 1;
    }
    return cues[low];
  };
  return { cues, at };
}

const sheets = new Map();

/** Size of the whole picture that sprites are cut from, once it is there. */
function sheet(url) {
  if (!sheets.has(url)) {
    const picture = new Image();
    picture.src = url;
    sheets.set(url, picture.decode().then(() => [picture.naturalWidth, picture.naturalHeight]));
  }
  return sheets.get(url);
}

/** Show the sprite `tile` as the background of `element`, in a box of `width` × `height`. */
export async function spriteOn(element, tile, { width, height, fit = "contain" }) {
  element.dataset.tile = `${tile.url} ${tile.x} ${tile.y}`;
  const key = element.dataset.tile;
  const [sheetWidth, sheetHeight] = await sheet(tile.url).catch(() => [0, 0]);
  if (!sheetWidth || element.dataset.tile !== key) return;
  const pick = fit === "cover" ? Math.max : Math.min;
  const scale = pick(width / tile.width, height / tile.height);
  const [left, top] = [(width - tile.width * scale) / 2, (height - tile.height * scale) / 2];
  element.style.backgroundImage = `url("${tile.url}")`;
  element.style.backgroundSize = `${sheetWidth * scale}px ${sheetHeight * scale}px`;
  element.style.backgroundPosition = `${left - tile.x * scale}px ${top - tile.y * scale}px`;
}

// Where somebody stopped watching, and how loud they like it: on this device only.

const KEY = "fishladder.watched";
const MOST = 200;
const BEGINNING_S = 8;
const END = { seconds: 15, share: 0.1 }; // whichever is less

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // No storage, or none for us: then nothing is remembered.
  }
}

/** Seconds to go on at, if the film was neither just begun nor nearly over. */
export function rememberedPosition(id) {
  return read(KEY, {})[id]?.at ?? null;
}

export function rememberPosition(id, at, duration) {
  const all = read(KEY, {});
  const end = Math.min(END.seconds, duration * END.share);
  if (at < BEGINNING_S || at > duration - end) delete all[id];
  else all[id] = { at: Math.round(at), on: Date.now() };
  const latest = Object.entries(all).sort(([, a], [, b]) => b.on - a.on).slice(0, MOST);
  write(KEY, Object.fromEntries(latest));
}

/** What a viewer likes: volume, muted, rate, engine, subtitles. */
export const likes = () => read("fishladder.likes", {});
export const like = (change) => write("fishladder.likes", { ...likes(), ...change });

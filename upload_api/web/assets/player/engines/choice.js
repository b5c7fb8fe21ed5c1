// Which engine plays: hls.js first, dash.js by choice or where HLS is not to be had, the browser's own HLS where there is
// no Media Source at all. Each is fetched when it is first needed.
import * as dash from "./dash.js";
import * as hls from "./hls.js";
import * as native from "./native.js";

const ENGINES = {
  hls: { module: hls, make: (...how) => new hls.HlsEngine(...how), url: (video) => video.hls_url },
  dash: { module: dash, make: (...how) => new dash.DashEngine(...how), url: (video) => video.dash_url },
  native: { module: native, make: (...how) => new native.NativeEngine(...how), url: (video) => video.hls_url },
};

/**
 * The first engine that can, `wished` before all others: `{engine, url}`. Without any: `{problem}`, `missing` if a library is
 * not installed and `unsupported` if this browser cannot.
 */
export async function chooseEngine(video, wished, element, callbacks) {
  const order = [...new Set([wished in ENGINES ? wished : "hls", "hls", "dash", "native"])];
  let problem = "unsupported";
  for (const key of order) {
    const kind = ENGINES[key];
    const url = kind.url(video);
    if (!url) continue;
    try {
      if (await kind.module.ready()) return { engine: kind.make(element, callbacks), url };
    } catch {
      problem = "missing";
    }
  }
  return { problem };
}

/** Fetch what will play already, while there is nothing to play yet. Whether it came is told by `chooseEngine`. */
export const fetchAhead = (wished) => void Promise.resolve().then(() => (ENGINES[wished] ?? ENGINES.hls).module.ready()).catch(() => {});

/** Where the engine of that name finds `video` now. */
export const urlFor = (name, video) => ENGINES[name].url(video);

/** What a viewer may choose between. */
export const choosable = (video) => ["hls", "dash"].filter((key) => ENGINES[key].url(video));

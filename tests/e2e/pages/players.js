// One small face over four players, so that every test asks the same questions of each.
// A player is {load(url), levels(), choose(index), level(), stop()}; rungs are ordered by height, lowest first.

const video = document.getElementById("video");
const seen = { errors: [], firstFrameMs: null, waiting: 0, waits: [], stalls: 0, stalledMs: 0, stalledSince: null, startedAt: 0 };

video.addEventListener("error", () => seen.errors.push(`media element: ${video.error && video.error.message}`));
video.addEventListener("waiting", () => {
  seen.waiting += 1;
  seen.waits.push(video.currentTime);
});

// A player may stand still without the element's knowing why: what counts is that time should pass and does not.
const STANDS_AFTER_MS = 250;
let moved = { at: 0, time: 0 };
setInterval(() => {
  const now = performance.now();
  if (video.currentTime !== moved.time || video.paused || video.ended || seen.firstFrameMs === null) {
    if (seen.stalledSince !== null) seen.stalledMs += now - seen.stalledSince;
    seen.stalledSince = null;
    moved = { at: now, time: video.currentTime };
  } else if (seen.stalledSince === null && now - moved.at > STANDS_AFTER_MS) {
    seen.stalledSince = moved.at;
    seen.stalls += 1;
  }
}, 20);

const byHeight = (a, b) => a.height - b.height;

// With a name for its session a player reports how playback goes, by CMCD in the query; with an address for events it does
// so in version 2, as things happen.
const session = new URLSearchParams(location.search).get("session");
const events = new URLSearchParams(location.search).get("events");
const version = events ? 2 : 1;
const keys = ["v", "sid", "cid", "e", "ts", "sn", "sta", "msd", "bsd", "pt", "ec"];
const eventTargets = events
  ? [{ enabled: true, version: 2, useHeaders: false, url: events, events: ["ps", "e", "t"], interval: 1,
    includeKeys: keys, enabledKeys: keys }]
  : [];

function hlsPlayer() {
  const cmcd = session ? { cmcd: { sessionId: session, contentId: "film", useHeaders: false, version, eventTargets } } : {};
  const hls = new Hls({ startPosition: -1, capLevelToPlayerSize: false, ...cmcd });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal || data.details !== "bufferStalledError") seen.errors.push(`hls.js: ${data.details} fatal=${data.fatal}`);
  });
  const order = () => hls.levels.map((level, index) => ({ index, height: level.height })).sort(byHeight);
  return {
    load: (url) => new Promise((resolve) => {
      hls.on(Hls.Events.MANIFEST_PARSED, () => resolve());
      hls.loadSource(url);
      hls.attachMedia(video);
    }),
    levels: () => order().map((level) => level.height),
    choose: (position) => { hls.currentLevel = order()[position].index; },
    level: () => order().findIndex((level) => level.index === hls.currentLevel),
    showText: (language) => {
      hls.subtitleDisplay = true;
      hls.subtitleTrack = hls.subtitleTracks.findIndex((track) => track.lang === language);
    },
    stop: () => hls.destroy(),
  };
}

// shaka-player's usual build renames the key that says its state, so the page says it.
function tellStates(player) {
  const tell = (state) => fetch(events, {
    method: "POST", keepalive: true, body: `v=2,e=ps,sid="${session}",sta=${state},ts=${Date.now()}` });
  player.addEventListener("buffering", (event) => tell(event.buffering ? "r" : "p"));
}

function shakaPlayer(lowest) {
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  if (session && events && build === "compiled") tellStates(player);
  if (session) player.configure({ cmcd: { enabled: true, sessionId: session, contentId: "film", useHeaders: false, version, eventTargets } });
  player.addEventListener("error", (event) => seen.errors.push(`shaka-player: ${event.detail.code} ${event.detail.message || ""}`));
  const order = () => player.getVariantTracks().slice().sort(byHeight);
  return {
    load: async (url) => {
      // A switch after loading would decode the first frames of another rung too.
      if (lowest) player.configure({ abr: { enabled: false, defaultBandwidthEstimate: 1 } });
      await player.attach(video);
      await player.load(url);
    },
    levels: () => order().map((track) => track.height),
    choose: (position) => {
      player.configure({ abr: { enabled: false } });
      player.selectVariantTrack(order()[position], /* clearBuffer= */ true);
    },
    level: () => order().findIndex((track) => track.active),
    thumbnail: async (seconds) => {
      const [track] = player.getImageTracks();
      const found = track && await player.getThumbnails(track.id, seconds);
      return found && { url: found.uris[0], x: found.positionX, y: found.positionY, width: found.width, height: found.height };
    },
    showText: (language) => player.selectTextTrack(player.getTextTracks().find((track) => track.language === language)),
    stop: () => player.destroy(),
  };
}

function dashPlayer(lowest) {
  const player = dashjs.MediaPlayer().create();
  if (session) player.updateSettings({ streaming: { cmcd: { enabled: true, sid: session, cid: "film", mode: "query", version, eventTargets } } });
  player.on(dashjs.MediaPlayer.events.ERROR, (event) => seen.errors.push(`dash.js: ${event.error && event.error.message}`));
  const order = () => player.getRepresentationsByType("video").slice().sort(byHeight);
  return {
    load: (url) => new Promise((resolve) => {
      player.on(dashjs.MediaPlayer.events.STREAM_INITIALIZED, () => resolve());
      player.updateSettings({ streaming: { cacheInitSegments: true } });
      if (lowest) player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false }, initialBitrate: { video: 1 } } } });
      player.initialize(video, url, false);
    }),
    levels: () => order().map((representation) => representation.height),
    choose: (position) => {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } }, buffer: { fastSwitchEnabled: true } } });
      player.setRepresentationForTypeById("video", order()[position].id, true);
    },
    level: () => {
      const current = player.getCurrentRepresentationForType("video");
      return order().findIndex((representation) => current && representation.id === current.id);
    },
    thumbnail: (seconds) => new Promise((resolve) => player.provideThumbnail(seconds, (found) => resolve(
      found && { url: found.url, x: found.x, y: found.y, width: found.width, height: found.height }))),
    stop: () => player.destroy(),
  };
}

function nativePlayer() {
  return {
    load: async (url) => { video.src = url; },
    levels: () => [], choose: () => {}, level: () => -1,
    stop: () => { video.removeAttribute("src"); video.load(); },
  };
}

const makers = { "hls.js": hlsPlayer, "shaka-player": shakaPlayer, "dash.js": dashPlayer, native: nativePlayer };
let player = null;

window.ladder = {
  /** Load `url` with the player of that name; the rung at position `level` (lowest 0) from the first byte on, if given. */
  async load(kind, url, level = null) {
    seen.startedAt = performance.now();
    video.requestVideoFrameCallback(() => { seen.firstFrameMs = performance.now() - seen.startedAt; });
    player = makers[kind](level === 0);
    await player.load(url);
    if (level !== null && player.level() !== level) player.choose(level);
  },
  play: (rate = 1) => { video.playbackRate = rate; return video.play(); },
  pause: () => video.pause(),
  seek: (seconds) => { video.currentTime = seconds; },
  choose: (level) => player.choose(level),
  levels: () => player.levels(),
  thumbnail: (seconds) => player.thumbnail(seconds),
  /** Show the subtitles in a language, and what of them is to be read right now. */
  showText: (language) => player.showText(language),
  text: () => [...video.textTracks].flatMap((track) => [...(track.activeCues || [])].map((cue) => cue.text)),
  stop: () => player.stop(),
  report() {
    const quality = video.getVideoPlaybackQuality();
    const buffered = [];
    for (let i = 0; i < video.buffered.length; i += 1) buffered.push([video.buffered.start(i), video.buffered.end(i)]);
    return {
      ...seen, buffered, level: player.level(), time: video.currentTime, ended: video.ended, paused: video.paused,
      duration: video.duration, width: video.videoWidth, height: video.videoHeight, seeking: video.seeking,
      readyState: video.readyState, frames: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
    };
  },
};

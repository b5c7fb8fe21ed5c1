// HLS over Media Source Extensions, or over ManagedMediaSource where a phone has only that: hls.js.

const LAST_S = 8; // two segments: the one that plays, and the one that is kept because it comes next

let Hls = null;

export const name = "hls";

/** Whether this browser can; the library is fetched for that. Rejects if it is not installed on the server. */
export async function ready() {
  ({ default: Hls } = await import("../../lib/hls.mjs"));
  return Hls.isSupported();
}

const levelName = (level) => `${Math.min(level.height, level.width) || level.height || ""}p`;

export class HlsEngine {
  constructor(element, { onTracks, onTrouble }) {
    this.element = element;
    this.onTracks = onTracks;
    this.onTrouble = onTrouble;
    this.name = name;
  }

  load(url, { position = -1, cmcd = null, quality = "auto", height = null } = {}) {
    this.destroy();
    const hls = new Hls({
      workerPath: "/assets/lib/hls.worker.js",
      startPosition: position,
      capLevelToPlayerSize: quality === "auto",
      backBufferLength: 60,
      // A playlist that grows is a film that is being made, not a live one: nobody is to be dragged to its end.
      liveSyncMode: "buffered",
      maxLiveSyncPlaybackRate: 1,
      ...(quality === "top" ? { startLevel: 99, abrEwmaDefaultEstimate: 1e9 } : {}),
      ...(cmcd ? { cmcd: { sessionId: cmcd.session, contentId: cmcd.content, useHeaders: false } } : {}),
    });
    this.hls = hls;
    this.recovered = 0;
    this.wished = height; // and whatever is wished for before the playlist is here
    const { Events } = Hls;
    hls.on(Events.MANIFEST_PARSED, () => this.wished && this.chooseHeight(this.wished));
    if (quality === "top") hls.on(Events.MANIFEST_PARSED, () => (hls.currentLevel = this.topLevel()));
    for (const event of [
      Events.MANIFEST_PARSED, Events.LEVEL_SWITCHED, Events.LEVELS_UPDATED, Events.AUDIO_TRACKS_UPDATED,
      Events.AUDIO_TRACK_SWITCHED, Events.SUBTITLE_TRACKS_UPDATED, Events.SUBTITLE_TRACK_SWITCH,
    ]) hls.on(event, () => this.onTracks());
    hls.on(Events.ERROR, (_event, data) => data.fatal && this.broke(data));
    hls.loadSource(url);
    hls.attachMedia(this.element);
  }

  broke(data) {
    const status = data.response?.code ?? 0;
    if (data.frag?.type === "subtitle" || /subtitle/i.test(data.details)) {
      // A film without its subtitles is better than none.
      this.chooseText(null);
      this.onTrouble("text", data.details);
      return;
    }
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
      const kind = { 401: "forbidden", 403: "forbidden", 404: "gone", 410: "gone" }[status] ?? "network";
      this.onTrouble(kind, data.details);
    } else if (data.type === Hls.ErrorTypes.MEDIA_ERROR && this.recovered < 2) {
      this.recovered += 1;
      this.hls.recoverMediaError();
    } else if (data.details === "manifestIncompatibleCodecsError") {
      this.onTrouble("codec", data.details);
    } else {
      this.onTrouble("media", data.details);
    }
  }

  /** After a break of the network. */
  again() {
    if (!this.hls.levels.length) return false;
    this.hls.startLoad();
    return true;
  }

  /** How many renditions of the picture the playlist that was loaded has; null before it is there. */
  levelCount() {
    return this.hls?.levels.length || null;
  }

  topLevel() {
    const heights = this.hls.levels.map((level) => level.height ?? 0);
    return heights.indexOf(Math.max(...heights));
  }

  qualities() {
    if (!this.hls) return { all: [], chosen: "auto", playing: null };
    const { levels, autoLevelEnabled, manualLevel, currentLevel } = this.hls;
    // A rung comes once for every kind of sound: people choose pictures, so each is offered with the sound that plays.
    const group = this.hls.audioTracks[this.hls.audioTrack]?.groupId;
    const rungs = new Map();
    levels.forEach((level, id) => {
      if (!level.height) return;
      const suits = !group || level.audioGroups?.includes(group);
      if (!rungs.has(level.height) || (suits && !rungs.get(level.height).suits)) {
        rungs.set(level.height, { id, name: levelName(level), height: level.height, rate: level.bitrate, suits });
      }
    });
    const chosen = autoLevelEnabled ? "auto" : (rungs.get(levels[manualLevel]?.height)?.id ?? manualLevel);
    const playing = levels[currentLevel];
    return {
      all: [...rungs.values()].sort((a, b) => b.height - a.height),
      chosen,
      playing: playing?.height ? levelName(playing) : null,
    };
  }

  chooseHeight(height) {
    const rung = this.qualities().all.find((each) => each.height === height);
    if (rung) this.chooseQuality(rung.id);
  }

  /** Then all that is left is loaded, and hls.js would leave it as it is, for the next play too. */
  isNearlyOver() {
    const { readyState, duration, currentTime } = this.element;
    return readyState > 0 && duration - currentTime < LAST_S;
  }

  chooseQuality(id) {
    if (id !== "auto" && !this.hls.levels[id]) return;
    this.hls.config.capLevelToPlayerSize = id === "auto";
    if (id !== "auto" && this.isNearlyOver()) this.hls.currentLevel = id;
    else this.hls.nextLevel = id === "auto" ? -1 : id;
    this.onTracks();
  }

  audios() {
    if (!this.hls) return { all: [], chosen: -1 };
    const all = this.hls.audioTracks.map((track, id) => ({ id, name: track.name, language: track.lang }));
    return { all, chosen: this.hls.audioTrack };
  }

  chooseAudio(id) {
    this.hls.audioTrack = id;
  }

  texts() {
    if (!this.hls) return { all: [], chosen: null };
    const all = this.hls.subtitleTracks.map((track, id) => ({ id, name: track.name, language: track.lang }));
    return { all, chosen: this.hls.subtitleDisplay && this.hls.subtitleTrack >= 0 ? this.hls.subtitleTrack : null };
  }

  chooseText(id) {
    this.hls.subtitleDisplay = id !== null;
    this.hls.subtitleTrack = id ?? -1;
    this.onTracks();
  }

  bandwidth() {
    return this.hls?.bandwidthEstimate ?? 0;
  }

  destroy() {
    this.hls?.destroy();
    this.hls = null;
  }
}

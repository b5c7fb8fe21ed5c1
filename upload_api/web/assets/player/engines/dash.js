// DASH over Media Source Extensions: dash.js. It reads a growing MPD again by itself, and learns of renditions that come.

let dash = null;

export const name = "dash";

export async function ready() {
  if (!("MediaSource" in window || "ManagedMediaSource" in window)) return false;
  const library = await import("../../lib/dash.js");
  dash = library.MediaPlayer ?? library.default?.MediaPlayer ?? window.dashjs?.MediaPlayer;
  return Boolean(dash);
}

export class DashEngine {
  constructor(element, { onTracks, onTrouble }) {
    this.element = element;
    this.onTracks = onTracks;
    this.onTrouble = onTrouble;
    this.name = name;
  }

  load(url, { position = -1, cmcd = null, height = null } = {}) {
    this.destroy();
    const player = dash().create();
    this.player = player;
    this.auto = true;
    player.updateSettings({
      debug: { logLevel: 0 },
      streaming: {
        buffer: { fastSwitchEnabled: true },
        abr: { limitBitrateByPortal: true },
        text: { defaultEnabled: false },
        ...(cmcd ? { cmcd: { enabled: true, sid: cmcd.session, cid: cmcd.content, mode: "query" } } : {}),
      },
    });
    const { events } = dash;
    for (const event of [
      events.STREAM_INITIALIZED, events.QUALITY_CHANGE_RENDERED, events.TRACK_CHANGE_RENDERED, events.TEXT_TRACKS_ADDED,
      events.MANIFEST_LOADED,
    ]) player.on(event, () => this.onTracks());
    this.wished = height;
    player.on(events.STREAM_INITIALIZED, () => {
      const rung = this.wished && this.qualities().all.find((each) => each.height === this.wished);
      // Nothing is there yet that could be replaced, and what replaces it would meet the first segments on their way.
      if (rung) this.chooseQuality(rung.id, { replace: false });
    });
    player.on(events.ERROR, (event) => this.broke(event.error));
    player.initialize(this.element, url, false, position > 0 ? position : undefined);
  }

  broke(error) {
    const status = error?.data?.response?.status ?? 0;
    if ([401, 403].includes(status)) this.onTrouble("forbidden", error.message);
    else if (status === 404 || status === 410) this.onTrouble("gone", error.message);
    else if ([10, 25, 26, 27, 28, 29, 11, 12, 15].includes(error?.code)) this.onTrouble("network", error.message);
    else this.onTrouble("media", error?.message);
  }

  again() {
    return false;
  }

  qualities() {
    const all = (this.player?.getRepresentationsByType("video") ?? []).map((each) => ({
      id: each.id, name: `${Math.min(each.width, each.height)}p`, height: each.height, rate: each.bandwidth,
    }));
    const playing = this.player?.getCurrentRepresentationForType("video");
    return {
      all: all.sort((a, b) => b.height - a.height),
      chosen: this.auto ? "auto" : playing?.id,
      playing: playing?.height ? `${Math.min(playing.width, playing.height)}p` : null,
    };
  }

  chooseQuality(id, { replace = true } = {}) {
    this.auto = id === "auto";
    this.player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: this.auto } } } });
    if (!this.auto) this.player.setRepresentationForTypeById("video", id, replace);
    this.onTracks();
  }

  audios() {
    const tracks = this.player?.getTracksFor("audio") ?? [];
    const current = this.player?.getCurrentTrackFor("audio");
    const all = tracks.map((track, id) => ({ id, name: track.labels?.[0]?.text ?? "", language: track.lang }));
    return { all, chosen: tracks.findIndex((track) => track.index === current?.index) };
  }

  chooseAudio(id) {
    this.player.setCurrentTrack(this.player.getTracksFor("audio")[id]);
  }

  texts() {
    const tracks = this.player?.getTracksFor("text") ?? [];
    const all = tracks.map((track, id) => ({ id, name: track.labels?.[0]?.text ?? "", language: track.lang }));
    const chosen = this.player?.getCurrentTextTrackIndex() ?? -1;
    return { all, chosen: chosen >= 0 ? chosen : null };
  }

  chooseText(id) {
    this.player.enableText(id !== null);
    this.player.setTextTrack(id ?? -1);
    this.onTracks();
  }

  bandwidth() {
    return (this.player?.getAverageThroughput("video") ?? 0) * 1000;
  }

  destroy() {
    this.player?.destroy();
    this.player = null;
  }
}

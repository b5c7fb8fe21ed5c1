// The browser's own HLS: for Safari and phones without any Media Source. It chooses qualities by itself.

export const name = "native";

export async function ready() {
  return Boolean(document.createElement("video").canPlayType("application/vnd.apple.mpegurl"));
}

export class NativeEngine {
  constructor(element, { onTracks, onTrouble }) {
    this.element = element;
    this.onTracks = onTracks;
    this.onTrouble = onTrouble;
    this.name = name;
    this.told = () => this.onTracks();
    this.broke = () => {
      const code = element.error?.code;
      this.onTrouble({ 2: "network", 3: "media", 4: "codec" }[code] ?? "media", element.error?.message);
    };
  }

  load(url, { position = -1 } = {}) {
    this.destroy();
    this.element.src = position > 0 ? `${url}#t=${position}` : url;
    this.element.addEventListener("loadedmetadata", this.told);
    this.element.addEventListener("error", this.broke);
    this.element.textTracks.addEventListener("change", this.told);
  }

  again() {
    return false;
  }

  qualities() {
    return { all: [], chosen: "auto", playing: this.element.videoHeight ? `${this.element.videoHeight}p` : null };
  }

  chooseQuality() {}

  audios() {
    const all = [...(this.element.audioTracks ?? [])].map((track, id) => ({ id, name: track.label, language: track.language }));
    return { all, chosen: [...(this.element.audioTracks ?? [])].findIndex((track) => track.enabled) };
  }

  chooseAudio(id) {
    [...this.element.audioTracks].forEach((track, index) => (track.enabled = index === id));
  }

  texts() {
    const tracks = [...this.element.textTracks].filter((track) => ["subtitles", "captions"].includes(track.kind));
    const chosen = tracks.findIndex((track) => track.mode === "showing");
    return { all: tracks.map((track, id) => ({ id, name: track.label, language: track.language })), chosen: chosen < 0 ? null : chosen };
  }

  chooseText(id) {
    const tracks = [...this.element.textTracks].filter((track) => ["subtitles", "captions"].includes(track.kind));
    tracks.forEach((track, index) => (track.mode = index === id ? "showing" : "disabled"));
    this.onTracks();
  }

  bandwidth() {
    return 0;
  }

  destroy() {
    this.element.removeEventListener("loadedmetadata", this.told);
    this.element.removeEventListener("error", this.broke);
    this.element.removeAttribute("src");
  }
}

// How renditions, containers and tracks are called.
import { channels, codec, language, say } from "../core/text.js";

const STEREO = 2;

/** 720p; or the language of what is heard. */
export function shortName(rendition) {
  if (rendition.kind === "video") return `${Math.min(rendition.width, rendition.height)}p`;
  const spoken = language(rendition.language) || say("audio");
  return rendition.channels > STEREO ? `${spoken} ${channels(rendition.channels)}` : spoken;
}

export const videoTrack = (track) =>
  [codecName(track.codec), `${track.width} × ${track.height}`, say("fps", { n: track.frame_rate })].join(" · ");

export const audioTrack = (track) =>
  [codecName(track.codec), channels(track.channels), language(track.language)].filter(Boolean).join(" · ");

const NAMES = {
  h264: "H.264", hevc: "HEVC", av1: "AV1", vp9: "VP9", vp8: "VP8", mpeg2video: "MPEG-2", mpeg4: "MPEG-4", prores: "ProRes",
  dnxhd: "DNxHD", mjpeg: "Motion JPEG", aac: "AAC", mp3: "MP3", opus: "Opus", vorbis: "Vorbis", flac: "FLAC", ac3: "Dolby Digital",
  eac3: "Dolby Digital Plus", dts: "DTS", truehd: "TrueHD", alac: "ALAC", pcm_s16le: "PCM", pcm_s24le: "PCM",
};

/** Nothing for what has none that is known, as data beside the film. */
export const codecName = (name) => (name === "unknown" ? "" : NAMES[name] ?? codec(name).toUpperCase());

const CONTAINERS = { mov: "MP4 / QuickTime", matroska: "Matroska / WebM", mpegts: "MPEG-TS", avi: "AVI", flv: "Flash Video", mxf: "MXF", asf: "Windows Media", ogg: "Ogg", mpeg: "MPEG-PS", wav: "WAV", mp3: "MP3" };

export const container = (demuxer) => CONTAINERS[demuxer.split(",")[0]] ?? demuxer;

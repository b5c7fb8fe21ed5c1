// What players do beyond playing: winding by I-frames, and licences of somebody else.

const video = document.getElementById("video");
const peek = document.getElementById("peek");
const errors = [];
let shown = video;
let player = null;
let iframes = null;

async function loadShaka(url, config = {}) {
  shaka.polyfill.installAll();
  player = new shaka.Player();
  player.addEventListener("error", (event) => errors.push(`shaka-player: ${event.detail.code}`));
  player.configure(config);
  await player.attach(video);
  await player.load(url);
}

window.winding = {
  loadShaka,
  /** hls.js beside its player of I-frames, which shows them in an element of its own. */
  async loadHls(url) {
    const hls = new Hls();
    await new Promise((resolve) => {
      hls.on(Hls.Events.MANIFEST_PARSED, resolve);
      hls.loadSource(url);
      hls.attachMedia(video);
    });
    iframes = hls.createIFramePlayer();
    iframes.on(Hls.Events.ERROR, (_, data) => errors.push(`hls.js: ${data.details}`));
    iframes.attachMedia(peek);
    shown = peek;
  },
  showAt: (seconds) => iframes.loadMediaAt(seconds),
  play: (rate = 1) => { video.playbackRate = rate; return video.play(); },
  wind: (rate) => player.trickPlay(rate),
  stopWinding: () => player.cancelTrickPlay(),
  report() {
    const buffered = [];
    for (let i = 0; i < shown.buffered.length; i += 1) buffered.push([shown.buffered.start(i), shown.buffered.end(i)]);
    return {
      errors, buffered, time: shown.currentTime, ended: shown.ended, ready: shown.readyState,
      frames: shown.getVideoPlaybackQuality().totalVideoFrames,
    };
  },
};

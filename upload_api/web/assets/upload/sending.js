// One file on its way up: tus-js-client does the protocol, this knows what state that is in. It shows nothing.
import { say } from "../core/text.js";

const RETRY_MS = [0, 500, 1000, 2000, 4000, 8000, ...Array(40).fill(15000)];
const WINDOW_MS = 6000;

/**
 * States: waiting → running → done | failed, and paused, offline, gone (taken away). `onChange(sending)` after each step.
 * `isTaken(url)`: whether another line of this page sends to that upload. The same file may be brought twice.
 */
export class Sending {
  constructor(file, { onChange, isTaken }) {
    this.file = file;
    this.isTaken = isTaken;
    this.name = file.name;
    this.size = file.size;
    this.onChange = onChange;
    this.state = "waiting";
    this.sent = 0;
    this.speed = 0;
    this.reason = null;
    this.hiccup = false;
    this.isRefused = false; // by what the server saw in it: another try would end the same way
    this.isPlaying = false;
    this.videoId = null;
    this.samples = [];
  }

  get left() {
    return this.speed > 0 ? (this.size - this.sent) / this.speed : null;
  }

  become(state, reason = null) {
    if (this.state === "gone") return;
    this.state = state;
    this.reason = reason;
    this.onChange(this);
  }

  async start() {
    this.samples = [];
    this.hiccup = false;
    this.become("running");
    if (this.size === 0) return this.refused(say("refused.empty"));
    if (!this.upload) {
      this.upload = this.prepare();
      const earlier = (await this.upload.findPreviousUploads()).filter(({ uploadUrl }) => !this.isTaken(uploadUrl));
      if (earlier.length) this.upload.resumeFromPreviousUpload(earlier.at(-1));
    }
    if (this.state === "running") this.upload.start();
    return undefined;
  }

  prepare() {
    return new window.tus.Upload(this.file, {
      endpoint: "/files",
      retryDelays: RETRY_MS,
      removeFingerprintOnSuccess: true,
      metadata: { filename: this.name, filetype: this.file.type, title: this.name.replace(/\.[^.]+$/, "") },
      onAfterResponse: (_request, response) => this.named(response.getHeader("Fishladder-Video")),
      onShouldRetry: (error) => this.mayRetry(error.originalResponse?.getStatus() ?? 0),
      onProgress: (sent) => this.moved(sent),
      onSuccess: () => this.finished(),
      onError: (error) => this.broke(error.originalResponse),
    });
  }

  named(videoId) {
    if (!videoId || this.videoId) return;
    this.videoId = videoId;
    this.onChange(this);
  }

  mayRetry(status) {
    const again = status === 0 || status >= 500 || [409, 423, 429].includes(status);
    if (again && this.state === "running") {
      this.hiccup = true;
      this.speed = 0;
      this.onChange(this);
    }
    return again;
  }

  moved(sent) {
    const now = performance.now();
    this.hiccup = false;
    this.sent = sent;
    this.samples.push([now, sent]);
    while (this.samples.length > 2 && now - this.samples[0][0] > WINDOW_MS) this.samples.shift();
    const [[firstAt, firstSent]] = this.samples;
    if (now - firstAt > 400) this.speed = Math.max(0, ((sent - firstSent) / (now - firstAt)) * 1000);
    if (now - (this.toldAt ?? 0) > 150) {
      this.toldAt = now;
      this.onChange(this);
    }
  }

  finished() {
    this.sent = this.size;
    this.become("done");
  }

  broke(response) {
    if (this.state !== "running") return;
    if (!navigator.onLine) return this.become("offline");
    let reason = say("trouble.network");
    try {
      reason = JSON.parse(response.getBody()).detail;
    } catch {
      if (response) reason = say("refused.status", { status: response.getStatus() });
    }
    return this.become("failed", reason);
  }

  /** There is nothing in it, or the server has looked at the beginning and wants no more of it. */
  refused(reason) {
    if (this.state === "gone") return;
    if (this.state !== "done") this.upload?.abort();
    this.isRefused = true;
    this.become("failed", reason);
  }

  /** What was sent can be watched. */
  plays() {
    this.isPlaying = true;
    this.onChange(this);
  }

  pause() {
    if (!["running", "waiting", "offline"].includes(this.state)) return;
    this.upload?.abort();
    this.speed = 0;
    this.become("paused");
  }

  resume() {
    if (["paused", "failed", "offline"].includes(this.state) && !this.isRefused) this.become("waiting");
  }

  networkLost() {
    if (this.state !== "running") return;
    this.upload?.abort();
    this.become("offline");
  }

  networkBack() {
    if (this.state === "offline") this.become("waiting");
  }

  /** Take it away; unless it is done, the server forgets it too. */
  async remove() {
    const forget = this.state !== "done" && !this.isRefused && this.upload;
    this.become("gone");
    if (forget) await this.upload.abort(true).catch(() => {});
  }
}

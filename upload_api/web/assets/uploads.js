// Uploads of this page: tus-js-client does the protocol, this does the rest: one row each, two at a time, pausing while
// the network is away, going on where an earlier visit stopped.
import { $, make } from "./dom.js";
import { bytes, percent, say, span } from "./text.js";

const AT_ONCE = 2;
const SHOWN_WHEN_DONE_MS = 6000;
const RETRY_MS = [0, 500, 1000, 2000, 4000, 8000, ...Array(40).fill(15000)];

/** Videos that are uploaded from this page right now, by id. */
export const activeVideos = new Set();

class UploadRow {
  constructor(file, changed) {
    this.file = file;
    this.changed = changed;
    this.state = "waiting"; // waiting | running | paused | offline | done | failed
    this.sent = 0;
    this.speed = 0;
    this.videoId = null;
    this.resumedAt = null;
    this.samples = [];
    this.build();
  }

  build() {
    this.name = make("span", { class: "name", title: this.file.name }, this.file.name);
    this.pause = make("button", { class: "button small", type: "button", onclick: () => this.toggle() });
    this.cancel = make("button", { class: "button small danger", type: "button", onclick: () => this.stop() });
    this.open = make("a", { class: "button small", hidden: true }, say("uploads.watch"));
    this.bar = make("progress", { max: 1, value: 0, ariaLabel: this.file.name });
    this.status = make("span", { class: "status quiet", role: "status" });
    this.element = make(
      "li",
      { class: "upload" },
      this.name,
      make("span", { class: "upload-actions" }, this.open, this.pause, this.cancel),
      this.bar,
      this.status,
    );
    this.show();
  }

  show(words = null) {
    this.element.className = `upload ${this.state}`;
    this.bar.value = this.file.size ? this.sent / this.file.size : 1;
    this.pause.hidden = this.state === "done";
    const again = { paused: "uploads.resume", offline: "uploads.resume", failed: "uploads.retry" };
    this.pause.textContent = say(again[this.state] ?? "uploads.pause");
    this.cancel.textContent = say(this.state === "done" ? "uploads.dismiss" : "uploads.cancel");
    this.open.hidden = this.videoId === null;
    if (this.videoId) this.open.href = `/watch/${this.videoId}`;
    this.status.textContent = words ?? this.words();
  }

  words() {
    const [sent, total] = [bytes(this.sent), bytes(this.file.size)];
    switch (this.state) {
      case "waiting":
        return say("uploads.waiting");
      case "paused":
        return say("uploads.paused", { percent: percent(this.sent / this.file.size) });
      case "offline":
        return say("uploads.offline");
      case "done":
        return say("uploads.done");
      case "running": {
        if (!this.samples.length) return say("uploads.starting");
        if (!this.speed) return say("uploads.sending.first", { sent, total });
        const left = span((this.file.size - this.sent) / this.speed);
        return say("uploads.sending", { sent, total, speed: `${bytes(this.speed)}/s`, left });
      }
      default:
        return "";
    }
  }

  async start() {
    this.state = "running";
    this.samples = [];
    this.show();
    this.upload ??= this.prepare();
    if (!this.resumable) {
      this.resumable = true;
      const earlier = await this.upload.findPreviousUploads();
      if (earlier.length) this.upload.resumeFromPreviousUpload(earlier.at(-1));
    }
    if (this.state === "running") this.upload.start();
  }

  prepare() {
    const title = this.file.name.replace(/\.[^.]+$/, "");
    return new window.tus.Upload(this.file, {
      endpoint: "/files",
      retryDelays: RETRY_MS,
      removeFingerprintOnSuccess: true,
      metadata: { filename: this.file.name, filetype: this.file.type, title },
      onAfterResponse: (_request, response) => this.named(response.getHeader("Fishladder-Video")),
      onShouldRetry: (error) => {
        const status = error.originalResponse?.getStatus() ?? 0;
        const again = status === 0 || status >= 500 || status === 409 || status === 423;
        if (again && this.state === "running") this.show(say("uploads.retrying"));
        return again;
      },
      onProgress: (sent) => this.moved(sent),
      onSuccess: () => this.succeeded(),
      onError: (error) => this.broke(error),
    });
  }

  named(videoId) {
    if (!videoId || this.videoId) return;
    this.videoId = videoId;
    activeVideos.add(videoId);
    this.show();
    this.changed();
  }

  moved(sent) {
    const now = performance.now();
    this.sent = sent;
    this.samples.push([now, sent]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 5000) this.samples.shift();
    const [[firstAt, firstSent]] = this.samples;
    if (now - firstAt > 500) this.speed = ((sent - firstSent) / (now - firstAt)) * 1000;
    if (now - (this.shownAt ?? 0) > 200) {
      this.shownAt = now;
      this.show();
    }
  }

  succeeded() {
    this.state = "done";
    this.sent = this.file.size;
    activeVideos.delete(this.videoId);
    this.show();
    this.changed();
    setTimeout(() => this.stop(), SHOWN_WHEN_DONE_MS); // its card tells the rest
  }

  async broke(error) {
    if (!navigator.onLine) {
      this.state = "offline";
      this.show();
      return;
    }
    this.state = "failed";
    const response = error.originalResponse;
    let reason = say("uploads.failed.network");
    try {
      reason = JSON.parse(response.getBody()).detail;
    } catch {
      if (response) reason = `${response.getStatus()}`;
    }
    this.show(say("uploads.failed", { reason }));
    this.changed();
  }

  toggle() {
    if (this.state === "running" || this.state === "waiting") {
      this.upload?.abort();
      this.state = "paused";
      this.show();
      this.changed();
    } else {
      this.state = "waiting";
      this.show();
      this.changed();
    }
  }

  networkLost() {
    if (this.state !== "running") return;
    this.upload?.abort();
    this.state = "offline";
    this.show();
  }

  networkBack() {
    if (this.state !== "offline") return;
    this.state = "waiting";
    this.show();
  }

  async stop() {
    const finished = this.state === "done";
    this.element.remove();
    this.removed = true;
    activeVideos.delete(this.videoId);
    this.state = "done";
    if (!finished && this.upload) await this.upload.abort(true).catch(() => {});
    this.changed();
  }
}

/** Makes the drop zone work. `onChange` is called when the set of active videos may have changed. */
export function takeUploads(onChange) {
  const rows = [];
  const next = () => {
    for (let n = rows.length - 1; n >= 0; n -= 1) if (rows[n].removed) rows.splice(n, 1);
    $("uploads-section").hidden = rows.length === 0;
    let free = AT_ONCE - rows.filter((row) => row.state === "running").length;
    if (navigator.onLine) {
      for (const row of rows) {
        if (free <= 0) break;
        if (row.state === "waiting") {
          free -= 1;
          row.start();
        }
      }
    }
    onChange();
  };
  const add = (files) => {
    for (const file of files) {
      const row = new UploadRow(file, next);
      rows.push(row);
      $("uploads").append(row.element);
    }
    next();
  };
  window.addEventListener("offline", () => rows.forEach((row) => row.networkLost()));
  window.addEventListener("online", () => {
    rows.forEach((row) => row.networkBack());
    next();
  });
  window.addEventListener("beforeunload", (event) => {
    if (rows.some((row) => row.state === "running")) event.preventDefault();
  });
  offerFiles(add);
}

function offerFiles(add) {
  if (!window.tus) {
    $("no-tus").hidden = false;
    $("choose").disabled = true;
    return;
  }
  const [zone, input] = [$("drop"), $("files")];
  $("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  let inside = 0;
  const over = (is) => {
    zone.classList.toggle("over", is);
    $("drop-title").textContent = say(is ? "home.drop.over" : "home.drop");
  };
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    inside += 1;
    over(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside = Math.max(0, inside - 1);
    if (!inside) over(false);
  });
  document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    over(false);
    add([...event.dataTransfer.files]);
  });
}

// The REST API and the one event stream.
import { say } from "./text.js";

/** An answer of the API that is a problem: `message` is its sentence, `code` and `status` are for programs. */
export class Problem extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

async function ask(method, path, body) {
  let reply;
  try {
    reply = await fetch(`/api/v1${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, "network", say("uploads.failed.network"));
  }
  if (reply.status === 204) return null;
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Problem(reply.status, told.code ?? "unknown", told.detail ?? reply.statusText);
  return told;
}

const at = (id) => `/videos/${encodeURIComponent(id)}`;

export const api = {
  videos({ cursor, state, text, limit = 24 } = {}) {
    const query = new URLSearchParams({ limit });
    if (cursor) query.set("cursor", cursor);
    if (state) query.set("state", state);
    if (text) query.set("text", text);
    return ask("GET", `/videos?${query}`);
  },
  video: (id) => ask("GET", at(id)),
  rename: (id, title) => ask("PATCH", at(id), { title }),
  remove: (id) => ask("DELETE", at(id)),
  cancel: (id) => ask("POST", `${at(id)}/cancel`),
  retry: (id) => ask("POST", `${at(id)}/retry`),
  upload: (id) => ask("GET", `/uploads/${encodeURIComponent(id)}`),
};

const KINDS = ["state", "progress", "uploaded_bytes", "title"];

/**
 * Follow everything that happens. `onEvent(kind, data)`; `onAgain()` after a gap in which events may have been missed;
 * `onLive(isLive)` when the connection comes or goes.
 */
export function follow({ onEvent, onAgain = () => {}, onLive = () => {} }) {
  let source;
  let opened = false;
  const open = () => {
    source = new EventSource("/api/v1/events");
    source.addEventListener("hello", () => {
      onLive(true);
      if (opened) onAgain();
      opened = true;
    });
    for (const kind of KINDS) source.addEventListener(kind, (event) => onEvent(kind, JSON.parse(event.data)));
    source.addEventListener("error", () => {
      onLive(false);
      // The browser reconnects by itself, except after an answer that was an error.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    });
  };
  open();
  // A page that leaves must not keep one of the browser's few connections.
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => event.persisted && open());
}

/** Show in the page's frame whether news arrive and whether there is a network at all. */
export function frame() {
  const live = document.getElementById("live");
  const offline = document.getElementById("offline");
  let connected = null;
  const tell = () => {
    offline.hidden = navigator.onLine;
    if (connected === null) return;
    const news = connected && navigator.onLine;
    live.classList.toggle("on", news);
    live.textContent = say(news ? "live.on" : "live.off");
  };
  window.addEventListener("online", tell);
  window.addEventListener("offline", tell);
  tell();
  return (isLive) => {
    connected = isLive;
    tell();
  };
}

// The REST API.
import { say } from "./text.js";

/** An answer that is a problem: `message` is its sentence, `code` and `status` are for programs. Status 0: none came. */
export class Problem extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

async function ask(method, path, body) {
  const plain = body instanceof Blob || typeof body === "string";
  let reply;
  try {
    reply = await fetch(path.startsWith("/watch/") ? path : `/api/v1${path}`, {
      method,
      credentials: "same-origin",
      headers: body === undefined || plain ? {} : { "Content-Type": "application/json" },
      body: body === undefined || plain ? body : JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, "network", say("trouble.network"));
  }
  if (reply.status === 401) signIn();
  if (reply.status === 204) return null;
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Problem(reply.status, told.code ?? "unknown", told.detail ?? reply.statusText);
  return told;
}

function signIn() {
  const { pathname, search } = window.location;
  if (pathname !== "/signin") window.location.assign(`/signin?next=${encodeURIComponent(pathname + search)}`);
}

const at = (id) => `/videos/${encodeURIComponent(id)}`;

function withoutNothing(fields) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  }
  return query;
}

export const api = {
  videos: ({ cursor, states, text, sort, limit = 24 } = {}) =>
    ask("GET", `/videos?${withoutNothing({ limit, cursor, text, sort, state: states ?? [] })}`),
  video: (id) => ask("GET", at(id)),
  details: (id) => ask("GET", `${at(id)}/details`),
  change: (id, change) => ask("PATCH", at(id), change),
  remove: (id) => ask("DELETE", at(id)),
  cancel: (id) => ask("POST", `${at(id)}/cancel`),
  retry: (id) => ask("POST", `${at(id)}/retry`),
  many: (action, ids) => ask("POST", "/videos/actions", { action, ids }),
  poster: (id, picture) => ask("PUT", `${at(id)}/poster`, picture),
  fetch: (address) => ask("POST", "/videos", { source_url: address }),
  captions: (id) => ask("GET", `${at(id)}/subtitles`),
  subtitles: (id, track, text) => ask("PUT", `${at(id)}/subtitles/${encodeURIComponent(track)}`, text),
  dropSubtitles: (id, track) => ask("DELETE", `${at(id)}/subtitles/${encodeURIComponent(track)}`),
  upload: (id) => ask("GET", `/uploads/${encodeURIComponent(id)}`),
  shown: (id) => ask("GET", `/watch/${encodeURIComponent(id)}/facts${window.location.search}`),
  session: () => ask("GET", "/session"),
  signIn: (key) => ask("POST", "/session", { key }),
  signOut: () => ask("DELETE", "/session"),
};

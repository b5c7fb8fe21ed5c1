// The one event stream of a page: everything that happens to videos, caught up after every break.

const KINDS = ["state", "progress", "uploaded_bytes", "title", "showing", "visibility"];
const REOPEN_MS = 2500;

/**
 * `onEvent(kind, data)`; `onAgain()` after a gap that the server could not close for us; `onLive(isLive)` when the
 * connection comes or goes. The browser reconnects by itself and says which event it had last.
 */
export function follow({ onEvent, onAgain = () => {}, onLive = () => {} }) {
  let source = null;
  let opened = false;
  const open = () => {
    source?.close();
    source = new EventSource("/api/v1/events");
    source.addEventListener("hello", () => {
      onLive(true);
      if (opened) onAgain();
      opened = true;
    });
    for (const kind of KINDS) source.addEventListener(kind, (event) => onEvent(kind, JSON.parse(event.data)));
    source.addEventListener("error", () => {
      onLive(false);
      // The browser gives up after an answer that was an error, as of a server that is just starting.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, REOPEN_MS);
    });
  };
  open();
  // A page that leaves must not keep one of the browser's few connections.
  window.addEventListener("pagehide", () => source.close());
  window.addEventListener("pageshow", (event) => event.persisted && open());
  window.addEventListener("online", () => source.readyState === EventSource.CLOSED && open());
}

// Uppy with its tus plugin, as a page uses it. Bundled by esbuild before the test.
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

// What a browser does when its network comes and goes.
window.goneOffline = (gone) => {
  Object.defineProperty(navigator, "onLine", { configurable: true, get: () => !gone });
  window.dispatchEvent(new Event(gone ? "offline" : "online"));
};

window.begin = (endpoint) => {
  window.done = null;
  window.sent = 0;
  window.requests = [];
  const uppy = new Uppy({ autoProceed: true }).use(Tus, {
    endpoint,
    retryDelays: [0, 200, 500, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
    onAfterResponse: (request, response) => {
      window.requests.push({
        method: request.getMethod(), status: response.getStatus(), offset: Number(request.getHeader("Upload-Offset") ?? -1),
      });
    },
  });
  uppy.on("upload-progress", (_, progress) => { window.sent = progress.bytesUploaded; });
  uppy.on("complete", (result) => {
    window.done = { failed: result.failed.length, url: result.successful[0]?.uploadURL ?? null };
  });
  const file = document.querySelector("input").files[0];
  window.file = uppy.addFile({ name: file.name, type: file.type, data: file });
  window.uppy = uppy;
};

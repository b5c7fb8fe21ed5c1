// Uploads that an earlier visit left unfinished: the browser remembers their addresses, the server how far they came.
import { api } from "../core/api.js";

const storage = () => window.tus.defaultOptions.urlStorage;

/** Those that can be gone on with. What the server does not know any more is forgotten here too. */
export async function earlierUploads() {
  const remembered = await storage().findAllUploads().catch(() => []);
  const looked = await Promise.all(
    remembered.map(async (kept) => {
      try {
        const upload = await api.upload(kept.uploadUrl.split("/").pop());
        if (upload.state !== "open") throw new Error(upload.state);
        return { ...kept, sent: upload.offset_bytes, videoId: upload.video_id, name: kept.metadata.filename ?? "" };
      } catch (problem) {
        if (problem.status !== 0) await storage().removeUpload(kept.urlStorageKey).catch(() => {});
        return null;
      }
    }),
  );
  return looked.filter(Boolean);
}

/** Give up one of them for good. */
export async function forget(earlier) {
  await storage().removeUpload(earlier.urlStorageKey).catch(() => {});
  await window.tus.Upload.terminate(earlier.uploadUrl, { retryDelays: [] }).catch(() => {});
}

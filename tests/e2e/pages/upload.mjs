// Uploads one file with tus-js-client the way a Node program would: node upload.mjs ENDPOINT FILE [CHUNK_BYTES]
import { createReadStream, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const [endpoint, file, chunk] = process.argv.slice(2);
const require = createRequire(join(process.env.LADDER_TEST_NODE_MODULES, "x.js"));
const tus = require("tus-js-client");

let video = null;
const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  uploadSize: statSync(file).size,
  chunkSize: chunk ? Number(chunk) : Infinity,
  metadata: { filename: basename(file), title: "From tus-js-client" },
  onAfterResponse: (_, response) => { video = response.getHeader("Fishladder-Video") || video; },
  onError: (error) => { console.error(String(error)); process.exit(1); },
  onSuccess: () => console.log(JSON.stringify({ url: upload.url, video })),
});
upload.start();

// Uploads one file with tus-js-client in parallel parts, joined by the server: node upload-parallel.mjs ENDPOINT FILE PARTS
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const [endpoint, file, parts] = process.argv.slice(2);
const require = createRequire(join(process.env.LADDER_TEST_NODE_MODULES, "x.js"));
const tus = require("tus-js-client");

const upload = new tus.Upload(readFileSync(file), {
  endpoint,
  parallelUploads: Number(parts),
  metadata: { filename: basename(file) },
  onError: (error) => { console.error(String(error)); process.exit(1); },
  onSuccess: () => console.log(JSON.stringify({ url: upload.url })),
});
upload.start();

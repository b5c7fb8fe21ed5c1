// One file with tus-js-client in Node, with the options named: node variants.mjs ENDPOINT FILE OPTIONS(JSON) [checksum]
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";

const [endpoint, file, options, checksum] = process.argv.slice(2);
const require = createRequire(join(process.env.LADDER_TEST_NODE_MODULES, "x.js"));
const tus = require("tus-js-client");

const content = readFileSync(file);
const chosen = JSON.parse(options);
const requests = [];

// The client knows nothing of checksums; its hook before a request is the place to promise one.
const promise = (request) => {
  const offset = request.getHeader("Upload-Offset");
  if (!checksum || offset === undefined) return;
  const start = Number(offset);
  const digest = createHash(checksum).update(content.subarray(start, start + (chosen.chunkSize ?? content.length)));
  request.setHeader("Upload-Checksum", `${checksum} ${digest.digest("base64")}`);
};

const upload = new tus.Upload(content, {
  endpoint,
  ...chosen,
  metadata: { filename: basename(file) },
  onBeforeRequest: promise,
  onAfterResponse: (request, response) => { requests.push(`${request.getMethod()} ${response.getStatus()}`); },
  onError: (error) => { console.error(String(error)); process.exit(1); },
  onSuccess: () => console.log(JSON.stringify({ url: upload.url, requests })),
});
upload.start();

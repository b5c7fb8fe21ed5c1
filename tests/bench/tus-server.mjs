// @tus/server on a free port, its store a folder or a bucket: node tus-server.mjs FOLDER | node tus-server.mjs s3
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.LADDER_TEST_NODE_MODULES, "x.js"));
const { Server } = require("@tus/server");
const where = process.argv[2];
const env = process.env;

function bucket() {
  const { S3Store } = require("@tus/s3-store");
  return new S3Store({
    partSize: 8 * 1024 * 1024,
    s3ClientConfig: {
      bucket: env.S3_BUCKET, endpoint: env.S3_ENDPOINT, region: "us-east-1", forcePathStyle: true,
      credentials: { accessKeyId: env.S3_ACCESS_KEY, secretAccessKey: env.S3_SECRET_KEY },
    },
  });
}

function folder() {
  const { FileStore } = require("@tus/file-store");
  return new FileStore({ directory: where });
}

const server = new Server({ path: "/files", datastore: where === "s3" ? bucket() : folder() });
const listening = server.listen({ host: "127.0.0.1", port: 0 }, () => console.log(listening.address().port));

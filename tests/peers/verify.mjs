// Verifies receipts as JWS with the npm package jose, keys from a JWKS. Standard input: {"jwks":…,"tokens":[…]};
// standard output: per token {"payload":…,"header":…} or {"error":…}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[2] + "/");
const { compactVerify, createLocalJWKSet } = await import(pathToFileURL(require.resolve("jose")));
const { jwks, tokens } = JSON.parse(readFileSync(0, "utf8"));
const keys = createLocalJWKSet(jwks);
const results = [];
for (const token of tokens) {
  try {
    const { payload, protectedHeader } = await compactVerify(token, keys, { algorithms: ["EdDSA"] });
    results.push({ payload: Buffer.from(payload).toString("base64"), header: protectedHeader });
  } catch (error) {
    results.push({ error: `${error.code ?? error.name}: ${error.message}` });
  }
}
console.log(JSON.stringify(results));

// Verifies receipts as JWS with the npm package jose, keys from a JWKS. Standard input: [{"jwks":…,"tokens":[…]}…];
// standard output: for each of them, per token {"payload":…,"header":…} or {"error":…}. Argument: the package's folder.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const entry = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).exports["."].import;
const { compactVerify, createLocalJWKSet } = await import(pathToFileURL(join(folder, entry.default ?? entry)));

async function verify(keys, token) {
  try {
    const { payload, protectedHeader } = await compactVerify(token, keys, { algorithms: ["EdDSA"] });
    return { payload: Buffer.from(payload).toString("base64"), header: protectedHeader };
  } catch (error) {
    return { error: `${error.code ?? error.name}: ${error.message}` };
  }
}

const cases = JSON.parse(readFileSync(0, "utf8"));
const results = cases.map(({ jwks, tokens }) => Promise.all(tokens.map((token) => verify(createLocalJWKSet(jwks), token))));
console.log(JSON.stringify(await Promise.all(results)));

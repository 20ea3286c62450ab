/**
 * An agent in miniature, on Node's own modules and `@peculiar/x509`:
 *
 *   deno run -A docs/examples/agent.ts SERVER_JSON
 *
 * Enrols at the mock agent server that wrote SERVER_JSON, waits for a desired state that names a
 * user, gets that user a certificate, reports it, and shows it to the portal.
 */
import "reflect-metadata";
import { Buffer } from "node:buffer";
import { createHash, randomBytes, sign, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { request, type RequestOptions } from "node:https";
import process from "node:process";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";

const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

interface Server {
  agentUrl: string;
  portalUrl: string;
  connectKey: string;
  serverCa: string;
}

/** The part of a desired state that is read here. */
interface DesiredState {
  distribution: { enabled: boolean };
  users: { userId: string; username: string; email: string }[];
}

interface Bundle {
  serial: string;
  leaf: string;
  intermediate: string;
  notAfter: string;
}

const server: Server = JSON.parse(readFileSync(process.argv[2] ?? "server.json", "utf8"));
const ca = readFileSync(server.serverCa);

async function makeKey() {
  const keys = await webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const pem = `-----BEGIN PRIVATE KEY-----\n${
    pkcs8.toString("base64")
  }\n-----END PRIVATE KEY-----\n`;
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey("jwk", keys.publicKey);
  return { keys, pem, jwk: { crv, kty, x, y } };
}

/** HTTP message signature (RFC 9421) as the agent server wants it; see its /openapi.json. */
function signatureFields(key: string, keyid: string, method: string, uri: string, body?: string) {
  const digest = body === undefined
    ? undefined
    : `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const covered = [["@method", method], ["@target-uri", uri]];
  if (digest !== undefined) covered.push(["content-digest", digest]);
  const names = covered.map(([name]) => `"${name}"`).join(" ");
  const nonce = randomBytes(16).toString("base64url");
  const parameters = `(${names});created=${Math.floor(Date.now() / 1000)};nonce="${nonce}"` +
    `;keyid="${keyid}";alg="ecdsa-p256-sha256";tag="device-trust"`;
  const base = [
    ...covered.map(([name, value]) => `"${name}": ${value}`),
    `"@signature-params": ${parameters}`,
  ].join("\n");
  const signature = sign("sha256", Buffer.from(base), { key, dsaEncoding: "ieee-p1363" });
  return {
    ...(digest === undefined ? {} : { "content-digest": digest }),
    "signature-input": `device=${parameters}`,
    signature: `device=:${signature.toString("base64")}:`,
  };
}

/** One request; gives the ETag and the body. */
function send(url: string, options: RequestOptions, body?: string): Promise<[string, string]> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { ca, ...options }, (answer) => {
      let text = "";
      answer.on("data", (part) => text += part);
      answer.on("end", () => {
        if ((answer.statusCode ?? 500) < 400) resolve([answer.headers.etag ?? "", text]);
        else reject(new Error(`${options.method} ${url}: ${answer.statusCode} ${text}`));
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const device = await makeKey();
let id = createHash("sha256").update(JSON.stringify(device.jwk)).digest("base64url"); // RFC 7638

async function call(method: string, path: string, json?: unknown, more = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const url = server.agentUrl + path;
  const headers = {
    "content-type": "application/json",
    ...signatureFields(device.pem, id, method, url, body),
    ...more,
  };
  const [etag, text] = await send(url, { method, headers }, body);
  return { etag, answer: text === "" ? undefined : JSON.parse(text) };
}

const print = (line: string) => process.stdout.write(`${line}\n`);
const about = { hostname: "example", osVersion: "1", agentVersion: "0.0.1" };

const { connectKey } = server;
const enrolment = { ...about, connectKey, os: "linux", publicKey: device.jwk };
id = (await call("POST", "/v1/devices", enrolment)).answer.deviceId;
print(`enrolled as ${id}`);

let etag = "";
let state: DesiredState | undefined;
while (!state?.distribution.enabled || state.users.length === 0) {
  // Asked once, then held open until it changes (RFC 7240).
  const held = etag === "" ? {} : { "if-none-match": etag, prefer: "wait=240" };
  const news = await call("GET", `/v1/devices/${id}/desired-state`, undefined, held);
  etag = news.etag || etag;
  state = news.answer ?? state;
}
const [user] = state.users;
if (!user) throw new Error("nobody");

const leaf = await makeKey();
const csr = await Pkcs10CertificateRequestGenerator.create({
  name: "CN=example",
  keys: leaf.keys,
  signingAlgorithm: P256,
});
const path = `/v1/devices/${id}/users/${user.userId}/certificates`;
const bundle: Bundle = (await call("POST", path, { csr: csr.toString("pem") })).answer;
print(`${user.username} has serial ${bundle.serial} until ${bundle.notAfter}`);

const { userId } = user;
const { serial } = bundle;
await call("POST", `/v1/devices/${id}/reports`, {
  ...about,
  users: [{ userId, state: "installed", serial, filters: [] }],
});

const challenge = `${server.portalUrl}/challenge?user=${encodeURIComponent(user.email)}`;
const cert = bundle.leaf + bundle.intermediate;
const [, verdict] = await send(challenge, { method: "GET", cert, key: leaf.pem });
const { managed, reason } = JSON.parse(verdict);
print(`managed: ${managed} (${reason})`);
process.exit(managed ? 0 : 1);

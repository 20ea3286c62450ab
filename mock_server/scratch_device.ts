/** A device as the server meets one, for tests: it signs as the agent does and makes requests. */
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import assert from "node:assert/strict";
import {
  contentDigest,
  randomNonce,
  type RequestSigner,
  type SignatureAlgorithm,
  signRequest,
} from "../agent/http_signature.ts";
import { serverApps } from "./agent_app.ts";
import type { Peer } from "./context.ts";
import { keyThumbprint } from "./device_authentication.ts";
import { connectKeyHash } from "./enrollment.ts";
import { type Scratch, withScratch } from "./scratch_context.ts";

/** The connect key that every scratch server takes. */
export const SCRATCH_CONNECT_KEY = "scratch-connect-key";

/** How a request differs from what a well-behaved agent sends. */
export interface RequestOptions {
  /** JSON, or what is sent as it is. */
  body?: unknown;
  headers?: Record<string, string>;
  /** A second signature. */
  leaf?: RequestSigner;
  keyid?: string;
  /** Added to the clock when signing, seconds. */
  skew?: number;
  nonce?: string;
  /** Signed instead of the server's public URL. */
  publicUrl?: string;
  /** Changes the request after it was signed. */
  tamper?: (request: { headers: Headers; body: string | undefined }) => void;
  peer?: Peer;
}

/** What a device needs of a server: what it is configured with, its clock, and a way to it. */
export interface DeviceHost extends Pick<Scratch, "context" | "clock"> {
  /** `peer` is who seems to ask, where that is not known from a connection. */
  fetch(request: Request, peer?: Peer): Promise<Response>;
}

/** Everything under test, and ways to make more devices. */
export interface ScratchServer extends Scratch, DeviceHost {
  /** A device with a key, not enrolled. */
  newDevice(): Promise<ScratchDevice>;
  /** An enrolled device with one managed user. */
  managed(email?: string): Promise<{ device: ScratchDevice; userId: string }>;
}

/** Runs `test` with a server of its own; distribution is ON. */
export async function withServer(test: (server: ScratchServer) => Promise<void>): Promise<void> {
  await withScratch(async (scratch) => {
    const { agentApp } = serverApps(scratch.context);
    scratch.context.store.connectKeys.add({
      connectKeyId: "11111111-1111-4111-8111-111111111111",
      hash: connectKeyHash(SCRATCH_CONNECT_KEY),
      createdAt: scratch.clock.now,
      expiresAt: null,
      maxUses: null,
    });
    const server: ScratchServer = {
      ...scratch,
      fetch: async (request, peer = { address: "192.0.2.7", certificates: [] }) =>
        await agentApp.fetch(request, { peer }),
      newDevice: () => ScratchDevice.create(server),
      managed: async (email = "alice@example.com") => {
        const device = await ScratchDevice.create(server);
        await device.enroll();
        const userId = scratch.addUser(email);
        scratch.context.store.bindings.put(
          device.deviceId,
          userId,
          email.replace(/@.*/, ""),
          scratch.clock.now,
        );
        return { device, userId };
      },
    };
    await test(server);
  });
}

/** A device and its key. */
export class ScratchDevice {
  /** Empty until it is enrolled. */
  deviceId = "";

  private constructor(
    readonly server: DeviceHost,
    readonly keys: CryptoKeyPair,
    readonly publicKey: { kty: "EC"; crv: "P-256"; x: string; y: string },
  ) {}

  /** Makes a key. */
  static async create(server: DeviceHost): Promise<ScratchDevice> {
    const keys = await newKeys("P-256");
    const { x = "", y = "" } = await crypto.subtle.exportKey("jwk", keys.publicKey);
    return new ScratchDevice(server, keys, { kty: "EC", crv: "P-256", x, y });
  }

  /** What an enrolment sends. */
  enrollment(connectKey = SCRATCH_CONNECT_KEY) {
    const about = { hostname: "laptop", os: "linux", osVersion: "12", agentVersion: "0.1.0" };
    return { connectKey, ...about, publicKey: this.publicKey };
  }

  /** Enrolls; asserts that it worked. */
  async enroll(): Promise<void> {
    const response = await this.request("POST", "/v1/devices", {
      body: this.enrollment(),
      keyid: keyThumbprint(this.publicKey),
    });
    assert.ok(response.ok, await response.clone().text());
    this.deviceId = (await response.json()).deviceId;
  }

  /** Sends a signed request. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    return await this.server.fetch(await this.sign(method, path, options), options.peer);
  }

  /** A signed request, not sent. */
  async sign(method: string, path: string, options: RequestOptions = {}): Promise<Request> {
    const { context, clock } = this.server;
    const text = typeof options.body === "string" || options.body === undefined
      ? options.body
      : JSON.stringify(options.body);
    const bytes = text === undefined ? undefined : new TextEncoder().encode(text);
    const targetUri = (options.publicUrl ?? context.publicUrl) + path;
    const signers = [
      signerOf("device", options.keyid ?? this.deviceId, this.keys),
      ...(options.leaf ? [options.leaf] : []),
    ];
    const headers = new Headers(options.headers);
    for (const signer of signers) {
      const fields = await signRequest(
        { method, targetUri, ...(bytes && { body: bytes }) },
        signer,
        {
          created: Math.floor(clock.now / 1000) + (options.skew ?? 0),
          nonce: () => options.nonce ?? randomNonce(),
        },
      );
      headers.append("signature-input", fields["signature-input"]);
      headers.append("signature", fields.signature);
    }
    if (bytes) {
      if (!headers.has("content-type")) headers.set("content-type", "application/json");
      headers.set("content-digest", await contentDigest(bytes));
    }
    const request = { headers, body: text };
    options.tamper?.(request);
    return new Request(context.publicUrl + path, { method, ...request });
  }

  /** Asks for the desired state. */
  async desired(headers: Record<string, string> = {}): Promise<Response> {
    return await this.request("GET", this.path("/desired-state"), { headers });
  }

  /** Asks for a leaf. */
  async certificate(userId: string, csr: string, leaf?: RequestSigner): Promise<Response> {
    return await this.request("POST", this.path(`/users/${userId}/certificates`), {
      body: { csr },
      ...(leaf && { leaf }),
    });
  }

  /** Gets a leaf for a new key; asserts that it was issued. */
  async newLeaf(userId: string, leaf?: RequestSigner): Promise<DeviceLeaf> {
    const { csr, keys } = await newCsr();
    const response = await this.certificate(userId, csr, leaf);
    assert.equal(response.status, 201, await response.clone().text());
    const answer = await response.json();
    const record = this.server.context.store.certificates.get(answer.serial);
    assert.ok(record);
    return { answer, csr, signer: signerOf("leaf", record.sha256, keys) };
  }

  /** Reports one user. */
  async report(user: Record<string, unknown>): Promise<Response> {
    return await this.request("POST", this.path("/reports"), {
      body: {
        agentVersion: "0.1.1",
        osVersion: "12.1",
        hostname: "laptop-2",
        users: [{ filters: [], ...user }],
      },
    });
  }

  /** A path of this device. */
  path(rest: string): string {
    return `/v1/devices/${this.deviceId}${rest}`;
  }
}

/** A leaf that a device was given, and its key as a signer. */
export interface DeviceLeaf {
  answer: Record<string, string> & { renewal: { start: string; end: string } };
  csr: string;
  signer: RequestSigner;
}

/** Key algorithms that tests make keys of. */
export type KeyAlgorithm = "P-256" | "P-384" | "RSA-2048" | "RSA-1024";

/** A key pair. */
export async function newKeys(algorithm: KeyAlgorithm): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(parameters(algorithm), true, ["sign", "verify"]);
}

/** A certificate request, made by another library than the one that reads it. */
export async function newCsr(
  algorithm: KeyAlgorithm = "P-256",
  known?: CryptoKeyPair,
): Promise<{ csr: string; keys: CryptoKeyPair }> {
  const keys = known ?? await newKeys(algorithm);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: "CN=anything",
    keys,
    signingAlgorithm: { ...parameters(algorithm), hash: "SHA-256" },
  });
  return { csr: request.toString("pem"), keys };
}

/** A signer with a key at hand. */
export function signerOf(
  label: "device" | "leaf",
  keyid: string,
  { privateKey }: CryptoKeyPair,
): RequestSigner {
  const rsa = privateKey.algorithm.name !== "ECDSA";
  const alg: SignatureAlgorithm = rsa ? "rsa-v1_5-sha256" : "ecdsa-p256-sha256";
  return {
    label,
    keyid,
    alg,
    sign: async (message) =>
      new Uint8Array(
        await crypto.subtle.sign(
          { name: privateKey.algorithm.name, hash: "SHA-256" },
          privateKey,
          message.slice(),
        ),
      ),
  };
}

/** Asserts that an answer is a problem of that status and type. */
export async function assertRefused(response: Response, status: number, type: string) {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const problem = JSON.parse(text);
  assert.equal(problem.type, `urn:device-trust:${type}`, text);
  assert.equal(problem.status, status);
  assert.ok(problem.detail.length > 0);
  return problem;
}

function parameters(algorithm: KeyAlgorithm) {
  if (algorithm.startsWith("P")) return { name: "ECDSA", namedCurve: algorithm };
  return {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    publicExponent: Uint8Array.of(1, 0, 1),
    modulusLength: Number(algorithm.slice(4)),
  };
}

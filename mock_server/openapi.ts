/** The contract at `/openapi.json`: OpenAPI 3.1, made from the schemas that validate. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { ProblemDetails } from "../agent/contract.ts";
import type { ServerEnv } from "./context.ts";
import { PROBLEMS, type ProblemType } from "./problems.ts";

/** A status's part of a route that answers problems. */
interface RefusalDescription {
  description: string;
  content: { "application/problem+json": { schema: typeof ProblemDetails } };
}

/** The `responses` of a route that says no in these ways; types of one status share an entry. */
export function refusals(...types: ProblemType[]): Record<number, RefusalDescription> {
  const described: Record<number, RefusalDescription> = {};
  for (const type of types) {
    const [status] = PROBLEMS[type];
    const words = `\`${type}\`: ${PROBLEMS[type][1]}`;
    const before = described[status]?.description;
    described[status] = {
      description: before ? `${before}; ${words}` : words,
      content: { "application/problem+json": { schema: ProblemDetails } },
    };
  }
  return described;
}

/** Names of the security schemes that routes refer to. */
export const DEVICE_SIGNATURE = [{ deviceSignature: [] }];

/** One document for the routes of the agent API and of the portal. */
export function openApiDocument(
  api: OpenAPIHono<ServerEnv>,
  portal: OpenAPIHono<ServerEnv>,
  urls: { publicUrl: string; portalUrl: string },
) {
  const document = api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Device Trust agent server",
      version: "1",
      description: "Device API, admin API and portal. Refusals are RFC 9457 problems.",
    },
    servers: [{ url: urls.publicUrl }],
  });
  const { paths: portalPaths = {}, components } = portal.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Portal", version: "1" },
  });
  const servers = [{ url: urls.portalUrl }];
  const ofPortal = Object.fromEntries(
    Object.entries(portalPaths).map(([path, item]) => [path, { ...item, servers }]),
  );
  return {
    ...document,
    paths: { ...document.paths, ...ofPortal },
    components: {
      ...document.components,
      schemas: { ...document.components?.schemas, ...components?.schemas },
      securitySchemes: SECURITY_SCHEMES,
    },
  };
}

const SECURITY_SCHEMES = {
  deviceSignature: {
    type: "apiKey",
    in: "header",
    name: "Signature",
    description: "HTTP message signature (RFC 9421) with label `device`, and `leaf` in a renewal",
  },
  adminToken: { type: "http", scheme: "bearer" },
};

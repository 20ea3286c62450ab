/** The contract at `/openapi.json`, held against what is asked and answered, for tests. */
import addFormats from "ajv-formats";
import { Ajv2020 } from "ajv/dist/2020.js";
import assert from "node:assert/strict";
import { z } from "zod";
import { PROBLEM_PREFIX } from "../agent/contract.ts";

const PROBLEM = "application/problem+json";

const Content = z.record(z.string(), z.object({ schema: z.unknown() }));

const Parameter = z.object({
  name: z.string(),
  in: z.enum(["path", "query", "header"]),
  required: z.boolean().default(false),
  schema: z.unknown(),
});

const Operation = z.object({
  operationId: z.string().optional(),
  summary: z.string().min(1),
  security: z.array(z.record(z.string(), z.array(z.string()))).default([]),
  parameters: z.array(Parameter).default([]),
  requestBody: z.object({ required: z.boolean().default(false), content: Content }).optional(),
  responses: z.record(
    z.string().regex(/^[1-5]\d\d$/),
    z.object({
      description: z.string().min(1),
      headers: z.record(z.string(), z.object({ schema: z.unknown() })).default({}),
      content: Content.default({}),
    }),
  ),
});

const Servers = z.array(z.object({ url: z.string() }));

const Document = z.object({
  openapi: z.string(),
  servers: Servers,
  paths: z.record(
    z.string().startsWith("/"),
    z.strictObject({
      get: Operation.optional(),
      put: Operation.optional(),
      post: Operation.optional(),
      delete: Operation.optional(),
      servers: Servers.optional(),
    }),
  ),
  components: z.object({
    schemas: z.record(z.string(), z.unknown()),
    securitySchemes: z.record(z.string(), z.unknown()),
  }),
});

/** One method of one path. */
export interface DescribedOperation extends z.infer<typeof Operation> {
  /** For instance `PUT /admin/v1/settings`. */
  name: string;
  method: string;
  path: string;
  servers: string[];
}

/** A contract, and which of its answers were seen. */
export class Contract {
  readonly document: z.infer<typeof Document>;
  readonly operations: DescribedOperation[];
  readonly #ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
  readonly #seen = new Set<string>();

  constructor(json: Record<string, unknown>) {
    this.document = Document.parse(json);
    const { servers: usual, paths } = this.document;
    this.operations = Object.entries(paths).flatMap(([path, { servers = usual, ...item }]) =>
      Object.entries(item).flatMap(([method, operation]) => {
        if (operation === undefined) return [];
        const name = `${method.toUpperCase()} ${path}`;
        return [{ ...operation, name, method, path, servers: servers.map(({ url }) => url) }];
      })
    );
    addFormats.default(this.#ajv);
    // The document as a whole is no schema; OpenAPI adds `example` to what schemas may say.
    this.#ajv.addVocabulary([...Object.keys(json), "example"]);
    this.#ajv.addSchema(json, "openapi.json");
  }

  /** Answers that the document lists, as `METHOD PATH STATUS`; of a problem, its type behind it. */
  listed(): string[] {
    return this.operations.flatMap(({ name, responses }) =>
      Object.entries(responses).flatMap(([status, { content, description }]) => {
        if (!content[PROBLEM]) return `${name} ${status}`;
        const types = [...description.matchAll(/`([a-z-]+)`: /g)].map(([, type]) => type);
        assert.ok(types.length > 0, `${name} ${status} names no problem`);
        return types.map((type) => `${name} ${status} ${type}`);
      })
    ).sort();
  }

  /** Those of {@link listed} that were seen by {@link check}. */
  seen(): string[] {
    return [...this.#seen].sort();
  }

  /** Asserts that the document describes this exchange. Reads both bodies. */
  async check(request: Request, response: Response): Promise<void> {
    const operation = this.#find(request);
    const { status } = response;
    const what = `${request.method} ${request.url} ${status}`;
    assert.ok(operation.responses[status], `${what} is not listed`);
    const type = await this.#checkAnswer(operation, response, what);
    this.#seen.add(`${operation.name} ${status}${type === undefined ? "" : ` ${type}`}`);
    // What is refused for its form, or before anybody looks at that, may have any.
    if (![401, 403, 404, 413, 422].includes(status)) {
      this.#checkParameters(operation, request, what);
      await this.#checkBody(operation, request, what);
    }
  }

  #find(request: Request): DescribedOperation {
    const { origin, pathname } = new URL(request.url);
    const [found] = this.operations
      .filter(({ method, path, servers }) =>
        method === request.method.toLowerCase() && servers.includes(origin) &&
        templatePattern(path).test(pathname)
      )
      .sort((a, b) => a.path.split("{").length - b.path.split("{").length);
    assert.ok(found, `no operation for ${request.method} ${request.url}`);
    return found;
  }

  /** Gives the type of a problem. */
  async #checkAnswer(
    operation: DescribedOperation,
    response: Response,
    what: string,
  ): Promise<string | undefined> {
    const { status } = response;
    const { content = {}, headers = {}, description = "" } = operation.responses[status] ?? {};
    const at = ["paths", operation.path, operation.method, "responses", `${status}`];
    for (const name of Object.keys(headers)) {
      this.#validate([...at, "headers", name, "schema"], response.headers.get(name), what);
    }
    const text = await response.text();
    const type = mediaType(response.headers);
    if (Object.keys(content).length === 0) {
      assert.deepEqual([text, type], ["", ""], `${what} has a body that is not described`);
      return undefined;
    }
    assert.ok(content[type], `${what}: media type '${type}' is not listed`);
    const body: unknown = type.endsWith("json") ? JSON.parse(text) : text;
    this.#validate([...at, "content", type, "schema"], body, what);
    if (type !== PROBLEM) return undefined;
    const problem = z.object({ type: z.string().startsWith(PROBLEM_PREFIX) }).parse(body);
    const name = problem.type.slice(PROBLEM_PREFIX.length);
    assert.ok(description.includes(`\`${name}\`: `), `${what}: ${name} is not described`);
    return name;
  }

  #checkParameters(operation: DescribedOperation, request: Request, what: string): void {
    const { pathname, searchParams } = new URL(request.url);
    const values = templatePattern(operation.path).exec(pathname)?.groups ?? {};
    const declared = operation.parameters.filter((parameter) => parameter.in === "query");
    for (const name of searchParams.keys()) {
      assert.ok(declared.some((parameter) => parameter.name === name), `${what}: '${name}'`);
    }
    for (const [index, parameter] of operation.parameters.entries()) {
      const value = {
        path: values[parameter.name],
        query: searchParams.get(parameter.name) ?? undefined,
        header: request.headers.get(parameter.name) ?? undefined,
      }[parameter.in];
      if (value === undefined && !parameter.required) continue;
      const at = ["paths", operation.path, operation.method, "parameters", `${index}`, "schema"];
      this.#validate(at, value, `${what}, ${parameter.name}`);
    }
  }

  async #checkBody(operation: DescribedOperation, request: Request, what: string) {
    const text = await request.text();
    const { requestBody } = operation;
    if (text === "") {
      assert.ok(!requestBody?.required, `${what} needs a body`);
      return;
    }
    const type = mediaType(request.headers);
    assert.ok(requestBody?.content[type], `${what} takes no ${type}`);
    const at = ["paths", operation.path, operation.method, "requestBody", "content", type];
    this.#validate([...at, "schema"], JSON.parse(text), what);
  }

  /** Asserts that the schema at that place of the document takes `value`. */
  #validate(place: readonly string[], value: unknown, what: string): void {
    const pointer = place.map((part) =>
      encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))
    );
    const validate = this.#ajv.compile({ $ref: `openapi.json#/${pointer.join("/")}` });
    assert.ok(validate(value), `${what}: ${JSON.stringify(validate.errors)}`);
  }
}

/** Every `$ref` of a document. */
export function references(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(references);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key === "$ref" && typeof member === "string" ? [member] : references(member)
  );
}

function templatePattern(path: string): RegExp {
  return new RegExp(`^${path.replace(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`);
}

function mediaType(headers: Headers): string {
  return headers.get("content-type")?.split(";")[0]?.trim() ?? "";
}

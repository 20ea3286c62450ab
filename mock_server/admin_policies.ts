/** Admin API: access policies, and a dry run of them. */
import { createRoute, z } from "@hono/zod-openapi";
import { Uuid } from "../agent/contract.ts";
import {
  ADMIN_TOKEN,
  type AdminApp,
  adminRefusals,
  answerOf,
  bodyOf,
  bodyRefusals,
  ListQuery,
  pageOfItems,
} from "./admin_routes.ts";
import { newUuid, recordEvent, type ServerContext } from "./context.ts";
import { pageOf } from "./paging.ts";
import {
  evaluate,
  EvaluationRequest,
  Policy,
  PolicyBody,
  PolicyDecision,
  storedPolicy,
} from "./policy.ts";
import { RequestProblem } from "./problems.ts";

const PATH = "/admin/v1/policies";

const PolicyParam = z.object({ policyId: Uuid });

/** A policy as a list shows it can be sent back as it is. */
const PolicyReplacement = z.strictObject({ ...PolicyBody.shape, policyId: Uuid.optional() })
  .openapi("PolicyReplacement");

const listRoute = createRoute({
  method: "get",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Policies",
  request: { query: ListQuery },
  responses: { 200: pageOfItems(Policy), ...adminRefusals("invalid") },
});

const addRoute = createRoute({
  method: "post",
  path: PATH,
  security: ADMIN_TOKEN,
  summary: "Add a policy",
  request: bodyOf(PolicyBody),
  responses: { 201: answerOf("The policy", Policy), ...bodyRefusals() },
});

const replaceRoute = createRoute({
  method: "put",
  path: `${PATH}/{policyId}`,
  security: ADMIN_TOKEN,
  summary: "Replace a policy",
  request: { params: PolicyParam, ...bodyOf(PolicyReplacement) },
  responses: { 200: answerOf("The policy", Policy), ...bodyRefusals("not-found") },
});

const deleteRoute = createRoute({
  method: "delete",
  path: `${PATH}/{policyId}`,
  security: ADMIN_TOKEN,
  summary: "Delete a policy",
  request: { params: PolicyParam },
  responses: { 204: { description: "Deleted" }, ...adminRefusals("not-found") },
});

const evaluateRoute = createRoute({
  method: "post",
  path: `${PATH}/evaluate`,
  security: ADMIN_TOKEN,
  summary: "What the policies would decide about a request, and why; changes nothing",
  request: bodyOf(EvaluationRequest),
  responses: {
    200: answerOf("The decision", PolicyDecision),
    ...bodyRefusals("not-found"),
  },
});

/** Adds the routes of policies. */
export function policyRoutes(app: AdminApp, context: ServerContext): void {
  const { store } = context;
  app.openapi(evaluateRoute, (c) => {
    const policies = store.policies.all().map(storedPolicy);
    return c.json(dryRun(context, policies, c.req.valid("json")), 200);
  });
  app.openapi(listRoute, (c) => {
    const { items, nextCursor } = store.policies.list(pageOf(c.req.valid("query")));
    return c.json({ items: items.map(storedPolicy), nextCursor }, 200);
  });
  app.openapi(addRoute, (c) => {
    return c.json(addPolicy(context, c.req.valid("json")), 201);
  });
  app.openapi(replaceRoute, (c) => {
    const { policyId } = c.req.valid("param");
    const { policyId: named, ...body } = c.req.valid("json");
    if (named !== undefined && named !== policyId) {
      throw new RequestProblem("invalid", "json.policyId: is not the policy of the path");
    }
    return c.json(replacePolicy(context, policyId, body), 200);
  });
  app.openapi(deleteRoute, (c) => {
    deletePolicy(context, c.req.valid("param").policyId);
    return c.body(null, 204);
  });
}

/**
 * What `policies` would decide about a request that is only imagined. Throws `not-found` when
 * nobody has its e-mail address.
 */
export function dryRun(
  { store }: ServerContext,
  policies: readonly Policy[],
  { user: email, ...request }: z.infer<typeof EvaluationRequest>,
): PolicyDecision {
  const user = store.users.byEmail(email);
  if (!user) throw new RequestProblem("not-found", `No user has the e-mail address '${email}'`);
  const { userId, groups } = user;
  const { defaultDecision } = store.settings.current;
  return evaluate(policies, { ...request, userId, groups }, defaultDecision);
}

/** Adds a policy. */
export function addPolicy(context: ServerContext, body: PolicyBody): Policy {
  return put(context, "policy.created", newUuid(context.random), body);
}

/** Replaces a policy. Throws `not-found`. */
export function replacePolicy(
  context: ServerContext,
  policyId: string,
  body: PolicyBody,
): Policy {
  if (!context.store.policies.get(policyId)) throw noPolicy(policyId);
  return put(context, "policy.changed", policyId, body);
}

/** Deletes a policy. Throws `not-found`. */
export function deletePolicy(context: ServerContext, policyId: string): void {
  const { store } = context;
  store.transaction(() => {
    if (!store.policies.delete(policyId)) throw noPolicy(policyId);
    recordEvent(context, "policy.deleted", {}, { policyId });
  });
}

function put(context: ServerContext, type: string, policyId: string, body: PolicyBody): Policy {
  const policy = { policyId, ...body };
  context.store.transaction(() => {
    context.store.policies.put(policyId, body, context.now().getTime());
    recordEvent(context, type, {}, { policy });
  });
  return policy;
}

function noPolicy(policyId: string): RequestProblem {
  return new RequestProblem("not-found", `There is no policy ${policyId}`);
}

/** What a monitoring system reads at `/metrics`: Prometheus text (exposition format 0.0.4). */
import type { MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import { hasAdminToken } from "./admin_token.ts";
import { cidrContains } from "./cidr.ts";
import type { Peer, ServerContext, ServerEnv } from "./context.ts";
import { RequestProblem } from "./problems.ts";

/** Counts requests by route and status, and writes all figures of a server. */
export class Metrics {
  readonly #requests = new Map<string, number>();

  constructor(private readonly context: ServerContext) {}

  /** Counts every request that passes through. */
  count(): MiddlewareHandler<ServerEnv> {
    return async (c, next) => {
      await next();
      const route = matchedRoutes(c).findLast(({ method }) => method !== "ALL")?.path ?? "none";
      const labels = `method="${c.req.method}",route="${route}",status="${c.res.status}"`;
      this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    };
  }

  /** The figures as text. */
  text(): string {
    const { store, changes, now } = this.context;
    const on = store.settings.current.globalCertificateDistribution;
    const requests = [...this.#requests].map(([labels, count]) => ({ labels, value: count }));
    return [
      metric("http_requests_total", "counter", "Requests that were answered", requests),
      gauge("held_requests", "Requests for the desired state that are being held", changes.size),
      gauge("devices", "Devices that are enrolled", store.devices.count()),
      gauge("managed_users", "Bindings of a user to an account", store.bindings.count()),
      gauge(
        "live_leaves",
        "Leaves that are neither revoked nor expired",
        store.certificates.countLive(now().getTime()),
      ),
      gauge("distribution_enabled", "Global Certificate Distribution", on ? 1 : 0),
    ].join("");
  }
}

/** Whether figures may be shown: with the admin token, or to this machine when no proxy asks. */
export function requireMetricsReader(
  context: ServerContext,
  peer: Peer,
  header: (name: string) => string | undefined,
): void {
  const proxied = header("x-forwarded-for") !== undefined || header("forwarded") !== undefined;
  if (!proxied && LOOPBACK.some((range) => cidrContains(range, peer.address))) return;
  if (hasAdminToken(context, header("authorization"))) return;
  throw new RequestProblem("unauthorized", "Send the admin token, or ask from this machine", {
    headers: { "www-authenticate": 'Bearer realm="device-trust"' },
  });
}

const LOOPBACK = ["127.0.0.0/8", "::1/128"];

interface Sample {
  labels?: string;
  value: number;
}

function gauge(name: string, help: string, value: number): string {
  return metric(name, "gauge", help, [{ value }]);
}

function metric(name: string, type: string, help: string, samples: Sample[]): string {
  const full = `device_trust_server_${name}`;
  const lines = samples.map(({ labels, value }) =>
    `${full}${labels ? `{${labels}}` : ""} ${value}`
  );
  return [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`, ...lines, ""].join("\n");
}

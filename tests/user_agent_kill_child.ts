/**
 * One run of the user-agent over a real NSS database and the agent's channel, killed at the n-th
 * time that it reaches out to either (0: never). Arguments: home, socket, n.
 */
import { socketExchange } from "../agent/exchange.ts";
import { openLocalClient } from "../agent/local_client.ts";
import { runUserAgent } from "../agent/user_agent.ts";
import { openNssdb, removeCreatedPaths } from "../platform/linux/nssdb.ts";

const [home = "", socket = "", n = "0"] = Deno.args;
const killAt = Number(n);

let steps = 0;
function step(): void {
  if (++steps === killAt) Deno.kill(Deno.pid, "SIGKILL");
}

/** The same object, with a step before and after each call of a method. */
function stepping<T extends object>(real: T): T {
  return new Proxy(real, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        step();
        const result: unknown = member.apply(target, args);
        if (!(result instanceof Promise)) return result;
        return result.then((value) => {
          step();
          return value;
        });
      };
    },
  });
}

const client = openLocalClient(socketExchange(socket));
const result = await runUserAgent({
  client: stepping(client),
  stateDir: `${home}/.local/state/device-trust`,
  checkHome: () => Promise.resolve(),
  openStore: (options) =>
    stepping(openNssdb({
      home,
      ...options,
      recordPath(created) {
        step();
        options.recordPath(created);
        step();
      },
    })),
  async removeCreated(created) {
    step();
    return await removeCreatedPaths(created);
  },
  runningBrowsers: () => Promise.resolve([]),
  now: Date.now,
  random: Math.random,
  sleep: () => Promise.resolve(),
});
client.close();
Deno.exit(result === "done" ? 0 : 4);

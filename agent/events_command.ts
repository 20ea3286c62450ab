/** `events`: the audit log. */
import { Problem } from "../platform/errors.ts";
import { devicePlatform } from "../platform/platform.ts";
import { eventsText, readEventLog } from "./event_log.ts";
import { EXIT } from "./exit.ts";
import type { Output } from "./output.ts";
import { parseSince } from "./since.ts";
import { readable } from "./status.ts";
import { jsonText } from "./text_lines.ts";

/** What to show. */
export interface EventsOptions {
  since?: string | undefined;
  json: boolean;
}

/**
 * 0 shown, 3 not enrolled: what is left of the time before is shown all the same.
 *
 * @throws UsageError, Problem for who may not read the log
 */
export async function eventsCommand(
  root: string | undefined,
  { since, json }: EventsOptions,
  output: Output,
): Promise<number> {
  const from = since === undefined ? 0 : parseSince(since, Date.now());
  const platform = await devicePlatform(root);
  const path = `${platform.paths.stateDir}/state.db`;
  const there = readable(path);
  if (there === "denied") {
    throw new Problem("internal", "The audit log is for root's eyes: sudo device-trust events");
  }
  const { enrolled, events } = there === "absent"
    ? { enrolled: false, events: [] }
    : readEventLog(path, from, await platform.system());
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  output.out(json ? jsonText({ events }) : eventsText(events, color));
  if (enrolled) return EXIT.done;
  output.err(
    events.length === 0
      ? "This device is not enrolled.\n"
      : "This device is not enrolled; these events are of the time before.\n",
  );
  return EXIT.notEnrolled;
}

/** `status`: reads, prints, and with `--watch` goes on doing so. It is asked for often: no library. */
import { devicePlatform } from "../platform/platform.ts";
import { endSignal } from "./end_signal.ts";
import { EXIT } from "./exit.ts";
import type { Output } from "./output.ts";
import { pause } from "./pause.ts";
import { readStatus, statusExitCode, type StatusReport } from "./status.ts";
import { statusText } from "./status_text.ts";
import { jsonLine, jsonText } from "./text_lines.ts";

/** How often `--watch` looks, milliseconds. */
const WATCH_PAUSE = 2000;

/** ECMA-48: cursor to the first place, and everything erased. */
const CLEAR = "\x1b[H\x1b[2J";

/** How the status is to be shown. */
export interface StatusOptions {
  json: boolean;
  watch: boolean;
}

/** 0 all is well, 3 not enrolled, 4 something needs attention; `--watch` ends with 0. */
export async function statusCommand(
  root: string | undefined,
  { json, watch }: StatusOptions,
  output: Output,
): Promise<number> {
  const platform = await devicePlatform(root);
  const read = () => readStatus(platform, Date.now);
  const isTerminal = Deno.stdout.isTerminal();
  const view = {
    color: isTerminal && !Deno.noColor,
    command: root === undefined ? "device-trust" : `device-trust --root ${root}`,
  };
  const text = (report: StatusReport) => statusText(report, { ...view, now: Date.now() });
  if (!watch) {
    const report = await read();
    output.out(json ? jsonText(report.status) : text(report));
    return statusExitCode(report);
  }
  const signal = endSignal();
  let shown: string | undefined;
  let isRead = true;
  while (isRead && !signal.aborted) {
    const report = await read();
    // What only time changes is news on a terminal alone.
    const news = json
      ? jsonLine(report.status)
      : isTerminal
      ? CLEAR + text(report)
      : JSON.stringify(report);
    if (news !== shown) isRead = output.out(json || isTerminal ? news : `${text(report)}\n`);
    shown = news;
    if (isRead) await pause(WATCH_PAUSE, signal);
  }
  return EXIT.done;
}

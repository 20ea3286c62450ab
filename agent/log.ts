/**
 * Logs: text on a terminal, one JSON object a line otherwise (the journal, a file), on standard
 * error. Written here in a few lines because the resident agent keeps its logger in memory for
 * years, and the library measured at 7 MB of the 50 that it may use.
 */
import { oneLine } from "./text_lines.ts";

/** Levels, least to most serious. */
export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
/** One of {@link LOG_LEVELS}. */
export type LogLevel = typeof LOG_LEVELS[number];

/** Whether a text names a level. */
export function isLogLevel(text: string | undefined): text is LogLevel {
  return LOG_LEVELS.some((level) => level === text);
}

/** What an entry tells beside its event; never a secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Writes log entries. Events are stable dotted names, such as `leaf.installed`. */
export type Log = Record<LogLevel, (event: string, fields?: LogFields) => void>;

/** Where and what to log. */
export interface LogOptions {
  level: LogLevel;
  /** Text for people instead of JSON. */
  text: boolean;
  write: (line: string) => void;
  now: () => number;
}

/** Makes a log; with nothing given it writes to standard error from level `info`. */
export function openLog(
  options: { [K in keyof LogOptions]?: LogOptions[K] | undefined } = {},
): Log {
  const { level = "info", text = Deno.stderr.isTerminal(), now = Date.now } = options;
  const write = options.write ?? writeToStandardError;
  const least = LOG_LEVELS.indexOf(level);
  const entry = (at: LogLevel) => (event: string, fields: LogFields = {}) => {
    if (LOG_LEVELS.indexOf(at) < least) return;
    const time = new Date(now()).toISOString();
    write(
      text
        ? `${time} ${at} ${event}${textFields(fields)}\n`
        : `${JSON.stringify({ time, level: at, event, ...fields })}\n`,
    );
  };
  return {
    debug: entry("debug"),
    info: entry("info"),
    warning: entry("warning"),
    error: entry("error"),
  };
}

function textFields(fields: LogFields): string {
  return Object.entries(fields).filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${oneLine(String(value))}`)
    .join("");
}

/** Writes a line, waiting for whoever reads it. */
export function writeToStandardError(line: string): void {
  let bytes = new TextEncoder().encode(line);
  while (bytes.length > 0) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
}

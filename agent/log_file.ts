/**
 * The log as files, for where the system keeps no journal of what an agent writes to standard error
 * (Windows). A process has a file of its own; the newest entries of the last 5 MiB are kept.
 */
import { isThere } from "../platform/presence.ts";
import { type Log, type LogLevel, openLog, writeToStandardError } from "./log.ts";

/** Longest file, bytes, and how many there are of one process. */
const FILE_BYTES = 1024 * 1024;
const FILES = 5;

/**
 * The log of one of the agent's processes: on standard error, and with a folder in its files too
 * unless somebody watches at a terminal.
 *
 * @param name of the process, the files' name
 */
export function openProcessLog(
  level: LogLevel | undefined,
  folder: string | undefined,
  name: "agent" | "worker",
): Log {
  if (folder === undefined || Deno.stderr.isTerminal()) return openLog({ level });
  const file = rotatedFile(folder, name);
  const write = (line: string) => {
    file(line);
    try {
      writeToStandardError(line);
    } catch {
      // A task has nobody who would read that.
    }
  };
  return openLog({ level, text: false, write });
}

/** What appends to `NAME.log` in a folder, the files before it being `NAME.1.log` and so on. */
export function rotatedFile(
  folder: string,
  name: string,
  { bytes, files }: { bytes: number; files: number } = { bytes: FILE_BYTES, files: FILES },
): (line: string) => void {
  const path = (age: number) => `${folder}/${name}${age === 0 ? "" : `.${age}`}.log`;
  return (line) => {
    try {
      if (sizeOf(path(0)) + line.length > bytes) {
        if (isThere(path(files - 1))) Deno.removeSync(path(files - 1));
        for (let age = files - 2; age >= 0; age--) {
          if (isThere(path(age))) Deno.renameSync(path(age), path(age + 1));
        }
      }
      Deno.writeTextFileSync(path(0), line, { append: true, mode: 0o600 });
    } catch {
      // A full disk, or a reader that holds the file: what is logged must not stop what is done.
    }
  };
}

function sizeOf(path: string): number {
  return isThere(path) ? Deno.statSync(path).size : 0;
}

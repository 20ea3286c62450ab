/** The ends of log files, for a support bundle. */
import fs from "node:fs";
import { join } from "node:path";

const LOG_BYTES = 64 * 1024;
const LOG_FILES = 5;

/** The newest log files' ends, each under its name; none where there is no such folder. */
export function endsOfLogs(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder).sort().slice(-LOG_FILES)
    .map((name) => join(folder, name))
    .filter((path) => fs.lstatSync(path).isFile())
    .map((path) => `== ${path}\n${endOf(path)}`);
}

function endOf(path: string): string {
  const fd = fs.openSync(path, "r");
  try {
    const { size } = fs.fstatSync(fd);
    const bytes = new Uint8Array(Math.min(size, LOG_BYTES));
    const length = fs.readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    fs.closeSync(fd);
  }
}

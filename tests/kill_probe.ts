/**
 * Preloaded before this program's own modules (`deno run --preload`): numbers each change that the
 * process is about to make to the world outside it, and kills it at the one that was planned
 * (kill_plan.ts). Between two numbers nothing outside changes, so that a kill at any instant is a
 * kill at one of them.
 */
import fs from "node:fs";
import { DatabaseSync, StatementSync } from "node:sqlite";
import { kill, plannedFor, probedWorker } from "./kill_plan.ts";

const [, root = "", role = ""] = Deno.args;
const planned = plannedFor(root, role);
let changes = 0;

/** Replaces functions of a module or class by ones that number their calls. */
function number<T extends object>(owner: T, ...names: (keyof T & string)[]): void {
  for (const name of names) {
    const real: unknown = Reflect.get(owner, name);
    if (typeof real !== "function") throw new Error(`There is no function ${name}.`);
    Reflect.set(owner, name, function (this: unknown, ...args: unknown[]): unknown {
      const [text = ""] = args.filter((value) => typeof value === "string");
      if (isChange(text) && ++changes === planned) kill(root, `${name} ${text}`);
      return Reflect.apply(real, this, args);
    });
  }
}

/** Of a transaction its end counts: until then nothing has changed. */
function isChange(sql: string): boolean {
  return !/^(BEGIN|ROLLBACK|PRAGMA journal_mode)/.test(sql);
}

number(DatabaseSync.prototype, "exec");
number(StatementSync.prototype, "run");
number(fs, "writeSync", "renameSync", "unlinkSync", "rmSync", "rmdirSync", "mkdirSync");
number(fs, "utimesSync");
number(Deno, "remove", "removeSync", "writeTextFileSync", "chownSync", "listen", "serve");
number(globalThis, "fetch");
number(Deno.Command.prototype, "output", "spawn");

const { Command } = Deno;
Deno.Command = class extends Command {
  constructor(command: string | URL, options: Deno.CommandOptions = {}) {
    super(command, { ...options, args: probedWorker(options.args ?? []) });
  }
};

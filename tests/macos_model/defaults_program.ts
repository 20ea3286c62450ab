/**
 * A strict model of `defaults`, of those forms that the product uses (its manual page): a value
 * stands behind the letter of its kind, as others are parsed and may come out as something else.
 */
import { type PropertyList, writePropertyList } from "../../platform/macos/property_list.ts";
import type { MacState } from "./model_state.ts";
import type { ProgramResult } from "./security_program.ts";
import { failed, forbidden, printed } from "./system_programs.ts";

/** Runs the program. */
export function runDefaults(state: MacState, args: readonly string[]): ProgramResult {
  const [verb, domain = "", ...rest] = args;
  const preferences = state.preferences[domain];
  switch (verb) {
    case "export":
      if (rest.length !== 1 || rest[0] !== "-") throw forbidden("defaults", args);
      return preferences
        ? printed(writePropertyList(preferences))
        : failed(1, `\nDomain ${domain} does not exist\n`);
    case "read": {
      const [key = "", ...more] = rest;
      if (!domain.startsWith("/") || more.length > 0) throw forbidden("defaults", args);
      const value = preferences?.[key];
      return value === undefined
        ? failed(1, `The domain/default pair of (${domain}, ${key}) does not exist\n`)
        : printed(`${value}\n`);
    }
    case "delete": {
      const [key = "", ...more] = rest;
      if (key === "" || more.length > 0) throw forbidden("defaults", args);
      if (preferences?.[key] === undefined) {
        return failed(1, `Domain (${domain}) not found.\nDefaults have not been changed.\n`);
      }
      delete preferences[key];
      return printed("");
    }
    case "write":
      return write(state, domain, rest, args);
    default:
      throw forbidden("defaults", args);
  }
}

function write(
  state: MacState,
  domain: string,
  [key = "", kind, ...values]: readonly string[],
  args: readonly string[],
): ProgramResult {
  if (domain.startsWith("/") || (kind !== "-array" && kind !== "-array-add")) {
    throw forbidden("defaults", args);
  }
  const texts: string[] = [];
  for (let at = 0; at < values.length; at += 2) {
    const text = values[at + 1];
    if (values[at] !== "-string" || text === undefined) throw forbidden("defaults", args);
    texts.push(text);
  }
  const preferences = state.preferences[domain] ??= {};
  const before = preferences[key];
  if (kind === "-array-add" && before !== undefined && !Array.isArray(before)) {
    return failed(
      1,
      `Value for key ${key} is not an array; cannot append.  Leaving defaults unchanged.\n`,
    );
  }
  const kept: PropertyList[] = kind === "-array-add" && Array.isArray(before) ? before : [];
  preferences[key] = [...kept, ...texts];
  return printed("");
}

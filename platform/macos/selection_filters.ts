/** The filters of one user's browsers: Chromium's by issuer, Safari's by certificate. */
import type { UserFilters } from "../filters.ts";
import {
  removeChromiumFilters,
  type UserPreferences,
  writeChromiumFilters,
} from "./chromium_filters.ts";
import { keychainPath } from "./keychain_file.ts";
import { preferLeaf, removePreferences } from "./safari_filters.ts";
import { SecurityTool } from "./security_command.ts";

/** The user's filters. */
export function userFilters(world: UserPreferences): UserFilters {
  const tool = new SecurityTool(world);
  return {
    write: (desired, ledger) => writeChromiumFilters(desired, world, ledger),
    async prefer(desired, leaf, ours, ledger) {
      const keychain = keychainPath(world.home, desired.brand);
      return [await preferLeaf(desired, leaf, { tool, keychain, ours, ledger })];
    },
    async remove(ledger) {
      const safari = await removePreferences(tool, ledger);
      const chromium = await removeChromiumFilters(world, ledger);
      return {
        removed: [...safari.removed, ...chromium.removed],
        left: [...safari.left, ...chromium.left],
      };
    },
  };
}

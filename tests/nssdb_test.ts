/** nssdb against what others see: certutil, pk12util, sqlite, locks, full disks, odd homes. */
import { openNssdb } from "../platform/linux/nssdb.ts";
import { trustStoreContract } from "./trust_store_contract.ts";

trustStoreContract("nssdb", () => {
  const home = Deno.makeTempDirSync();
  return {
    open: () => openNssdb({ home, recordPath() {} }),
    dispose: () => Deno.removeSync(home, { recursive: true }),
  };
});

trustStoreContract("nssdb with a snap and a flatpak", () => {
  const home = Deno.makeTempDirSync();
  Deno.mkdirSync(`${home}/snap/chromium/7`, { recursive: true });
  Deno.symlinkSync("7", `${home}/snap/chromium/current`);
  Deno.mkdirSync(`${home}/.var/app/org.chromium.Chromium/data/pki/nssdb`, { recursive: true });
  return {
    open: () => openNssdb({ home, recordPath() {} }),
    dispose: () => Deno.removeSync(home, { recursive: true }),
  };
});

import { emptyMemoryStore, openMemoryStore } from "./memory_store.ts";
import { trustStoreContract } from "../tests/trust_store_contract.ts";

trustStoreContract("memory", () => {
  const state = emptyMemoryStore();
  return { open: () => openMemoryStore(state), dispose() {} };
});

/** Failures of NSS, as exceptions. */
import type { Handle } from "./nss_memory.ts";
import { NSPR_SYMBOLS } from "./nss_symbols.ts";

/** A call into NSS that did not do what it was asked. */
export class NssError extends Error {
  override readonly name = "NssError";
  /** @param code PR_GetError() after the call; 0 when NSS gave no reason */
  constructor(readonly call: string, readonly code: number, codeName: string | undefined) {
    super(`${call} failed: ${codeName ?? "no reason given"} (${code})`);
  }
}

/** libnss3 or libnspr4 is not on this machine, or not usable. */
export class NssMissing extends Error {
  override readonly name = "NssMissing";
}

/** The results of calls: what failed becomes an {@link NssError} with PR_GetError's reason. */
export class NssResults {
  readonly #nspr = Deno.dlopen("libnspr4.so", NSPR_SYMBOLS).symbols;

  /** @throws NssError unless the status is SECSuccess */
  check(call: string, status: number): void {
    if (status !== 0) throw this.failure(call);
  }

  /** @throws NssError for null */
  need(call: string, pointer: Deno.PointerValue): Handle {
    if (pointer === null) throw this.failure(call);
    return pointer;
  }

  /** A list, or undefined for an empty one: NSS answers null to both that and a failure. */
  list(call: string, make: () => Deno.PointerValue): Handle | undefined {
    this.#nspr.PR_SetError(0, 0);
    const list = make();
    if (list === null && this.#nspr.PR_GetError() !== 0) throw this.failure(call);
    return list ?? undefined;
  }

  /** Why the call just made failed. */
  failure(call: string): NssError {
    const code = this.#nspr.PR_GetError();
    const name = code === 0 ? null : this.#nspr.PR_ErrorToName(code);
    const codeName = name === null ? undefined : Deno.UnsafePointerView.getCString(name);
    return new NssError(call, code, codeName);
  }
}

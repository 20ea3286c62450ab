/** Processes that can be killed at any of their acts: before it took effect, or after. */

/** What a killed process meets at everything that it tries. */
export class Killed extends Error {
  override readonly name = "Killed";
}

/** When a process is killed. */
export interface Fuse {
  /** At the how manieth act from now. */
  acts: number;
  /** Whether that act still takes effect. */
  done: boolean;
}

/** Names of methods that change something, or tell somebody. */
const ACT = /^(save|record|forget|create|install|remove|sign|fetch|write|report|certificate)/;

/** One process. */
export class Process {
  dead = false;
  readonly #killedAt: () => void;

  /** @param fuse may be shared by processes that die together */
  constructor(private readonly fuse: Fuse | undefined, killed: () => void) {
    this.#killedAt = killed;
  }

  /** The same thing, as far as this process lives: each of its methods is a call to the world. */
  guard<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (_, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) =>
          this.#call(ACT.test(String(name)), () => Reflect.apply(value, target, args));
      },
    });
  }

  #call(isAct: boolean, work: () => unknown): unknown {
    if (this.#spent()) throw new Killed();
    if (!isAct || !this.fuse || --this.fuse.acts > 0) return work();
    this.dead = true;
    this.#killedAt();
    if (!this.fuse.done) throw new Killed();
    const result = work();
    if (!(result instanceof Promise)) throw new Killed();
    return result.then(() => {
      throw new Killed();
    });
  }

  /** Whether it is dead, or was killed with another. */
  #spent(): boolean {
    return this.dead ||= this.fuse !== undefined && this.fuse.acts <= 0;
  }
}

/** The same thing, with `refuse` called before each of its methods, to throw where it is not to be. */
export function refusing<T extends object>(target: T, refuse: (method: string) => void): T {
  return new Proxy(target, {
    get: (_, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        refuse(String(name));
        return Reflect.apply(value, target, args);
      };
    },
  });
}

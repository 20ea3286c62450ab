/** Runs of user-agents: a few at once, one a user, and once more when news came meanwhile. */

/** User-agents that run at once. */
const AT_ONCE = 4;

/** Schedules runs; one user's slow run delays nobody else's unless all places are taken. */
export class UserRuns {
  readonly #running = new Map<string, { news: boolean; done: Promise<void> }>();
  readonly #queue: (() => void)[] = [];
  #free = AT_ONCE;
  #failure: { error: unknown } | undefined;

  /**
   * @param serve runs one user's user-agent to its end; rejects when nothing can be kept of it
   * @param stillDue whether a user whose run began before the newest news needs another
   */
  constructor(
    private readonly serve: (userId: string) => Promise<void>,
    private readonly stillDue: (userId: string) => boolean,
  ) {}

  /** Starts a run, or notes that there is news for the one that runs. */
  start(userId: string): void {
    const running = this.#running.get(userId);
    if (running) {
      running.news = true;
      return;
    }
    const run = { news: false, done: Promise.resolve() };
    run.done = this.#inTurn(userId).catch((error) => {
      this.#failure ??= { error };
    }).finally(() => {
      this.#running.delete(userId);
      if (run.news && this.stillDue(userId)) this.start(userId);
    });
    this.#running.set(userId, run);
  }

  /** Whether somebody's run goes on, or waits for its turn, beside this user's. */
  othersRun(userId: string): boolean {
    return this.#running.size > (this.#running.has(userId) ? 1 : 0);
  }

  /** Resolves when no run is left; then throws what the first of them failed with. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.all([...this.#running.values()].map((run) => run.done));
    }
    if (this.#failure) throw this.#failure.error;
  }

  async #inTurn(userId: string): Promise<void> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#free--;
    try {
      await this.serve(userId);
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** Times, states and numbers as people read them. */
import type { PropsWithChildren } from "hono/jsx";
import type { UserState } from "../../agent/contract.ts";

/** How something stands; always said in words too. */
export type Tone = "good" | "warn" | "bad" | "plain";

/** A state in a word or two. */
export function Badge({ tone, children }: PropsWithChildren<{ tone: Tone }>) {
  return <span class={tone === "plain" ? "badge" : `badge ${tone}`}>{children}</span>;
}

/** An instant, in UTC to the minute; with `now` how far away it is, too. */
export function When({ at, now }: { at: number | string; now?: number }) {
  const date = new Date(at);
  return (
    <>
      <time datetime={date.toISOString()} class="nowrap">{DATE.format(date)} UTC</time>
      {now === undefined ? null : (
        <>
          {" "}
          <span class="hint">{distance(date.getTime() - now)}</span>
        </>
      )}
    </>
  );
}

/** How far away an instant is: `in 3 days`, `2 minutes ago`. */
export function distance(milliseconds: number): string {
  const seconds = Math.abs(milliseconds) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? ["second", 1];
  if (seconds < 10) return "now";
  return RELATIVE.format(Math.trunc(milliseconds / 1000 / length), unit);
}

/** `1 device`, `1,200 devices`. */
export function count(number: number, thing: string): string {
  return `${NUMBER.format(number)} ${thing}${number === 1 ? "" : "s"}`;
}

/** `1,200`. */
export function figure(number: number): string {
  return NUMBER.format(number);
}

/** Seconds as the largest units that give them exactly: `7 days`, `90 minutes`. */
export function duration(seconds: number): string {
  const [unit, length] = UNITS.find(([, length]) => seconds > 0 && seconds % length === 0) ??
    ["second", 1];
  return count(seconds / length, unit);
}

/** What a user's certificate state is called here; null before the first report. */
export const STATE_WORDS = {
  absent: { words: "None", tone: "plain" },
  waiting: { words: "Waiting", tone: "warn" },
  requesting: { words: "Requesting", tone: "plain" },
  installed: { words: "Installed", tone: "good" },
  renewing: { words: "Renewing", tone: "good" },
  removing: { words: "Being removed", tone: "warn" },
  removed: { words: "Removed", tone: "plain" },
  failed: { words: "Failed", tone: "bad" },
} as const satisfies Record<UserState, { words: string; tone: Tone }>;

/** The state of a user's certificate on a device, as last reported. */
export function State({ state }: { state: UserState | null }) {
  if (state === null) return <Badge tone="plain">Not reported yet</Badge>;
  const { words, tone } = STATE_WORDS[state];
  return <Badge tone={tone}>{words}</Badge>;
}

/** Choices of a filter by state. */
export const STATE_CHOICES: [string, string][] = [
  ["", "Any state"],
  ...Object.entries(STATE_WORDS).map(([state, { words }]): [string, string] => [state, words]),
];

/** Names of operating systems. */
export const OS_WORDS = {
  linux: "Linux",
  macos: "macOS",
  windows: "Windows",
  ios: "iOS",
  android: "Android",
  chromeos: "ChromeOS",
  other: "Other",
} as const;

const UNITS: [Intl.RelativeTimeFormatUnit & string, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const DATE = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "medium",
  timeStyle: "short",
  timeZone: "UTC",
});
const NUMBER = new Intl.NumberFormat("en-US");
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always" });

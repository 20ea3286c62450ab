/** When the fleet's certificates end, as a chart and as a table. */
import type { ServerContext } from "../context.ts";
import { Card } from "./layout.tsx";
import { count, figure } from "./words.tsx";

/** Days that have a bar of their own; what ends later shares the last one. */
const DAYS = 31;

/** Days within which a certificate that is not renewed is a worry. */
const SOON = 3;

/** A bar a day: how many current certificates end in it. */
export function ExpiryChart({ context }: { context: ServerContext }) {
  const bars = expiryBars(context);
  const total = bars.reduce((sum, number) => sum + number, 0);
  const most = Math.max(1, ...bars);
  const soon = bars.slice(0, SOON).reduce((sum, number) => sum + number, 0);
  const words = total === 0
    ? "There are no current certificates."
    : `${count(total, "current certificate")}; ` +
      (soon === 0
        ? `none ends within ${SOON} days.`
        : `${figure(soon)} of them ${soon === 1 ? "ends" : "end"} within ${SOON} days.`);
  return (
    <Card title="Certificates by expiry" lead={words}>
      {total > 0 && (
        <>
          <div
            class="chart"
            role="img"
            aria-label={`Certificates by days until they end: ${words}`}
          >
            <div class="scale" aria-hidden="true">
              <span>{figure(most)}</span>
              <span>0</span>
            </div>
            <svg viewBox={`0 0 ${DAYS * 10} 100`} preserveAspectRatio="none" aria-hidden="true">
              {bars.map((number, day) => (
                <rect
                  x={day * 10 + 1.5}
                  width={7}
                  y={100 - 96 * number / most}
                  height={96 * number / most}
                  class={day < SOON ? "soon" : undefined}
                >
                  <title>{`${dayWords(day)}: ${figure(number)}`}</title>
                </rect>
              ))}
            </svg>
            <div class="days" aria-hidden="true">
              <span>today</span>
              <span>in 10 days</span>
              <span>in 20 days</span>
              <span>30 or more</span>
            </div>
          </div>
          <details>
            <summary>The same as a table</summary>
            <table>
              <thead>
                <tr>
                  <th scope="col">Ends</th>
                  <th scope="col" class="number">Certificates</th>
                </tr>
              </thead>
              <tbody>
                {bars.map((number, day) =>
                  number > 0 && (
                    <tr>
                      <th scope="row">{dayWords(day)}</th>
                      <td class="number">{figure(number)}</td>
                    </tr>
                  )
                )}
              </tbody>
            </table>
          </details>
        </>
      )}
    </Card>
  );
}

function expiryBars({ store, now }: ServerContext): number[] {
  const bars = Array<number>(DAYS).fill(0);
  for (const { day, certificates } of store.figures.expiries(now().getTime())) {
    const bar = Math.min(day, DAYS - 1);
    bars[bar] = (bars[bar] ?? 0) + certificates;
  }
  return bars;
}

function dayWords(day: number): string {
  if (day === 0) return "within a day";
  return day === DAYS - 1 ? `in ${day} days or more` : `in ${count(day, "day")}`;
}

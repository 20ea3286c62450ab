/** The one style sheet of all pages: light and dark, from 320 pixels on, no image and no font. */
import { createHash } from "node:crypto";

/** The sheet, which pages carry in their head. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: light-dark(#f4f6f9, #0f1217); --card: light-dark(#fff, #171b22);
  --raised: light-dark(#f8f9fb, #1d222b); --text: light-dark(#1a2130, #e7eaf0);
  --muted: light-dark(#525d70, #a5afbf); --line: light-dark(#dde2ea, #2c3340);
  --edge: light-dark(#7c8799, #768197); --accent: light-dark(#2450c8, #a3bcff);
  --on-accent: light-dark(#fff, #0c1836); --accent-soft: light-dark(#e9effd, #1d2a4a);
  --good: light-dark(#12663a, #82d9a5); --good-soft: light-dark(#e4f4ea, #14301f);
  --warn: light-dark(#7d4b00, #f2c271); --warn-soft: light-dark(#fdf1dc, #382a10);
  --bad: light-dark(#a8231b, #ffa79d); --bad-soft: light-dark(#fcebe9, #3d1a17);
  font: 0.9375rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; margin: 0; text-wrap: balance; }
h1 { font-size: 1.625rem; letter-spacing: -.015em; }
h2 { font-size: 1.0625rem; }
h3 { font-size: .9375rem; }
p { margin: 0; max-width: 75ch; }
dl { margin: 0; }
ul, ol { margin: 0; padding-left: 1.2rem; }
a { color: var(--accent); text-underline-offset: .15em; }
a:hover { text-decoration-thickness: .12em; }
code, .id { font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.id { overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -100vw; background: var(--card); padding: .6rem 1rem; z-index: 1; }
.skip:focus { left: .5rem; top: .5rem; }
.muted, .hint { color: var(--muted); }
.hint { font-size: .8125rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

.top { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem;
  padding: .7rem 1.25rem; background: var(--card); border-bottom: 1px solid var(--line); }
.product { display: flex; align-items: center; gap: .6rem; font-weight: 650; color: var(--text);
  text-decoration: none; margin-right: auto; }
.product svg { width: 1.75rem; height: 1.75rem; flex: none; }
.product small { font-weight: 400; color: var(--muted); }
.shell { display: grid; grid-template-columns: minmax(0, 1fr); max-width: 90rem; margin: 0 auto; }
.side { padding: .75rem 1.25rem 0; }
.side { display: flex; flex-wrap: wrap; gap: .15rem; }
.side ul { list-style: none; padding: 0; display: contents; }
.side h2 { font-size: .6875rem; letter-spacing: .07em; text-transform: uppercase;
  color: var(--muted); }
@media (max-width: 59.99rem) { .side h2 { position: absolute; clip-path: inset(50%); } }
.side a { display: block; padding: .38rem .7rem; border-radius: 6px; color: var(--text);
  text-decoration: none; }
.side a:hover { background: light-dark(#e7ebf2, #222834); }
.side a[aria-current] { background: var(--accent-soft); color: var(--accent); font-weight: 600; }
main { padding: 1.5rem 1.25rem 4rem; display: grid; gap: 1.25rem; align-content: start;
  grid-template-columns: minmax(0, 1fr); }
@media (min-width: 60rem) {
  .shell { grid-template-columns: 15rem minmax(0, 1fr); }
  .side { padding: 1.25rem .75rem; display: block; }
  .side ul { display: grid; gap: .15rem; }
  .side h2 { margin: 1.1rem .7rem .3rem; }
  main { padding: 1.75rem 2rem 4rem; }
}

.head { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: end; }
.head > :first-child { flex: 1 1 20rem; display: grid; gap: .3rem; }
.crumbs { font-size: .8125rem; color: var(--muted); }
.tabs { border-bottom: 1px solid var(--line); }
.tabs ul { list-style: none; display: flex; flex-wrap: wrap; gap: 1.5rem; padding: 0; }
.tabs a { display: block; padding: .45rem 0; margin-bottom: -1px; color: var(--muted);
  text-decoration: none; border-bottom: 2px solid transparent; }
.tabs a:hover { color: var(--text); }
.tabs a[aria-current] { color: var(--text); font-weight: 600; border-color: var(--accent); }

.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.25rem; display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr);
  align-content: start; }
.card > header { display: grid; gap: .2rem; }
.card > header p { color: var(--muted); }
.card.flush { padding: 0; gap: 0; overflow: hidden; }
.card.flush > header, .card.flush > .pad, .card.flush > .pager { padding: 1rem 1.25rem; }
.pair { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 1fr); align-items: start; }
@media (min-width: 75rem) { .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.notice { border: 1px solid var(--line); border-left: 4px solid var(--accent);
  background: var(--accent-soft); border-radius: 8px; padding: .8rem 1rem; display: grid; gap: .4rem;
  grid-template-columns: minmax(0, 1fr); }
.notice.good { border-left-color: var(--good); background: var(--good-soft); }
.notice.warn { border-left-color: var(--warn); background: var(--warn-soft); }
.notice.bad { border-left-color: var(--bad); background: var(--bad-soft); }
.secret { display: block; padding: .6rem .8rem; background: var(--card); border-radius: 6px;
  border: 1px dashed var(--edge); user-select: all; overflow-wrap: anywhere; }

.figures { display: grid; gap: 1px; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  background: var(--line); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.figures > div { background: var(--card); padding: 1rem 1.25rem; display: grid; gap: .1rem;
  align-content: start; }
.figures dt { color: var(--muted); font-size: .8125rem; }
.figures dd { margin: 0; font-size: 1.625rem; font-weight: 650; line-height: 1.25;
  font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.figures dd + dd { font-size: .8125rem; font-weight: 400; color: var(--muted); letter-spacing: 0; }

.scroll { overflow-x: auto; position: relative; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
caption { text-align: left; }
th, td { text-align: left; vertical-align: top; padding: .6rem .55rem; }
tr > :first-child { padding-left: 1.25rem; }
tr > :last-child { padding-right: 1.25rem; }
thead th { font-size: .75rem; font-weight: 600; color: var(--muted); background: var(--raised);
  border-block: 1px solid var(--line); white-space: nowrap; }
.scroll:first-child thead th { border-top: 0; }
tbody th { font-weight: 600; }
.name { white-space: nowrap; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
td .hint, th .hint { display: block; font-weight: 400; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.nowrap { white-space: nowrap; }
.facts { display: grid; grid-template-columns: minmax(0, 1fr); gap: .1rem 1.5rem; margin: 0; }
.facts dt { color: var(--muted); font-size: .8125rem; }
.facts dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
@media (min-width: 34rem) {
  .facts { grid-template-columns: max-content minmax(0, 1fr); gap: .45rem 1.5rem; }
  .facts dt { font-size: inherit; }
  .facts dd { margin: 0; }
}

.badge { display: inline-flex; align-items: center; gap: .4em; padding: .08rem .55rem;
  border-radius: 99px; font-size: .75rem; font-weight: 600; white-space: nowrap;
  background: light-dark(#eceff4, #272e3a); color: var(--text); }
.badge::before { content: ""; width: .5em; height: .5em; border-radius: 50%; background: var(--edge); }
.badge.good { background: var(--good-soft); color: var(--good); }
.badge.good::before { background: currentColor; }
.badge.warn { background: var(--warn-soft); color: var(--warn); }
.badge.warn::before { background: currentColor; border-radius: 0; }
.badge.bad { background: var(--bad-soft); color: var(--bad); }
.badge.bad::before { background: currentColor; border-radius: 0; transform: rotate(45deg); }

form { margin: 0; }
.fields { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 40rem) { .fields.two { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.fields > .wide { grid-column: 1 / -1; }
.field { display: grid; gap: .3rem; align-content: start; grid-template-columns: minmax(0, 1fr); }
label, legend { font-weight: 600; font-size: .875rem; padding: 0; }
input:not([type=checkbox], [type=radio]), select, textarea { font: inherit; width: 100%;
  color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: 6px;
  padding: .45rem .65rem; min-height: 2.5rem; }
input:not([type=checkbox], [type=radio]), select { height: 2.5rem; }
textarea { min-height: 5.5rem; resize: vertical; }
input[type=checkbox], input[type=radio] { accent-color: var(--accent); width: 1.05rem;
  height: 1.05rem; margin: .2rem 0 0; flex: none; }
[aria-invalid=true] { border-color: var(--bad) !important; border-width: 2px !important; }
.error { color: var(--bad); font-size: .8125rem; font-weight: 600; }
fieldset { border: 0; padding: 0; margin: 0; min-width: 0; display: grid; gap: .4rem;
  align-content: start; }
.choices { display: flex; flex-wrap: wrap; gap: .35rem 1.25rem; }
.choices label, .check { display: flex; gap: .5rem; font-weight: 400; align-items: start; }
.switch { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); }
.switch label { display: flex; gap: .65rem; padding: .8rem 1rem; border: 1px solid var(--line);
  border-radius: 8px; font-weight: 600; }
.switch label:has(:checked) { border-color: var(--accent); background: var(--accent-soft); }
.switch label span span { display: block; font-weight: 400; color: var(--muted);
  font-size: .8125rem; }
.actions { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }
td .actions { gap: .35rem .9rem; }
button, .button { font: inherit; font-weight: 600; display: inline-block; cursor: pointer;
  padding: .42rem .95rem; min-height: 2.4rem; border-radius: 6px; border: 1px solid var(--edge);
  background: var(--card); color: var(--text); text-decoration: none; }
button:hover, .button:hover { background: var(--raised); border-color: var(--text); }
.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
.primary:hover { background: light-dark(#1b40a6, #c2d3ff); border-color: transparent; }
.danger { background: light-dark(#a8231b, #ffa79d); border-color: transparent;
  color: light-dark(#fff, #3a0d09); }
.danger:hover { background: light-dark(#861911, #ffc6bf); border-color: transparent; }
button.link { border: 0; background: none; padding: 0; min-height: 0; color: var(--accent);
  font-weight: 400; text-decoration: underline; text-underline-offset: .15em; }
.pager { display: flex; gap: 1rem; border-top: 1px solid var(--line); }
.inline { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; }
.inline .field { flex: 0 1 14rem; }

.chart { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem .5rem;
  font-size: .75rem; color: var(--muted); margin: 0; }
.chart svg { width: 100%; height: 9rem; display: block; border-bottom: 1px solid var(--edge); }
.chart rect { fill: light-dark(#4a72dc, #8aa8f5); }
.chart rect.soon { fill: light-dark(#b06a00, #f2c271); }
.chart .scale { display: flex; flex-direction: column; justify-content: space-between;
  text-align: right; font-variant-numeric: tabular-nums; }
.chart .days { grid-column: 2; display: flex; justify-content: space-between; }
progress { width: 100%; height: .6rem; accent-color: var(--accent); }
details > summary { cursor: pointer; color: var(--accent); }
td details { min-width: 13rem; }
td details > summary { color: var(--muted); }
details[open] > summary { margin-bottom: .5rem; }

.alone { max-width: 28rem; margin: 0 auto; padding: 3rem 1.25rem; display: grid; gap: 1.25rem;
  grid-template-columns: minmax(0, 1fr); }
.alone.wide { max-width: 40rem; }
.verdict { display: grid; grid-template-columns: minmax(0, 1fr); gap: .75rem 1.1rem;
  border-top: 4px solid var(--bad); }
.verdict[data-managed=true] { border-top-color: var(--good); }
.verdict svg { width: 2.75rem; height: 2.75rem; color: var(--bad); }
.verdict[data-managed=true] svg { color: var(--good); }
.verdict > div { display: grid; gap: .5rem; }
.verdict h2 { font-size: 1rem; }
@media (min-width: 34rem) { .verdict { grid-template-columns: max-content minmax(0, 1fr); } }
@media print { .side, .top form, .actions { display: none; } }
`;

/** The content security policy's source for it. */
export const STYLE_SOURCE = `'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`;

# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Style sheet of the HTML report: light and dark, for print and small screens. In Python, so it is always found."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #f7f8fa; --surface: #ffffff; --inset: #f3f5f8; --line: #d9dee5; --text: #1b2027; --muted: #566070;
    --accent: #2a5bd7;
  --ok: #17764a; --warning: #8d5600; --failed: #b92532; --skipped: #5f6875; --on: #ffffff;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --surface: #181c22; --inset: #20252d; --line: #353c47; --text: #e7eaee; --muted: #a4adb9;
      --accent: #8ab0ff;
    --ok: #52c48c; --warning: #e3ab4a; --failed: #ff8285; --skipped: #a0a9b5; --on: #101317;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 var(--sans); }
main, header, footer { max-width: 1248px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 36px; }
footer { padding-top: 32px; padding-bottom: 48px; color: var(--muted); font-size: 13px; }
h1 { margin: 0; font-size: 30px; line-height: 1.2; font-weight: 650; letter-spacing: -0.015em; text-wrap: balance; }
h2 { margin: 48px 0 14px; font-size: 19px; font-weight: 650; letter-spacing: -0.005em; }
h3 { margin: 0; font-size: 15px; font-weight: 650; }
p { margin: 0; max-width: 78ch; }
code, .mono { font-family: var(--mono); font-size: 0.88em; }
h1, h2, h3, p, td, dd, dt, summary, figcaption, caption { overflow-wrap: anywhere; }
a { color: var(--accent); text-underline-offset: 2px; }
.muted { color: var(--muted); }
.over { color: var(--muted); font-size: 13px; margin-bottom: 6px; }
.nowrap { white-space: nowrap; }

/* a verdict is a shape, a word and a colour */
.mark { width: 16px; height: 16px; flex: none; vertical-align: -3px; }
.ok { color: var(--ok); } .warning { color: var(--warning); } .failed { color: var(--failed); }
.skipped { color: var(--skipped); }
.sign { stroke: var(--on); }
.verdict { display: inline-flex; gap: 7px; align-items: center; white-space: nowrap; font-weight: 550; }
.headline { display: flex; gap: 16px; align-items: flex-start; }
.headline > .mark { width: 34px; height: 34px; margin-top: 1px; }
.counts { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 10px 0 0; padding: 0; list-style: none;
  font-size: 14px; }
.counts .none { color: var(--muted); font-weight: 400; }

.cause { margin-top: 24px; padding: 18px 22px; background: var(--surface); border: 1px solid var(--line);
  border-left: 4px solid currentColor; border-radius: 8px; }
.cause > * { color: var(--text); }
.cause .over { color: var(--muted); }
.cause h2 { margin: 0 0 6px; font-size: 18px; }
.cause .hint { margin-top: 12px; }
.cause .doc { margin-top: 10px; font-size: 14px; }

.card { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
.stack > * + * { margin-top: 12px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 360px), 1fr)); gap: 12px;
  align-items: start; }
details > summary, .card > .title { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center;
  padding: 12px 18px; }
details > summary { cursor: pointer; list-style: none; border-radius: 8px; }
details > summary::-webkit-details-marker { display: none; }
details > summary::before { content: ""; width: 7px; height: 7px; margin: 0 3px 3px 0; border: solid var(--muted);
  border-width: 0 1.5px 1.5px 0; transform: rotate(-45deg); flex: none; }
details[open] > summary::before { transform: rotate(45deg); }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
summary .counts { margin: 0 0 0 auto; font-size: 13px; gap: 4px 14px; }

table { width: 100%; border-collapse: collapse; font-size: 14px; }
caption { text-align: left; padding: 12px 18px; }
th { text-align: left; font-weight: 550; color: var(--muted); font-size: 13px; }
th, td { padding: 9px 12px; vertical-align: top; border-top: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 18px; } th:last-child, td:last-child { padding-right: 18px; }
tbody th { color: var(--text); font-size: 14px; }
td.short { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.card > table:first-child thead th { border-top: 0; }
.checks th:first-child { width: 110px; } .checks th:nth-child(2) { width: 38%; }
.checks .hint, .checks .object, .checks .doc { display: block; margin-top: 3px; }
.checks .object, .checks .doc { color: var(--muted); font-size: 13px; }
.bar { display: block; height: 8px; min-width: 60px; border-radius: 4px; background: var(--inset); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); border-radius: 4px; }
.bar .failed { background: var(--failed); }

dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 3px 18px; margin: 0;
  padding: 0 18px 16px; font-size: 14px; }
dt { color: var(--muted); } dd { margin: 0; font-family: var(--mono); font-size: 0.88em; line-height: 1.7; }
.gateway p { padding: 0 18px 8px; } .gateway caption { padding-top: 2px; }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); align-items: start; }

.picture { margin: 0; padding: 16px; }
.picture > svg { display: none; width: 100%; height: auto; margin: 0 auto; }
.picture .verdict { font-weight: 400; }
.picture figcaption { margin-top: 12px; color: var(--muted); font-size: 13px; display: flex; flex-wrap: wrap;
  gap: 4px 20px; align-items: center; }
.picture > .wide { display: block; }
.picture text { font-family: var(--sans); fill: var(--text); font-size: 12px; }
.picture .t-name { font-size: 15px; font-weight: 650; } .picture .t-title { font-weight: 550; }
.picture .t-fact { fill: var(--muted); } .picture .t-code { font-family: var(--mono); font-size: 10.5px; }
.picture .t-count, .picture .t-no-response { font-size: 11px; font-weight: 600; fill: var(--accent);
  font-variant-numeric: tabular-nums; }
.picture .t-no-response { fill: var(--warning); }
.picture rect { fill: var(--surface); stroke: var(--line); stroke-width: 1; }
.picture .b-cluster { fill: var(--page); } .picture .b-instances, .picture .b-destination { fill: var(--surface); }
.picture .b-gateway { stroke: var(--accent); stroke-width: 1.5; }
.picture rect.failed { stroke: var(--failed); stroke-width: 2; }
.picture rect.warning { stroke: var(--warning); stroke-width: 1.5; }
.picture path.line { fill: none; stroke-width: 1.5; }
.picture .relay { stroke: var(--skipped); stroke-dasharray: 2 4; stroke-linecap: round; }
.picture .relay.disconnected { stroke: var(--failed); stroke-dasharray: 6 5; }
.picture .head { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-linecap: round;
  stroke-linejoin: round; }
.picture .traffic { stroke: var(--accent); } .picture .traffic.idle { stroke: var(--line); }
.picture .traffic.no-response, .picture .head.no-response { stroke: var(--warning); }
.picture .traffic.no-response { stroke-dasharray: 5 4; }
.picture .head.idle { stroke: var(--line); }
.picture .source { fill: var(--accent); }

@media (max-width: 1000px) { .picture > .wide { display: none; } .picture > .medium { display: block; } }
@media (max-width: 640px) {
  main, header, footer { padding-left: 12px; padding-right: 12px; }
  header { padding-top: 24px; }
  h1 { font-size: 24px; } h2 { margin-top: 36px; }
  .headline { gap: 12px; } .headline > .mark { width: 28px; height: 28px; }
  .cause { padding: 14px 16px; }
  .picture { padding: 8px; } .picture > .medium { display: none; } .picture > .narrow { display: block; }
  details > summary, .card > .title, caption { padding: 10px 14px; }
  summary .counts { margin-left: 0; width: 100%; }
  .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stacked, .stacked tbody, .stacked tr, .stacked th, .stacked td { display: block; width: auto; }
  .stacked tr { padding: 10px 14px; border-top: 1px solid var(--line); }
  .stacked tr > th, .stacked tr > td { padding: 1px 0; border: 0; text-align: left; }
  .checks tr { display: grid; grid-template-columns: 30px 1fr; }
  .checks td:first-child { grid-row: span 2; } .checks td:last-child { grid-column: 2; }
  .checks .seen { color: var(--muted); }
  .checks .verdict span { position: absolute; clip-path: inset(50%); }
  dl { padding: 0 14px 14px; } .gateway p { padding: 0 14px 8px; }
}
@media (min-width: 641px) { .label { display: none; } }

@media print {
  @page { margin: 14mm; }
  body { background: #fff; font-size: 10pt; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header { padding-top: 0; }
  h2 { margin-top: 22pt; } h2, h3, caption, summary, .title { break-after: avoid; }
  details > summary::before { display: none; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  tr, .cause, .picture, .gateway, dl { break-inside: avoid; }
  thead { display: table-header-group; }
  .picture > svg { max-height: 235mm; }
  /* Many clusters do not fit on one page: the picture starts a new page and may span several. */
  .picture.many { break-inside: auto; padding: 0; border: 0; } .picture.many > svg { max-height: none; }
  h2:has(+ .many) { break-after: auto; }
  .picture > .wide, .picture > .narrow { display: none; } .picture > .medium { display: block; }
  .bar, .mark, .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  table, dl, .cause { font-size: 9pt; }
  th, td, caption, details > summary { padding-top: 3.5pt; padding-bottom: 3.5pt; }
  .grid { grid-template-columns: 1fr 1fr; } .grid > * { break-inside: avoid; }
}
"""

"""The page's style sheet: light, dark, narrow, printed, and readable without color."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #17212b; --soft: #5b6673; --line: #e2e4e0; --grid: #ebece8;
  --accent: #0d6a75; --tint: #0d6a7518; --second: #a8480f; --chance: #8a8f96; --shade: 0 1px 2px #1720280d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #11161b; --card: #181f26; --ink: #e6eaee; --soft: #9aa6b2; --line: #2b343d; --grid: #242c34;
    --accent: #5cc4cf; --tint: #5cc4cf1c; --second: #f0a067; --chance: #7d8791; --shade: none;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); font-size: 15px; line-height: 1.55;
  font-family: Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
    sans-serif;
  font-feature-settings: "tnum", "cv05"; -webkit-text-size-adjust: 100%;
}
main { max-width: 1120px; margin: 0 auto; padding: 44px 28px 64px; }
h1 { font-size: 32px; line-height: 1.15; letter-spacing: -0.022em; margin: 6px 0 10px; font-weight: 650; }
h2 { font-size: 20px; letter-spacing: -0.012em; margin: 0 0 4px; font-weight: 640; }
h2 + :not(.note) { margin-top: 12px; }
h3 { font-size: 15px; margin: 0 0 10px; font-weight: 620; }
p { margin: 0 0 14px; }
.eyebrow { font-size: 12px; font-weight: 640; letter-spacing: 0.09em; text-transform: uppercase; color:
  var(--accent); }
.lead, .note { color: var(--soft); max-width: 76ch; }
.note { font-size: 13.5px; margin-bottom: 18px; }
.caveat { border: 1px solid var(--line); border-left: 3px solid var(--second); border-radius: 4px;
  padding: 8px 14px; font-size: 13.5px; max-width: 76ch; margin: 16px 0 0; }
section { margin-top: 52px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 14px; margin: 28px
  0 0; padding: 0; }
.tile, .card, .case { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  box-shadow: var(--shade); }
.tile { padding: 16px 18px 12px; }
.tile dt { font-size: 13px; color: var(--soft); font-weight: 560; }
.tile dd { margin: 0; }
.tile .value { font-size: 34px; font-weight: 640; letter-spacing: -0.03em; line-height: 1.25; }
.tile .detail { font-size: 12.5px; color: var(--soft); }
.card { padding: 18px 20px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)); gap: 16px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; color: var(--soft); font-size: 13px; padding-bottom: 8px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--grid); font-weight: 400;
  vertical-align: middle; }
thead th { color: var(--soft); font-size: 12.5px; border-bottom-color: var(--line); vertical-align: bottom; }
tbody tr:last-child > * { border-bottom: 0; }
tr.group > th { padding-top: 18px; font-size: 12.5px; font-weight: 640; color: var(--soft);
  border-bottom-color: var(--line); }
tbody:first-of-type tr.group > th { padding-top: 6px; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th:last-child, td:last-child { padding-right: 0; }
.value { font-weight: 620; }
.quiet { color: var(--soft); }
td.plot, th.plot { width: 42%; padding-left: 8px; padding-right: 22px; }
svg { display: block; }
svg text { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
.range { overflow: visible; }
.range .track { stroke: var(--grid); stroke-width: 1; }
.range .mark { stroke: var(--chance); stroke-width: 1.5; stroke-dasharray: 3 2.5; }
.range .interval { stroke: var(--accent); stroke-width: 3; stroke-linecap: round; opacity: 0.5; }
.range .dot { fill: var(--accent); stroke: var(--card); stroke-width: 1.5; }
.rocs { display: grid; grid-template-columns: repeat(5, 1fr); gap: 20px 22px; }
.rocs figure, .card figure { margin: 0; }
.rocs figcaption { font-size: 12.5px; line-height: 1.35; padding-top: 6px; }
.roc * { vector-effect: non-scaling-stroke; }
.roc .frame { fill: var(--card); stroke: var(--line); }
.roc .chance { stroke: var(--chance); stroke-dasharray: 4 3; }
.roc .area { fill: var(--tint); }
.roc .curve { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.chart { width: 100%; height: auto; }
.chart text { font-size: 12px; }
.under { display: none; }
.chart .grid { stroke: var(--grid); stroke-width: 1; }
.series polyline, .legend line, .series .bar { fill: none; stroke-linejoin: round; stroke-width: 2; }
.first polyline, .first line { stroke: var(--accent); }
.first circle { fill: var(--accent); stroke: var(--card); stroke-width: 1.5; }
.second polyline, .second line { stroke: var(--second); stroke-dasharray: 7 3.5; }
.second circle { fill: var(--card); stroke: var(--second); stroke-width: 2; }
.first .bar, .second .bar { stroke-dasharray: none; opacity: 0.55; stroke-width: 2.5; stroke-linecap: round; }
.chance polyline, .chance line { stroke: var(--chance); stroke-dasharray: 2.5 3; }
.zero polyline, .zero line { stroke: var(--second); stroke-dasharray: 9 4; }
.raw polyline, .raw line { stroke: var(--accent); opacity: 0.3; stroke-width: 1.2; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 12.5px; color: var(--soft); padding: 6px
  0 0 4px; }
.legend span { display: inline-flex; gap: 7px; align-items: center; }
.cases { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; }
.case { display: grid; grid-template-columns: 188px minmax(0, 1fr); }
.case .film { padding: 16px 0 16px 16px; }
.case img { display: block; width: 100%; border-radius: 5px; }
.case ol { list-style: none; margin: 0; padding: 14px 16px 2px; }
.case li { border-left: 3px solid var(--line); padding: 0 0 0 11px; margin: 0 0 12px; font-size: 12.5px;
  line-height: 1.45; }
.case li p { margin: 0; white-space: pre-line; overflow-wrap: anywhere; }
.case .rank { color: var(--soft); font-size: 12px; }
.case li.own { border-left: 6px double var(--accent); padding-left: 8px; }
.case li.own .rank { color: var(--accent); font-weight: 660; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 5px 22px; margin: 0 0 22px;
  font-size: 14px; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size:
  12.5px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px;
  white-space: pre-wrap; }
.prompts td, .prompts th { vertical-align: top; font-size: 13px; }
.prompts ul { margin: 0; padding: 0; list-style: none; }
footer { margin-top: 48px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--soft);
  font-size: 12.5px; }
@media (max-width: 640px) {
  main { padding: 26px 16px 40px; }
  h1 { font-size: 26px; }
  section { margin-top: 40px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 10px; }
  .tile { padding: 12px 13px 10px; }
  .tile .value { font-size: 26px; }
  .card { padding: 14px; overflow-x: auto; }
  .wide { display: none; }
  .axis .minor { display: none; }
  .under { display: block; font-weight: 400; font-size: 11px; color: var(--soft); }
  table { font-size: 13px; }
  th, td { padding-right: 9px; }
  td.plot, th.plot { width: 38%; padding-left: 4px; padding-right: 12px; }
  .rocs { grid-template-columns: repeat(3, 1fr); gap: 14px 10px; }
  .case { grid-template-columns: 1fr; }
  .case .film { padding: 14px 14px 0; }
  .case img { width: auto; max-width: 100%; max-height: 240px; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 9px; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --grid:
    #ddd;
    --accent: #0a4f57; --tint: #0a4f5714; --second: #7a330a; --chance: #777; --shade: none; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  section { margin-top: 24pt; }
  .tile, .case, tr, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; display: block; }
  .case .film { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

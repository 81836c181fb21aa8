// A report with its matching phrases marked.

import { element } from "./element.js";

/** Pieces of a text: [piece, marked]. Spans count Unicode characters, as Python does, not UTF-16 units. */
export function pieces(text, spans) {
  const characters = Array.from(text);
  const cut = (from, to) => characters.slice(from, to).join("");
  const found = [];
  let at = 0;
  for (const [start, end] of [...spans].sort((a, b) => a[0] - b[0])) {
    if (start > at) found.push([cut(at, start), false]);
    if (end > Math.max(at, start)) found.push([cut(Math.max(at, start), end), true]);
    at = Math.max(at, end);
  }
  if (at < characters.length) found.push([cut(at), false]);
  return found;
}

export function markedReport(text, spans) {
  const parts = pieces(text, spans).map(([piece, marked]) => (marked ? element("mark", { text: piece }) : piece));
  return element("p", { class: "report" }, ...parts);
}

// A finding with its score: figure, interval, a plain word, and what it rests on.

import { element } from "./element.js";

const SIGNS = { likely: "▲", unlikely: "▽", "cannot tell": "?" };

const percent = (share) => `${Math.round(100 * share)} %`;

/** The figure as it is shown, and as it is read aloud. An uncalibrated score is no probability and shown as none. */
export function scoreOf({ probability, calibrated, low, high, said }) {
  if (!calibrated) {
    const figure = probability.toFixed(2);
    return { figure, interval: "not a probability", spoken: `${said}; uncalibrated score ${figure}, not a probability` };
  }
  const known = low !== null && high !== null;
  const interval = known ? `${Math.round(100 * low)} to ${percent(high)}` : "";
  return { figure: percent(probability), interval, spoken: `${said}, ${percent(probability)}${known ? `, ${interval}` : ""}` };
}

/** 0 to 1 with the interval and the figure on it; the same is told in words beside it. */
function scale({ probability, calibrated, low, high }) {
  const dot = element("i", { class: "dot" });
  dot.style.left = `${100 * probability}%`;
  const line = element("span", { class: calibrated ? "scale" : "scale uncalibrated", "aria-hidden": "true" }, element("i", { class: "half" }));
  if (calibrated && low !== null && high !== null) {
    const interval = element("i", { class: "interval" });
    interval.style.left = `${100 * low}%`;
    interval.style.width = `${100 * (high - low)}%`;
    line.append(interval);
  }
  line.append(dot);
  return line;
}

function judged(score) {
  const { figure, interval } = scoreOf(score);
  const word = element("span", { class: `word ${score.said.replace(" ", "-")}` }, element("b", { "aria-hidden": "true", text: SIGNS[score.said] }), score.said);
  const parts = [
    scale(score),
    element("span", { class: "figure" }, element("b", { text: figure }), " ", element("small", { text: interval })),
    word,
  ];
  const basis = element("p", { class: "basis" });
  if (!score.calibrated) basis.append(element("span", { class: "tag", text: "uncalibrated" }), " ");
  basis.append(score.basis);
  return [...parts, basis];
}

/** A row of the list; without `score` the finding alone. */
export function scoreRow(name, score, { remove, showWhere }) {
  const chip = element(
    "span",
    { class: "chip" },
    element("span", { text: name }),
    element("button", { type: "button", "aria-label": `Remove ${name}`, text: "×", onclick: remove }),
  );
  const row = element("li", { class: "score" }, chip);
  if (score) row.append(...judged(score));
  else row.append(element("span", { class: "scale waiting", "aria-hidden": "true" }));
  if (showWhere) {
    row.append(element("button", { type: "button", class: "where", "aria-label": `Show where: ${name}`, text: "Show where", onclick: showWhere }));
  }
  return row;
}

// A past case in the list: picture, who and when, labels, report.

import { element } from "./element.js";
import { markedReport } from "./marks.js";
import { casePicture } from "./study.js";

function facts({ view, sex, age, date, source }, manySources) {
  const years = age === null ? null : `${Math.floor(age)} years`;
  return [view, sex, years, date, manySources ? source : null].filter((fact) => fact !== null);
}

/** Findings labeled present, and those labeled uncertain; absent ones are in the report. */
function labels(labeled) {
  const words = Object.entries(labeled).flatMap(([name, value]) =>
    value === 1 ? [element("li", { text: name })] : value === -1 ? [element("li", { class: "unsure", text: `${name}, uncertain` })] : [],
  );
  return words.length ? [element("ul", { class: "labels", "aria-label": "Labels" }, ...words)] : [];
}

async function fill(frame, id, alt, signal, urls) {
  try {
    if (!urls.has(id)) urls.set(id, URL.createObjectURL(await casePicture(id, signal)));
    frame.replaceChildren(element("img", { src: urls.get(id), alt }));
  } catch (error) {
    if (!signal.aborted) frame.replaceChildren(element("span", { class: "no-picture", text: "No picture" }));
  }
}

/** A button with the picture of a case on it; `urls`, by case, keeps what must be released later. */
export function pictureButton(id, { name, alt, onclick, signal, urls }) {
  const button = element("button", { type: "button", class: "picture", "aria-label": name, onclick });
  fill(button, id, alt, signal, urls);
  return button;
}

export function hitRow(hit, rank, { open, manySources, signal, urls }) {
  const told = facts(hit, manySources);
  const picture = pictureButton(hit.case, {
    name: `Open case ${rank}${told.length ? `: ${told.join(", ")}` : ""}`,
    alt: "",
    onclick: () => open(hit.case),
    signal,
    urls,
  });
  const line = element(
    "p",
    { class: "facts" },
    element("b", { text: `${rank}` }),
    ...told.map((fact) => element("span", { text: fact })),
    element("span", { class: "similarity", title: "Cosine of the query and the image, -1 to 1" }, "similarity ", element("b", { text: hit.score.toFixed(3) })),
  );
  const report = hit.text ? markedReport(hit.text, hit.marks) : element("p", { class: "report quiet", text: "No report." });
  return element("li", { class: "hit" }, picture, element("div", {}, line, ...labels(hit.labels), report));
}
